// power: aᵇ with the cases that exp2(b·log2 a) gets wrong: b = 0, a = 0, negative a.

fn power(a: elem, b: elem) -> elem {
  let nan = elem(bitcast<f32>(params.nan));
  let size = exp2(b * log2(abs(a)));
  let whole = floor(b) == b;
  let odd = fract(abs(b) * 0.5) > elem(0.25);
  let signed = select(size, -size, (a < elem(0.0)) & odd);
  let real = select(signed, nan, (a < elem(0.0)) & !whole);
  let huge = elem(bitcast<f32>(0x7f800000u & params.nan));
  let at_zero = select(elem(0.0), huge, b < elem(0.0));
  let usual = select(real, at_zero, a == elem(0.0));
  let kept = select(usual, a + b, is_nan(a) | is_nan(b));
  return select(kept, elem(1.0), b == elem(0.0));
}
