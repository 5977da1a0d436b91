// update_adagrad: by the root of the sum of all squares.
// Source: Duchi, Hazan and Singer 2011, JMLR 12

@group(0) @binding(5) var<storage, read_write> s: array<elem>;

fn begin(group: u32, groups: u32, lane: u32) -> f32 { return hyper[1]; }

fn updated(epsilon: f32, at: vec3<u32>, option: bool, value: elem, g: elem, rate: f32, decay: f32) -> elem {
  let slope = g + decay * value;
  let squares = s[at.x] + slope * slope;
  s[at.x] = squares;
  return value - rate * slope / (sqrt(squares) + epsilon);
}
