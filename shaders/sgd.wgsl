// sgd: one step of gradient descent over a whole parameter buffer, in place.
//
//   p, g, v [count], contiguous; hyper [3] = rate, momentum, weight decay
//   bindings  0 params, 1 g (read), 2 hyper (read), 3 p (read and write), [4 v (read and write)], 9 fault
//   launch    any number of workgroups; a thread goes through vec4s as walk says
//   numerics  as PyTorch's SGD without dampening; nothing happens while a fault is pending

struct Params { count: u32, p_offset: u32, g_offset: u32, v_offset: u32, nesterov: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> g: array<elem>;
@group(0) @binding(2) var<storage, read> hyper: array<f32, 3>;
@group(0) @binding(3) var<storage, read_write> p: array<elem>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  if (halted()) { return; }
  let rate = hyper[0];
  let decay = hyper[2];
  let p_offset = params.p_offset;
  let g_offset = params.g_offset;
  let turn = walk(params.count, group.x, groups.x, lane);
  for (var i = turn.first; i < turn.end; i += turn.step) {
    let at = p_offset + i;
    let slope = g[g_offset + i] + decay * p[at];
    p[at] -= rate * direction(i, slope);
  }
}
