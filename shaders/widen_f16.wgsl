// widen_f16: half floats, two to a word, to f32.
//
//   x view of halves, sizes and strides innermost first  ->  y [count] f32, contiguous
//   bindings  0 params, 1 x (read), 2 y (write)
//   launch    any number of workgroups; see walk
//   numerics  exact

struct Params {
  count: u32, x_offset: u32, y_offset: u32, unused: u32,
  shape: array<vec4<u32>, 2>, strides: array<vec4<u32>, 2>,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let turn = walk(params.count, group.x, groups.x, lane);
  for (var i = turn.first; i < turn.end; i += turn.step) {
    let at = params.x_offset + strided(i, RANK, params.shape, params.strides);
    let two = unpack2x16float(x[at / 2u]);
    y[params.y_offset + i] = select(two.x, two.y, (at & 1u) == 1u);
  }
}
