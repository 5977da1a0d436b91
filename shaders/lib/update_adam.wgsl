// update_adam: Adam, or AdamW (option = 1). 1-βᵗ = -expm1(t ln β), by its series where it would cancel. Each workgroup has a
// step counter of its own, which no other one reads, so that one may be read and advanced in the same launch.
// Source: Kingma and Ba 2015, arXiv:1412.6980; Loshchilov and Hutter 2019, arXiv:1711.05101

@group(0) @binding(5) var<storage, read_write> m: array<elem>;
@group(0) @binding(6) var<storage, read_write> v: array<elem>;
@group(0) @binding(8) var<storage, read_write> steps: array<f32>;

struct Numbers { beta: vec2<f32>, rest: vec2<f32>, fix: vec2<f32>, epsilon: f32 }

fn one_minus_exp(x: f32) -> f32 {
  let series = -x * (1.0 + x * (0.5 + x * (0.16666667 + x * (0.041666667 + x * (0.008333333 + x * (0.0013888889 + x * 0.0001984127))))));
  return select(1.0 - exp(x), series, x > -0.5);
}

fn begin(group: u32, groups: u32, lane: u32) -> Numbers {
  let t = steps[params.steps_offset + group] + 1.0;
  // The workgroup's threads have all read before one of them writes.
  storageBarrier();
  if (lane == 0u) {
    for (var i = group; i < params.counters; i += groups) { steps[params.steps_offset + i] = t; }
  }
  let fix = vec2(1.0 / one_minus_exp(t * hyper[6]), 1.0 / one_minus_exp(t * hyper[7]));
  return Numbers(vec2(hyper[1], hyper[2]), vec2(hyper[4], hyper[5]), fix, hyper[3]);
}

fn updated(n: Numbers, at: vec3<u32>, option: bool, value: elem, g: elem, rate: f32, decay: f32) -> elem {
  let slope = select(g + decay * value, g, option);
  let start = select(value, value - rate * decay * value, option);
  let first = n.beta.x * m[at.x] + n.rest.x * slope;
  let second = n.beta.y * v[at.y] + n.rest.y * slope * slope;
  m[at.x] = first;
  v[at.y] = second;
  return start - rate * (first * n.fix.x) / (sqrt(second * n.fix.y) + n.epsilon);
}
