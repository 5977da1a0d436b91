// halves: two f32 as half floats in a word, rounded to the nearest, ties to even; beyond 65504 is infinity, NaN stays NaN.
// In integer arithmetic, since WGSL leaves the rounding of pack2x16float open.

fn halves(v: vec2<f32>) -> u32 {
  let word = bitcast<vec2<u32>>(v);
  let sign = (word >> vec2(16u)) & vec2(0x8000u);
  let size = word & vec2(0x7fffffffu);
  // Normal: drop 13 bits; a carry runs into the exponent, as it should.
  let normal = (size - vec2(0x38000000u) + vec2(0xfffu) + ((size >> vec2(13u)) & vec2(1u))) >> vec2(13u);
  // Subnormal: shift the full significand to its place.
  let shift = min(vec2(126u) - (size >> vec2(23u)), vec2(25u));
  let full = (size & vec2(0x7fffffu)) | vec2(0x800000u);
  let kept = full >> shift;
  let middle = vec2(1u) << (shift - vec2(1u));
  let rest = full & (middle + middle - vec2(1u));
  let up = (rest > middle) | ((rest == middle) & ((kept & vec2(1u)) == vec2(1u)));
  let small = kept + select(vec2(0u), vec2(1u), up);
  var half = select(normal, small, size < vec2(0x38800000u));
  half = select(half, vec2(0x7c00u), size >= vec2(0x47800000u));
  half = sign | select(half, vec2(0x7e00u), size > vec2(0x7f800000u));
  return half.x | (half.y << 16u);
}
