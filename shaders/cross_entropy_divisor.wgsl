// cross_entropy_divisor: what the rows that count weigh together, which their mean loss is divided by.
//
//   labels [rows] at any stride, weights [cols]  ->  parts [workgroups]
//   bindings  0 params, 2 labels (read), 3 parts (write), 5 weights (read)
//   launch    any number of workgroups of 256, which step through rows by the size of the grid
//   numerics  by a tree over the threads; whole numbers up to 2^24 are exact

@group(0) @binding(3) var<storage, read_write> parts: array<f32>;

var<workgroup> sh_part: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  sh_part[lane] = weight_of_rows(group.x * 256u + lane, groups.x * 256u);
  workgroupBarrier();
  for (var width = 128u; width > 0u; width >>= 1u) {
    if (lane < width) { sh_part[lane] += sh_part[lane + width]; }
    workgroupBarrier();
  }
  if (lane == 0u) { parts[group.x] = sh_part[0]; }
}
