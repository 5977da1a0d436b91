// adjust: changes a flat buffer of f32, element by element, in place.
//
//   x [count], contiguous; what else is read, the part says
//   bindings  0 params, 1 x (read and write), 2, 3 as the part says, 9 fault
//   launch    any number of workgroups; a thread goes through vec4s as walk says
//   numerics  those of the part; x comes as bits, so that NaN and infinity are seen as they are

struct Params { count: u32, x_offset: u32, y_offset: u32, keep: f32, add: f32, max: f32, unused: vec2<u32> }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<bits>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  if (halted()) { return; }
  let factor = begin();
  if (factor == 0.0) { return; }
  let x_offset = params.x_offset;
  let turn = walk(params.count, group.x, groups.x, lane);
  var found = 0u;
  for (var i = turn.first; i < turn.end; i += turn.step) {
    let word = x[x_offset + i];
    found |= seen(word);
    x[x_offset + i] = bitcast<bits>(adjusted(factor, i, bitcast<elem>(word)));
  }
  finish(found);
}
