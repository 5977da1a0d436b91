// gelu_tanh: GELU in its tanh form, x·sigmoid(2u) with u = √(2/π) (x + 0.044715 x³). Beyond ±20 the
// sigmoid is 0 or 1 to the last bit, so its argument is kept there and x³ cannot overflow.

fn gelu_argument(x: elem) -> elem {
  let z = clamp(x, elem(-20.0), elem(20.0));
  return 1.5957691 * z * (1.0 + 0.044715 * z * z);
}

fn gelu_tanh_of(x: elem) -> elem {
  // -inf times 0 would be NaN.
  return select(x, elem(0.0), x < elem(-20.0)) * sigmoid(gelu_argument(x));
}

fn gelu_tanh_slope(x: elem) -> elem {
  let z = clamp(x, elem(-20.0), elem(20.0));
  let u = gelu_argument(x);
  let slope = sigmoid(u) + z * sigmoid(u) * sigmoid(-u) * 1.5957691 * (1.0 + 0.134145 * z * z);
  return select(slope, x, is_nan(x));
}
