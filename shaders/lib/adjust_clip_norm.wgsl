// adjust_clip_norm: shortened to a length, unless the length is small enough, infinite or NaN. Where max / length is below
// 2⁻¹⁰⁰, it would be flushed to 0 sooner or later: then it is a product of two factors. A divisor may not pass 2¹²⁶.

@group(0) @binding(2) var<storage, read> norm: array<u32>;

var<private> first: f32 = 1.0;

fn begin() -> f32 {
  let word = norm[params.y_offset];
  let length = bitcast<f32>(word);
  let finite = (word & 0x7f800000u) != 0x7f800000u;
  // 0 means that nothing is to be done.
  if (!finite || length <= params.max) { return 0.0; }
  let small = 7.888609052210118e-31 * length;
  if (small > params.max) {
    first = 7.888609052210118e-31;
    return params.max / small;
  }
  if (length > 1.0) { return (0.25 * params.max) / (0.25 * length); }
  return params.max / length;
}
fn seen(word: bits) -> u32 { return 0u; }
fn finish(found: u32) {}

fn adjusted(factor: f32, i: u32, value: elem) -> elem { return factor * (first * value); }
