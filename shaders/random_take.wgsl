// random_take: copies the device's Philox state, and moves the state itself past the counters taken.
//
//   bindings  0 params, 1 copy [4] (write), 2 state [4] (read and write)
//   launch    one workgroup of one thread

struct Params { by_low: u32, by_high: u32, offset: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> copy: array<u32>;
@group(0) @binding(2) var<storage, read_write> state: array<u32, 4>;

@compute @workgroup_size(1)
fn main() {
  for (var i = 0u; i < 4u; i++) { copy[params.offset + i] = state[i]; }
  let low = state[2] + params.by_low;
  state[3] += params.by_high + select(0u, 1u, low < params.by_low);
  state[2] = low;
}
