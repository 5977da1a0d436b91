// adjust_unscale: times 1/scale; what is infinite or NaN before sets a flag.

@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> flags: array<atomic<u32>>;

fn begin() -> f32 { return scale[params.y_offset + 1u]; }

fn seen(word: bits) -> u32 {
  let size = word & bits(0x7fffffffu);
  let infinite = select(0u, 1u, any(size == bits(0x7f800000u)));
  return infinite | select(0u, 2u, any(size > bits(0x7f800000u)));
}

fn finish(found: u32) {
  if (found != 0u) { atomicOr(&flags[0], found); }
}

fn adjusted(inverse: f32, i: u32, value: elem) -> elem { return inverse * value; }
