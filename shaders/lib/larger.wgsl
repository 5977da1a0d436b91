// larger: maximum in which NaN wins, and exp that ends in 0.

fn larger(a: f32, b: f32) -> f32 {
  return select(select(select(a, b, b > a), b, is_nan(b)), a, is_nan(a));
}

// Exactly 0 far below the smallest float and for -infinity; NaN stays NaN, whatever the driver's exp says.
fn exp_or_zero(x: f32) -> f32 {
  return select(select(exp(x), 0.0, x < -104.0), x, is_nan(x));
}

fn log_or_nan(x: f32) -> f32 {
  return select(log(x), x, is_nan(x));
}
