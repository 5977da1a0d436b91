// normal_cdf: Φ(x), the normal distribution function, to 2e-7.
// source: Abramowitz and Stegun, 7.1.26, for erfc(|x|/√2); used as a tail it keeps small values small.

fn normal_cdf(x: elem) -> elem {
  let z = min(abs(x), elem(20.0)) * 0.70710678;
  let t = elem(1.0) / (elem(1.0) + 0.3275911 * z);
  let poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  let tail = 0.5 * poly * exp(-z * z);
  return select(tail, elem(1.0) - tail, x >= elem(0.0));
}

// φ(x), its derivative.
fn normal_pdf(x: elem) -> elem {
  let z = min(abs(x), elem(20.0));
  return 0.39894228 * exp(-0.5 * z * z);
}
