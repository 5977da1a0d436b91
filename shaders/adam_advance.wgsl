// adam_advance: counts a step of Adam, in place, unless a fault is pending.
//
//   bindings  0 params, 1 hyper [10] (read and write), 9 fault
//   launch    one workgroup of one thread

struct Params { offset: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> hyper: array<f32>;

@compute @workgroup_size(1)
fn main() {
  if (!halted()) { hyper[params.offset + 5u] += 1.0; }
}
