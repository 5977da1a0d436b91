// larger: maximum in which NaN wins, and exp that ends in 0.

fn larger(a: f32, b: f32) -> f32 {
  return select(select(select(a, b, b > a), b, is_nan(b)), a, is_nan(a));
}

// Far below the smallest float, and exactly 0 for -infinity.
fn exp_or_zero(x: f32) -> f32 {
  return select(exp(x), 0.0, x < -104.0);
}
