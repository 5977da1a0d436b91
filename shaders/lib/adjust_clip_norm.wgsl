// adjust_clip_norm: shortened to a length, unless the length is small enough, infinite or NaN.

@group(0) @binding(2) var<storage, read> norm: array<u32>;

fn begin() -> f32 {
  let word = norm[params.y_offset];
  let length = bitcast<f32>(word);
  let finite = (word & 0x7f800000u) != 0x7f800000u;
  // 0 means that nothing is to be done.
  if (!finite || length <= params.max) { return 0.0; }
  return params.max / length;
}
fn seen(word: bits) -> u32 { return 0u; }
fn finish(found: u32) {}

fn adjusted(factor: f32, i: u32, value: elem) -> elem { return factor * value; }
