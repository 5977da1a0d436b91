// matmul_registers_128: what matmul_registers.wgsl.jinja gives, written by `cargo xtask render`; what it does is explained there.

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
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

var<workgroup> sh_a: array<vec4<f32>, 512>;
var<workgroup> sh_b: array<vec4<f32>, 512>;

fn fetch_a(start: u32, line: u32, k: u32) -> mat4x4<f32> {
  let at = (start + line * params.a_row + k) / 4u;
  let apart = params.a_row / 4u;
  return transpose(mat4x4(a[at], a[at + apart], a[at + 2u * apart], a[at + 3u * apart]));
}

fn fetch_b(start: u32, line: u32, k: u32) -> mat4x4<f32> {
  let at = (start + line + k * params.b_row) / 4u;
  let apart = params.b_row / 4u;
  return mat4x4(b[at], b[at + apart], b[at + 2u * apart], b[at + 3u * apart]);
}

fn take_a(i: u32, k0: u32, start: u32, first: u32) -> mat4x4<f32> {
  let line = i / 4u;
  let k = i % 4u;
  return fetch_a(start, first + line * 4u, k0 + k * 4u);
}

fn take_b(i: u32, k0: u32, start: u32, first: u32) -> mat4x4<f32> {
  let line = i % 32u;
  let k = i / 32u;
  return fetch_b(start, first + line * 4u, k0 + k * 4u);
}

fn keep_a(i: u32, v: mat4x4<f32>) {
  let line = i / 4u;
  let k = i % 4u;
  sh_a[(k * 4u + 0u) * 32u + (line ^ (k * 2u))] = v[0];
  sh_a[(k * 4u + 1u) * 32u + (line ^ (k * 2u))] = v[1];
  sh_a[(k * 4u + 2u) * 32u + (line ^ (k * 2u))] = v[2];
  sh_a[(k * 4u + 3u) * 32u + (line ^ (k * 2u))] = v[3];
}

fn keep_b(i: u32, v: mat4x4<f32>) {
  let line = i % 32u;
  let k = i / 32u;
  sh_b[(k * 4u + 0u) * 32u + (line ^ (k * 2u))] = v[0];
  sh_b[(k * 4u + 1u) * 32u + (line ^ (k * 2u))] = v[1];
  sh_b[(k * 4u + 2u) * 32u + (line ^ (k * 2u))] = v[2];
  sh_b[(k * 4u + 3u) * 32u + (line ^ (k * 2u))] = v[3];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let block = wg.y * params.grid_x + wg.x;
  let blocks = params.blocks_m * params.blocks_n;
  let slab = block / blocks;
  if (slab >= params.batches * params.parts) { return; }
  let coords = batch_coords(slab / params.parts);
  let a_start = params.a_offset + dot_u32(coords, params.a_batch);
  let b_start = params.b_offset + dot_u32(coords, params.b_batch);
  let k_first = slab % params.parts * params.part_k;
  let k_end = min(params.k, k_first + params.part_k);

  let band = block % blocks / (8u * params.blocks_n);
  let in_band = block % blocks % (8u * params.blocks_n);
  let band_rows = min(params.blocks_m - band * 8u, 8u);
  let first_row = (band * 8u + in_band % band_rows) * 128u;
  let first_col = in_band / band_rows * 128u;

  let tx = thread % 8u + thread / 32u % 2u * 8u;
  let ty = thread / 8u % 4u + thread / 64u * 4u;

  var held0 = mat4x4<f32>();
  if (k_first < k_end) { if (thread + 0u < 128u) { held0 = take_a(thread + 0u, k_first, a_start, first_row); } else { held0 = take_b(thread + 0u - 128u, k_first, b_start, first_col); } }

  var y0_0 = vec4(0.0);
  var y0_1 = vec4(0.0);
  var y1_0 = vec4(0.0);
  var y1_1 = vec4(0.0);
  var y2_0 = vec4(0.0);
  var y2_1 = vec4(0.0);
  var y3_0 = vec4(0.0);
  var y3_1 = vec4(0.0);
  var y4_0 = vec4(0.0);
  var y4_1 = vec4(0.0);
  var y5_0 = vec4(0.0);
  var y5_1 = vec4(0.0);
  var y6_0 = vec4(0.0);
  var y6_1 = vec4(0.0);
  var y7_0 = vec4(0.0);
  var y7_1 = vec4(0.0);

  for (var k0 = k_first; k0 < k_end; k0 += 16u) {
    if (thread + 0u < 128u) { keep_a(thread + 0u, held0); } else { keep_b(thread + 0u - 128u, held0); }
    workgroupBarrier();
    if (k0 + 16u < k_end) {
      if (thread + 0u < 128u) { held0 = take_a(thread + 0u, k0 + 16u, a_start, first_row); } else { held0 = take_b(thread + 0u - 128u, k0 + 16u, b_start, first_col); }
    }
    {
      let a0 = sh_a[0u + ((ty + 0u) ^ 0u)];
      let a1 = sh_a[0u + ((ty + 16u) ^ 0u)];
      let b0 = sh_b[0u + ((tx + 0u) ^ 0u)];
      let b1 = sh_b[0u + ((tx + 16u) ^ 0u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[32u + ((ty + 0u) ^ 0u)];
      let a1 = sh_a[32u + ((ty + 16u) ^ 0u)];
      let b0 = sh_b[32u + ((tx + 0u) ^ 0u)];
      let b1 = sh_b[32u + ((tx + 16u) ^ 0u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[64u + ((ty + 0u) ^ 0u)];
      let a1 = sh_a[64u + ((ty + 16u) ^ 0u)];
      let b0 = sh_b[64u + ((tx + 0u) ^ 0u)];
      let b1 = sh_b[64u + ((tx + 16u) ^ 0u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[96u + ((ty + 0u) ^ 0u)];
      let a1 = sh_a[96u + ((ty + 16u) ^ 0u)];
      let b0 = sh_b[96u + ((tx + 0u) ^ 0u)];
      let b1 = sh_b[96u + ((tx + 16u) ^ 0u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[128u + ((ty + 0u) ^ 2u)];
      let a1 = sh_a[128u + ((ty + 16u) ^ 2u)];
      let b0 = sh_b[128u + ((tx + 0u) ^ 2u)];
      let b1 = sh_b[128u + ((tx + 16u) ^ 2u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[160u + ((ty + 0u) ^ 2u)];
      let a1 = sh_a[160u + ((ty + 16u) ^ 2u)];
      let b0 = sh_b[160u + ((tx + 0u) ^ 2u)];
      let b1 = sh_b[160u + ((tx + 16u) ^ 2u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[192u + ((ty + 0u) ^ 2u)];
      let a1 = sh_a[192u + ((ty + 16u) ^ 2u)];
      let b0 = sh_b[192u + ((tx + 0u) ^ 2u)];
      let b1 = sh_b[192u + ((tx + 16u) ^ 2u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[224u + ((ty + 0u) ^ 2u)];
      let a1 = sh_a[224u + ((ty + 16u) ^ 2u)];
      let b0 = sh_b[224u + ((tx + 0u) ^ 2u)];
      let b1 = sh_b[224u + ((tx + 16u) ^ 2u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[256u + ((ty + 0u) ^ 4u)];
      let a1 = sh_a[256u + ((ty + 16u) ^ 4u)];
      let b0 = sh_b[256u + ((tx + 0u) ^ 4u)];
      let b1 = sh_b[256u + ((tx + 16u) ^ 4u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[288u + ((ty + 0u) ^ 4u)];
      let a1 = sh_a[288u + ((ty + 16u) ^ 4u)];
      let b0 = sh_b[288u + ((tx + 0u) ^ 4u)];
      let b1 = sh_b[288u + ((tx + 16u) ^ 4u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[320u + ((ty + 0u) ^ 4u)];
      let a1 = sh_a[320u + ((ty + 16u) ^ 4u)];
      let b0 = sh_b[320u + ((tx + 0u) ^ 4u)];
      let b1 = sh_b[320u + ((tx + 16u) ^ 4u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[352u + ((ty + 0u) ^ 4u)];
      let a1 = sh_a[352u + ((ty + 16u) ^ 4u)];
      let b0 = sh_b[352u + ((tx + 0u) ^ 4u)];
      let b1 = sh_b[352u + ((tx + 16u) ^ 4u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[384u + ((ty + 0u) ^ 6u)];
      let a1 = sh_a[384u + ((ty + 16u) ^ 6u)];
      let b0 = sh_b[384u + ((tx + 0u) ^ 6u)];
      let b1 = sh_b[384u + ((tx + 16u) ^ 6u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[416u + ((ty + 0u) ^ 6u)];
      let a1 = sh_a[416u + ((ty + 16u) ^ 6u)];
      let b0 = sh_b[416u + ((tx + 0u) ^ 6u)];
      let b1 = sh_b[416u + ((tx + 16u) ^ 6u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[448u + ((ty + 0u) ^ 6u)];
      let a1 = sh_a[448u + ((ty + 16u) ^ 6u)];
      let b0 = sh_b[448u + ((tx + 0u) ^ 6u)];
      let b1 = sh_b[448u + ((tx + 16u) ^ 6u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    {
      let a0 = sh_a[480u + ((ty + 0u) ^ 6u)];
      let a1 = sh_a[480u + ((ty + 16u) ^ 6u)];
      let b0 = sh_b[480u + ((tx + 0u) ^ 6u)];
      let b1 = sh_b[480u + ((tx + 16u) ^ 6u)];
      y0_0 = fma(vec4(a0[0]), b0, y0_0);
      y0_1 = fma(vec4(a0[0]), b1, y0_1);
      y1_0 = fma(vec4(a0[1]), b0, y1_0);
      y1_1 = fma(vec4(a0[1]), b1, y1_1);
      y2_0 = fma(vec4(a0[2]), b0, y2_0);
      y2_1 = fma(vec4(a0[2]), b1, y2_1);
      y3_0 = fma(vec4(a0[3]), b0, y3_0);
      y3_1 = fma(vec4(a0[3]), b1, y3_1);
      y4_0 = fma(vec4(a1[0]), b0, y4_0);
      y4_1 = fma(vec4(a1[0]), b1, y4_1);
      y5_0 = fma(vec4(a1[1]), b0, y5_0);
      y5_1 = fma(vec4(a1[1]), b1, y5_1);
      y6_0 = fma(vec4(a1[2]), b0, y6_0);
      y6_1 = fma(vec4(a1[2]), b1, y6_1);
      y7_0 = fma(vec4(a1[3]), b0, y7_0);
      y7_1 = fma(vec4(a1[3]), b1, y7_1);
    }
    workgroupBarrier();
  }

  let y_start = params.y_offset + slab * params.y_batch;
  let col0 = first_col + (tx + 0u) * 4u;
  {
    let row0 = first_row + (ty + 0u) * 4u + 0u;
    {
      let in_matrix = row0 * params.y_row + col0;
      let z = y0_0;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row1 = first_row + (ty + 0u) * 4u + 1u;
    {
      let in_matrix = row1 * params.y_row + col0;
      let z = y1_0;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row2 = first_row + (ty + 0u) * 4u + 2u;
    {
      let in_matrix = row2 * params.y_row + col0;
      let z = y2_0;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row3 = first_row + (ty + 0u) * 4u + 3u;
    {
      let in_matrix = row3 * params.y_row + col0;
      let z = y3_0;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row4 = first_row + (ty + 16u) * 4u + 0u;
    {
      let in_matrix = row4 * params.y_row + col0;
      let z = y4_0;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row5 = first_row + (ty + 16u) * 4u + 1u;
    {
      let in_matrix = row5 * params.y_row + col0;
      let z = y5_0;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row6 = first_row + (ty + 16u) * 4u + 2u;
    {
      let in_matrix = row6 * params.y_row + col0;
      let z = y6_0;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row7 = first_row + (ty + 16u) * 4u + 3u;
    {
      let in_matrix = row7 * params.y_row + col0;
      let z = y7_0;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
  }
  let col1 = first_col + (tx + 16u) * 4u;
  {
    let row0 = first_row + (ty + 0u) * 4u + 0u;
    {
      let in_matrix = row0 * params.y_row + col1;
      let z = y0_1;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row1 = first_row + (ty + 0u) * 4u + 1u;
    {
      let in_matrix = row1 * params.y_row + col1;
      let z = y1_1;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row2 = first_row + (ty + 0u) * 4u + 2u;
    {
      let in_matrix = row2 * params.y_row + col1;
      let z = y2_1;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row3 = first_row + (ty + 0u) * 4u + 3u;
    {
      let in_matrix = row3 * params.y_row + col1;
      let z = y3_1;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row4 = first_row + (ty + 16u) * 4u + 0u;
    {
      let in_matrix = row4 * params.y_row + col1;
      let z = y4_1;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row5 = first_row + (ty + 16u) * 4u + 1u;
    {
      let in_matrix = row5 * params.y_row + col1;
      let z = y5_1;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row6 = first_row + (ty + 16u) * 4u + 2u;
    {
      let in_matrix = row6 * params.y_row + col1;
      let z = y6_1;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
    let row7 = first_row + (ty + 16u) * 4u + 3u;
    {
      let in_matrix = row7 * params.y_row + col1;
      let z = y7_1;
      let at = y_start + in_matrix;
      y[at / 4u] = z;
    }
  }
}
