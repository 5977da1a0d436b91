// sigmoid: from exp(-|x|), which never overflows.

fn sigmoid(x: elem) -> elem {
  let e = exp(-abs(x));
  let s = elem(1.0) / (elem(1.0) + e);
  return select(e * s, s, x >= elem(0.0));
}
