// philox: Philox 4x32-10, four random integers from a counter and a key; the same as on the host.
// source: Salmon, Moraes, Dror, Shaw, SC 2011.

// The high 32 bits of a product; WGSL has no 64-bit integers.
fn mul_high(a: u32, b: u32) -> u32 {
  let a0 = a & 0xffffu; let a1 = a >> 16u;
  let b0 = b & 0xffffu; let b1 = b >> 16u;
  let low = a0 * b0;
  let mid = a1 * b0 + (low >> 16u);
  let cross = a0 * b1 + (mid & 0xffffu);
  return a1 * b1 + (mid >> 16u) + (cross >> 16u);
}

fn philox(start: vec4<u32>, start_key: vec2<u32>) -> vec4<u32> {
  var c = start;
  var key = start_key;
  for (var round = 0u; round < 10u; round++) {
    let high = vec2(mul_high(0xd2511f53u, c.x), mul_high(0xcd9e8d57u, c.z));
    let low = vec2(0xd2511f53u * c.x, 0xcd9e8d57u * c.z);
    c = vec4(high.y ^ c.y ^ key.x, low.y, high.x ^ c.w ^ key.y, low.x);
    key += vec2(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}
