// log_of: ln x with its poles spelled out, since drivers give anything there: -inf at 0, NaN below. The bits
// come from the parameters, since a constant infinity would not compile.

fn log_of(x: elem) -> elem {
  let pole = elem(bitcast<f32>(0xff800000u & (params.nan | 0x80000000u)));
  let real = select(log(x), pole, x == elem(0.0));
  let sound = select(real, x, is_nan(x) | (is_inf(x) & (x > elem(0.0))));
  return select(sound, elem(bitcast<f32>(params.nan)), x < elem(0.0));
}
