// random: random numbers from the device's Philox state, four to a counter.
//
//   state [4] (key, counter)  ->  y [count] contiguous
//   bindings  0 params, 1 state (read), 2 y (write)
//   launch    any number of workgroups of 64; a thread makes four numbers and steps by the size of the grid
//   numerics  24 random bits a number; normal numbers by Box and Muller 1958, with sine and cosine of
//             our own, since WGSL promises only 2⁻¹¹ for them

struct Params { count: u32, offset: u32, normal: u32, unused: u32, low: f32, high: f32, mean: f32, width: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> state: array<u32, 4>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn unit(bits: u32) -> f32 { return f32(bits >> 8u) * 5.9604645e-8; }

// Cosine and sine of 2πu for u in [0, 1): the nearest quarter turn, then Taylor within an eighth.
fn circle(u: f32) -> vec2<f32> {
  let turn = floor(u * 4.0 + 0.5);
  let a = (u * 4.0 - turn) * 1.5707963;
  let s = a * a;
  let c = 1.0 + s * (-0.5 + s * (0.041666667 + s * (-0.0013888889 + s * 2.4801587e-5)));
  let n = a * (1.0 + s * (-0.16666667 + s * (0.008333333 + s * (-1.984127e-4 + s * 2.7557319e-6))));
  switch (u32(turn) & 3u) {
    case 0u: { return vec2(c, n); }
    case 1u: { return vec2(-n, c); }
    case 2u: { return vec2(-c, -n); }
    default: { return vec2(n, -c); }
  }
}

fn pair(a: u32, b: u32) -> vec2<f32> {
  return sqrt(-2.0 * log(1.0 - unit(a))) * circle(unit(b));
}

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let blocks = (params.count + 3u) / 4u;
  let turn = walk(blocks, group.x, groups.x, lane);
  for (var block = turn.first; block < turn.end; block += turn.step) {
    let low = state[2] + block;
    let high = state[3] + select(0u, 1u, low < block);
    let bits = philox(vec4(low, high, 0u, 0u), vec2(state[0], state[1]));
    var values: vec4<f32>;
    if (params.normal == 1u) {
      values = params.mean + params.width * vec4(pair(bits.x, bits.y), pair(bits.z, bits.w));
    } else {
      let u = vec4(unit(bits.x), unit(bits.y), unit(bits.z), unit(bits.w));
      values = params.low + (params.high - params.low) * u;
      values = select(values, vec4(params.low), values >= vec4(params.high));
    }
    let at = block * 4u;
    if (at < params.count) { y[params.offset + at] = values.x; }
    if (at + 1u < params.count) { y[params.offset + at + 1u] = values.y; }
    if (at + 2u < params.count) { y[params.offset + at + 2u] = values.z; }
    if (at + 3u < params.count) { y[params.offset + at + 3u] = values.w; }
  }
}
