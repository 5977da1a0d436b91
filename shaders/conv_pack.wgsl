// conv_pack: lays an operand of a convolution out with its inner index together, four to a vec4, zeros behind the last.
//
//   x, four axes and an inner one at any strides  ->  y [.., ceil(inner / 4)] of vec4, contiguous
//   bindings  0 params, 1 x (read), 2 y (write)
//   launch    any number of workgroups; see walk. A thread takes all that is inside one element of the four axes
//   numerics  none
//   source    own. Software adapters count loads, and one of a vec4 costs them little more than one of a number

struct Params {
  count: u32, offset: u32, inner: u32, stride: u32,
  shape: vec4<u32>, strides: vec4<u32>,              // of the four axes, outermost first
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let turn = walk(params.count, group.x, groups.x, lane);
  let inner = params.inner;
  let stride = params.stride;
  let fours = (inner + 3u) / 4u;
  let shape = params.shape;
  let strides = params.strides;
  for (var i = turn.first; i < turn.end; i += turn.step) {
    let abc = over(i, shape.w);
    let ab = over(abc, shape.z);
    let a = over(ab, shape.y);
    let place = vec4(a, ab - a * shape.y, abc - ab * shape.z, i - abc * shape.w) * strides;
    let start = params.offset + place.x + place.y + place.z + place.w;
    let to = i * fours;
    for (var four = 0u; four < fours; four++) {
      let k = vec4(four * 4u) + vec4(0u, 1u, 2u, 3u);
      // What lies behind the last is read from the last.
      let at = vec4(start) + min(k, vec4(inner - 1u)) * stride;
      y[to + four] = select(vec4(0.0), vec4(x[at.x], x[at.y], x[at.z], x[at.w]), k < vec4(inner));
    }
  }
}
