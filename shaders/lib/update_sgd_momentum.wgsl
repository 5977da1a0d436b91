// update_sgd_momentum: along the velocity, or ahead of it (Nesterov, option = 1).

@group(0) @binding(5) var<storage, read_write> v: array<elem>;

fn begin(group: u32, groups: u32, lane: u32) -> f32 { return hyper[1]; }

fn updated(momentum: f32, at: vec3<u32>, option: bool, value: elem, g: elem, rate: f32, decay: f32) -> elem {
  let slope = g + decay * value;
  let velocity = momentum * v[at.x] + slope;
  v[at.x] = velocity;
  return value - rate * select(velocity, slope + momentum * velocity, option);
}
