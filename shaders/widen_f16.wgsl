// widen_f16: half floats, two to a word, to f32.
//
//   x view of halves, sizes and strides innermost first  ->  y [count] f32, contiguous
//   bindings  0 params, 1 x (read), 2 y (write)
//   launch    any number of workgroups of 64; a thread steps through elements by the size of the grid
//   numerics  exact

struct Params {
  count: u32, x_offset: u32, y_offset: u32, unused: u32,
  shape: array<vec4<u32>, 2>, strides: array<vec4<u32>, 2>,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let at = params.x_offset + strided(i, RANK, params.shape, params.strides);
    let two = unpack2x16float(x[at / 2u]);
    y[params.y_offset + i] = select(two.x, two.y, (at & 1u) == 1u);
  }
}
