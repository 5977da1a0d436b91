// random_advance: moves the device's Philox counter on, in place.
//
//   bindings  0 params, 1 state [4] (read and write)
//   launch    one workgroup of one thread

struct Params { by: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> state: array<u32, 4>;

@compute @workgroup_size(1)
fn main() {
  let low = state[2] + params.by;
  if (low < params.by) { state[3] += 1u; }
  state[2] = low;
}
