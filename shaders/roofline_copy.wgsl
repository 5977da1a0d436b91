// roofline_copy: y = x, vec4 by vec4: how fast memory is read and written on this adapter.
//
//   x, y [count] vec4<f32>, contiguous
//   bindings  0 params, 1 x (read), 2 y (write)
//   launch    any number of workgroups; a thread goes through vec4s as walk says

struct Params { count: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let turn = walk(params.count, group.x, groups.x, lane);
  for (var i = turn.first; i < turn.end; i += turn.step) {
    y[i] = x[i];
  }
}
