// matmul_sum: what matmul_sum.wgsl.jinja gives, written by `cargo xtask render`; what it does is explained there.

struct Params {
  m: u32, n: u32, k: u32, batches: u32,
  a_offset: u32, a_row: u32, a_col: u32, b_offset: u32,
  b_row: u32, b_col: u32, y_offset: u32, y_row: u32,
  y_batch: u32, grid_x: u32, blocks_m: u32, blocks_n: u32,
  unused_0: u32, bias_offset: u32, bias_col: u32,
  extra_offset: u32,
  batch_shape: vec4<u32>,
  a_batch: vec4<u32>,
  b_batch: vec4<u32>,
  parts: u32, part_k: u32,
  nan: u32, unused_1: u32,
  numbers: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;


fn batch_coords(batch: u32) -> vec4<u32> {
  let s = params.batch_shape;
  let z = batch / s.w;
  let y = z / s.z;
  return vec4(y / s.y, y % s.y, z % s.z, batch % s.w);
}

fn dot_u32(p: vec4<u32>, q: vec4<u32>) -> u32 {
  return p.x * q.x + p.y * q.y + p.z * q.z + p.w * q.w;
}

@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let each = params.m * params.n / 4u;
  for (var i = id.x; i < each * params.batches; i += groups.x * 64u) {
    let first = i / each * params.parts * each + i % each;
    var sum = a[first];
    for (var part = 1u; part < params.parts; part++) { sum += a[first + part * each]; }
    y[params.y_offset / 4u + i] = sum;
  }
}
