// roofline_multiply_add: long chains of multiply-adds in registers: how fast this adapter computes.
//
//   y [threads] vec4<f32>: sums that nobody reads, written so that the work is not left out
//   bindings  0 params, 1 y (write)
//   launch    threads / 64 workgroups of 64; a thread does turns * 32 vec4 multiply-adds, eight chains of
//             vec4 side by side so that no chain waits for itself
//   numerics  the factor is near 1, so values neither vanish nor overflow

struct Params { turns: u32, factor: f32, term: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let f = vec4(params.factor);
  let t = vec4(params.term);
  let x = vec4(f32(id.x & 63u));
  var a = x;
  var b = x + 1.0;
  var c = x + 2.0;
  var d = x + 3.0;
  var e = x + 4.0;
  var g = x + 5.0;
  var h = x + 6.0;
  var i = x + 7.0;
  for (var turn = 0u; turn < params.turns; turn++) {
    a = fma(a, f, t); b = fma(b, f, t); c = fma(c, f, t); d = fma(d, f, t);
    e = fma(e, f, t); g = fma(g, f, t); h = fma(h, f, t); i = fma(i, f, t);
    a = fma(a, f, t); b = fma(b, f, t); c = fma(c, f, t); d = fma(d, f, t);
    e = fma(e, f, t); g = fma(g, f, t); h = fma(h, f, t); i = fma(i, f, t);
    a = fma(a, f, t); b = fma(b, f, t); c = fma(c, f, t); d = fma(d, f, t);
    e = fma(e, f, t); g = fma(g, f, t); h = fma(h, f, t); i = fma(i, f, t);
    a = fma(a, f, t); b = fma(b, f, t); c = fma(c, f, t); d = fma(d, f, t);
    e = fma(e, f, t); g = fma(g, f, t); h = fma(h, f, t); i = fma(i, f, t);
  }
  y[id.x] = (a + b) + (c + d) + (e + g) + (h + i);
}
