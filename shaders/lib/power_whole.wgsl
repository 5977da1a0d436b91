// power_whole: xⁿ for a whole number n, by squaring: rounding errors stay at a few ulp.

fn power_whole(x: elem, n: i32) -> elem {
  var result = elem(1.0);
  var square = x;
  for (var left = u32(abs(n)); left > 0u; left >>= 1u) {
    if ((left & 1u) == 1u) { result *= square; }
    square *= square;
  }
  return select(result, elem(1.0) / result, elem(f32(n)) < elem(0.0));
}
