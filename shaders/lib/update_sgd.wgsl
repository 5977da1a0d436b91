// update_sgd: straight down.

fn begin(group: u32, groups: u32, lane: u32) -> f32 { return 0.0; }

fn updated(none: f32, at: vec3<u32>, option: bool, value: elem, g: elem, rate: f32, decay: f32) -> elem {
  return value - rate * (g + decay * value);
}
