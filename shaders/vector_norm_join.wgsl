// vector_norm_join: the length of a buffer from the sums of its parts.
//
//   parts [count] as vector_norm_parts gives them  ->  y, one f32
//   bindings  0 params, 1 parts (read), 2 y (write)
//   launch    one workgroup of 64
//   numerics  a thread sums every 64th part, then a tree; infinity and NaN pass

struct Params { count: u32, y_offset: u32, infinity: u32, nan: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
var<workgroup> sh_sum: array<vec4<f32>, 64>;
var<workgroup> sh_largest: array<u32, 64>;

// The length of two lengths at a right angle; a is above 0.
fn joined(a: f32, b: f32) -> f32 {
  let large = max(a, b);
  let ratio = min(a, b) / large;
  return large * sqrt(1.0 + ratio * ratio);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = vec3(0.0);
  var largest = 0u;
  for (var i = lane; i < params.count; i += 64u) {
    let part = parts[i];
    sum += bitcast<vec3<f32>>(part.xyz);
    largest = max(largest, part.w);
  }
  sh_sum[lane] = vec4(sum, 0.0);
  sh_largest[lane] = largest;
  workgroupBarrier();
  for (var width = 32u; width > 0u; width >>= 1u) {
    if (lane < width) {
      sh_sum[lane] += sh_sum[lane + width];
      sh_largest[lane] = max(sh_largest[lane], sh_largest[lane + width]);
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    let all = sh_sum[0];
    var length = 0.0;
    // Lengths are joined, not squares: 2⁻¹⁴⁰ is no normal number, and compilers multiply constants first.
    let smaller = 8.470329472543003e-22;
    if (all.z > 0.0) {
      length = joined(sqrt(all.z), sqrt(all.y) * smaller) * 1180591620717411303424.0;
    } else if (all.y > 0.0) {
      length = joined(sqrt(all.y), sqrt(all.x) * smaller);
    } else {
      length = sqrt(all.x) * smaller;
    }
    var word = bitcast<u32>(length);
    if (sh_largest[0] == 0x7f800000u) { word = params.infinity; }
    if (sh_largest[0] > 0x7f800000u) { word = params.nan; }
    y[params.y_offset] = word;
  }
}
