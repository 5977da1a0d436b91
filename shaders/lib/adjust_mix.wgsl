// adjust_mix: keep·x + add·y; with keep = 0 whatever x is.

@group(0) @binding(2) var<storage, read> y: array<elem>;

fn begin() -> f32 { return 1.0; }
fn seen(word: bits) -> u32 { return 0u; }
fn finish(found: u32) {}

fn adjusted(factor: f32, i: u32, value: elem) -> elem {
  let fresh = params.add * y[params.y_offset + i];
  if (params.keep == 0.0) { return fresh; }
  return params.keep * value + fresh;
}
