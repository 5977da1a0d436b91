// adapt_scale: the next loss scale, from what the gradients of this step were.
//
//   scale [8] = scale, 1/scale, good steps, skipped steps, those with NaN, those at the floor; flags [4]
//   bindings  0 params, 1 scale, 2 flags (read and write), 9 fault
//   launch    one workgroup of one thread
//   numerics  powers of two, exact

struct Params { scale_offset: u32, flags_offset: u32, interval: f32, floor: f32, ceiling: f32, unused: vec3<u32> }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> scale: array<f32>;
@group(0) @binding(2) var<storage, read_write> flags: array<u32>;

@compute @workgroup_size(1)
fn main() {
  if (halted()) { return; }
  let at = params.scale_offset;
  let found = flags[params.flags_offset];
  if (found == 0u) {
    scale[at + 2u] += 1.0;
    if (scale[at + 2u] >= params.interval) {
      scale[at + 2u] = 0.0;
      if (scale[at] < params.ceiling) {
        scale[at] *= 2.0;
        scale[at + 1u] *= 0.5;
      }
    }
    return;
  }
  scale[at + 2u] = 0.0;
  scale[at + 3u] += 1.0;
  if ((found & 2u) != 0u) { scale[at + 4u] += 1.0; }
  if (scale[at] > params.floor) {
    scale[at] *= 0.5;
    scale[at + 1u] *= 2.0;
  } else {
    scale[at + 5u] += 1.0;
  }
  flags[params.flags_offset] = 0u;
}
