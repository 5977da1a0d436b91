// narrow_f16: f32 to half floats, two to a word, rounded to the nearest, ties to even.
//
//   x [count] f32, contiguous  ->  y [count] halves, contiguous from a whole word on
//   bindings  0 params, 1 x (read), 2 y (write), in place 9 fault
//   launch    any number of workgroups of 64; a thread writes one word and steps by the size of the grid
//   numerics  integer arithmetic, since WGSL leaves the rounding of pack2x16float open; beyond 65504
//             is infinity, NaN stays NaN

struct Params { count: u32, x_offset: u32, y_word: u32, unused: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

fn half(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return sign | 0x7e00u; }
  if (size >= 0x47800000u) { return sign | 0x7c00u; }
  if (size >= 0x38800000u) {
    // Normal: drop 13 bits, rounding to even; a carry runs into the exponent, as it should.
    let odd = (size >> 13u) & 1u;
    return sign | ((size - 0x38000000u + 0xfffu + odd) >> 13u);
  }
  if (size < 0x33000000u) { return sign; }
  // Subnormal: shift the full significand to its place.
  let shift = 126u - (size >> 23u);
  let full = (size & 0x7fffffu) | 0x800000u;
  let kept = full >> shift;
  let rest = full & ((1u << shift) - 1u);
  let middle = 1u << (shift - 1u);
  let up = select(0u, 1u, rest > middle || (rest == middle && (kept & 1u) == 1u));
  return sign | (kept + up);
}

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  if (halted()) { return; }
  let words = (params.count + 1u) / 2u;
  let turn = walk(words, group.x, groups.x, lane);
  for (var word = turn.first; word < turn.end; word += turn.step) {
    let i = word * 2u;
    var packed = half(x[params.x_offset + i]);
    // The other half of the last word may be another element's: it stays.
    if (i + 1u < params.count) { packed |= half(x[params.x_offset + i + 1u]) << 16u; }
    else { packed |= y[params.y_word + word] & 0xffff0000u; }
    y[params.y_word + word] = packed;
  }
}
