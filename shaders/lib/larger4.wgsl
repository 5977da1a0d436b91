// larger4: larger and exp_or_zero for four values at once.

fn is_nan4(x: vec4<f32>) -> vec4<bool> {
  return (bitcast<vec4<u32>>(x) & vec4(0x7fffffffu)) > vec4(0x7f800000u);
}

fn larger4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
  return select(select(select(a, b, b > a), b, is_nan4(b)), a, is_nan4(a));
}

fn exp_or_zero4(x: vec4<f32>) -> vec4<f32> {
  return select(select(exp(x), vec4(0.0), x < vec4(-104.0)), x, is_nan4(x));
}
