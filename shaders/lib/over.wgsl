// over: a / b without an integer division, which software adapters do lane by lane. Where SMALL is 1, a and b are below
// 2^21: the quotient of floats, 2.5 ulp off at most, is then off by 1 at most, which is put right.

fn over(a: u32, b: u32) -> u32 {
  if (SMALL == 0u) { return a / b; }
  let near = u32(f32(a) / f32(b));
  let low = near - select(0u, 1u, near * b > a);
  return low + select(0u, 1u, a - low * b >= b);
}

fn over4(a: vec4<u32>, b: u32) -> vec4<u32> {
  if (SMALL == 0u) { return a / b; }
  let near = vec4<u32>(vec4<f32>(a) / f32(b));
  let low = near - select(vec4(0u), vec4(1u), near * b > a);
  return low + select(vec4(0u), vec4(1u), a - low * b >= vec4(b));
}
