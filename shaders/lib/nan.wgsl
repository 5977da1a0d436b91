// nan: tests bits, since a driver may assume that floats are never NaN.

fn is_nan(x: elem) -> mask {
  return (bitcast<bits>(x) & bits(0x7fffffffu)) > bits(0x7f800000u);
}

fn is_inf(x: elem) -> mask {
  return (bitcast<bits>(x) & bits(0x7fffffffu)) == bits(0x7f800000u);
}
