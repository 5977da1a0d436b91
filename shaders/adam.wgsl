// adam: one step of Adam or AdamW over a whole parameter buffer, in place.
//
//   p, g, m, v [count], contiguous; hyper [10] = rate, β₁, β₂, ε, decay, t, 1-β₁, 1-β₂, ln β₁, ln β₂
//   bindings  0 params, 1 g (read), 2 hyper (read), 3 p, 4 m, 5 v (read and write), 9 fault
//   launch    any number of workgroups; a thread goes through vec4s as walk says
//   numerics  1-βᵗ = -expm1(t ln β), by its series where it would cancel; nothing happens while a
//             fault is pending
//   source    Kingma and Ba 2015, arXiv:1412.6980; Loshchilov and Hutter 2019, arXiv:1711.05101

struct Params { count: u32, p_offset: u32, g_offset: u32, m_offset: u32, v_offset: u32, decoupled: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> g: array<elem>;
@group(0) @binding(2) var<storage, read> hyper: array<f32, 10>;
@group(0) @binding(3) var<storage, read_write> p: array<elem>;
@group(0) @binding(4) var<storage, read_write> m: array<elem>;
@group(0) @binding(5) var<storage, read_write> v: array<elem>;

fn one_minus_exp(x: f32) -> f32 {
  let series = -x * (1.0 + x * (0.5 + x * (0.16666667 + x * (0.041666667 + x * (0.008333333 + x * (0.0013888889 + x * 0.0001984127))))));
  return select(1.0 - exp(x), series, x > -0.5);
}

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  if (halted()) { return; }
  let rate = hyper[0];
  let decay = hyper[4];
  let beta = vec2(hyper[1], hyper[2]);
  let rest = vec2(hyper[6], hyper[7]);
  let epsilon = hyper[3];
  let t = hyper[5] + 1.0;
  let fix_m = 1.0 / one_minus_exp(t * hyper[8]);
  let fix_v = 1.0 / one_minus_exp(t * hyper[9]);
  let p_offset = params.p_offset;
  let g_offset = params.g_offset;
  let m_offset = params.m_offset;
  let v_offset = params.v_offset;
  let decoupled = params.decoupled == 1u;
  let turn = walk(params.count, group.x, groups.x, lane);
  for (var i = turn.first; i < turn.end; i += turn.step) {
    let at = p_offset + i;
    var value = p[at];
    var slope = g[g_offset + i];
    if (decoupled) { value -= rate * decay * value; } else { slope += decay * value; }
    let first = beta.x * m[m_offset + i] + rest.x * slope;
    let second = beta.y * v[v_offset + i] + rest.y * slope * slope;
    m[m_offset + i] = first;
    v[v_offset + i] = second;
    p[at] = value - rate * (first * fix_m) / (sqrt(second * fix_v) + epsilon);
  }
}
