// generate: y[i] = start + i * step, for fills and ranges.
//
//   y view of any strides, innermost first
//   bindings  0 params, 1 y (write)
//   launch    any number of workgroups; see walk
//   numerics  one product and one sum per element, so errors do not add up

struct Params {
  count: u32, offset: u32, start: u32, step: u32,      // start and step as bits
  shape: array<vec4<u32>, 2>, strides: array<vec4<u32>, 2>,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<elem>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let turn = walk(params.count, group.x, groups.x, lane);
  for (var i = turn.first; i < turn.end; i += turn.step) {
    let at = params.offset + strided(i, RANK, params.shape, params.strides);
    y[at] = bitcast<elem>(params.start) + elem(i) * bitcast<elem>(params.step);
  }
}
