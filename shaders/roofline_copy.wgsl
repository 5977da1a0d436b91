// roofline_copy: y = x, vec4 by vec4: how fast memory is read and written on this adapter.
//
//   x, y [count] vec4<f32>, contiguous
//   bindings  0 params, 1 x (read), 2 y (write)
//   launch    any number of workgroups of 64; a thread steps through vec4s by the size of the grid

struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    y[i] = x[i];
  }
}
