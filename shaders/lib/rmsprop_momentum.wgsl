// rmsprop_momentum: along a velocity.

@group(0) @binding(7) var<storage, read_write> v: array<elem>;

fn along(n: vec4<f32>, at: u32, step: elem) -> elem {
  let velocity = n.w * v[at] + step;
  v[at] = velocity;
  return velocity;
}
