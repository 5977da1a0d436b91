// update_rmsprop: by the root of a running mean of squares; what becomes of that mean and of the step, the parts
// rmsprop_plain or rmsprop_centered and rmsprop_straight or rmsprop_momentum say.

@group(0) @binding(5) var<storage, read_write> s: array<elem>;

// α, 1-α, ε, momentum
fn begin(group: u32, groups: u32, lane: u32) -> vec4<f32> {
  return vec4(hyper[1], hyper[2], hyper[3], hyper[4]);
}

fn updated(n: vec4<f32>, at: vec3<u32>, option: bool, value: elem, g: elem, rate: f32, decay: f32) -> elem {
  let slope = g + decay * value;
  let squares = n.x * s[at.x] + n.y * slope * slope;
  s[at.x] = squares;
  return value - rate * along(n, at.z, slope / (sqrt(spread(n, at.y, squares, slope)) + n.z));
}
