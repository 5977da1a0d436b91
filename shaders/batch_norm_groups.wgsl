// batch_norm_groups: moments or slopes of a chunk of a channel, one workgroup per chunk.
//
//   x, dy [images, channels, size]  ->  parts [chunks, channels]
//   bindings  0 params, 1 x (read), 2 dy (read), 3 statistics (read), 4 parts (write)
//   launch    any number of workgroups of 256; `across` threads lie along a piece, the others take other images
//   numerics  sums of a thread run in blocks of 32, then a tree over the threads

@group(0) @binding(4) var<storage, read_write> parts: array<vec4<f32>>;

var<workgroup> sh_part: array<vec4<f32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let depth = 256u / params.across;
  let down = lane / params.across;
  // Threads beyond the last whole row have nothing to do.
  let skipped = select(0u, params.images, down >= depth);
  for (var i = group.x; i < params.items; i += groups.x) {
    sh_part[lane] = part_of(i, down + skipped, depth, lane % params.across, params.across);
    workgroupBarrier();
    for (var width = 128u; width > 0u; width >>= 1u) {
      if (lane < width) { sh_part[lane] = join(sh_part[lane], sh_part[lane + width]); }
      workgroupBarrier();
    }
    if (lane == 0u) { parts[i] = sh_part[0]; }
    workgroupBarrier();
  }
}
