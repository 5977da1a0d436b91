// batch_norm_lanes: moments or slopes of a chunk of a channel, one thread per chunk, without barriers.
//
//   x, dy [images, channels, size]  ->  parts [chunks, channels]
//   bindings  0 params, 1 x (read), 2 dy (read), 3 statistics (read), 4 parts (write)
//   launch    any number of workgroups; see walk
//   numerics  sums run in blocks of 32

@group(0) @binding(4) var<storage, read_write> parts: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let turn = walk(params.items, group.x, groups.x, lane);
  for (var i = turn.first; i < turn.end; i += turn.step) {
    parts[i] = part_of(i, 0u, 1u, 0u, 1u);
  }
}
