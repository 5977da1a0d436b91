// one_hot: rows of an identity matrix by index.
//
//   index [count / classes]  ->  y [count / classes, classes] contiguous
//   bindings  0 params, 1 index (read), 2 y (write), 9 fault
//   launch    any number of workgroups; see walk
//   faults    an index outside 0..classes: that row of y is 0

struct Params {
  count: u32, classes: u32, serial: u32, index_offset: u32,
  index_shape: array<vec4<u32>, 2>, index: array<vec4<u32>, 2>,
  shape: array<vec4<u32>, 2>, table: array<vec4<u32>, 2>,
  y_offset: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let turn = walk(params.count, group.x, groups.x, lane);
  for (var i = turn.first; i < turn.end; i += turn.step) {
    let position = i / params.classes;
    let hot = index[params.index_offset + index_at(position)];
    let good = legal(hot, params.classes, position, params.serial);
    y[params.y_offset + i] = select(0.0, 1.0, good && hot == i % params.classes);
  }
}
