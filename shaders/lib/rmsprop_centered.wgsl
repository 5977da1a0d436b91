// rmsprop_centered: the variance, which rounding could make negative.

@group(0) @binding(6) var<storage, read_write> a: array<elem>;

fn spread(n: vec4<f32>, at: u32, squares: elem, slope: elem) -> elem {
  let mean = n.x * a[at] + n.y * slope;
  a[at] = mean;
  let variance = squares - mean * mean;
  return select(variance, elem(0.0), variance < elem(0.0));
}
