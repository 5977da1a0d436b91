// matmul_cooperative_64: what matmul_cooperative.wgsl.jinja gives, written by `cargo xtask render`; what it does is explained there.
enable f16; enable wgpu_cooperative_matrix;

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
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

var<workgroup> sh_a: array<vec4<f16>, 640>;
var<workgroup> sh_b: array<vec4<f16>, 576>;
var<workgroup> sh_y: array<f32, 1024>;

fn fetch_a(start: u32, line: u32, k: u32) -> mat4x4<f32> {
  let at = (start + line * params.a_row + k) / 4u;
  let apart = params.a_row / 4u;
  return mat4x4(a[at], a[at + apart], a[at + 2u * apart], a[at + 3u * apart]);
}

fn fetch_b(start: u32, line: u32, k: u32) -> mat4x4<f32> {
  let at = (start + line + k * params.b_row) / 4u;
  let apart = params.b_row / 4u;
  return mat4x4(b[at], b[at + apart], b[at + 2u * apart], b[at + 3u * apart]);
}

fn take_a(i: u32, k0: u32, start: u32, first: u32) -> mat4x4<f32> {
  let line = i / 8u;
  let k = i % 8u;
  return fetch_a(start, first + line * 4u, k0 + k * 4u);
}

fn take_b(i: u32, k0: u32, start: u32, first: u32) -> mat4x4<f32> {
  let line = i % 16u;
  let k = i / 16u;
  return fetch_b(start, first + line * 4u, k0 + k * 4u);
}

fn keep_a(i: u32, v: mat4x4<f32>) {
  let line = i / 8u;
  let k = i % 8u;
  sh_a[((line * 4u + 0u) * 40u + k * 4u) / 4u] = vec4<f16>(v[0]);
  sh_a[((line * 4u + 1u) * 40u + k * 4u) / 4u] = vec4<f16>(v[1]);
  sh_a[((line * 4u + 2u) * 40u + k * 4u) / 4u] = vec4<f16>(v[2]);
  sh_a[((line * 4u + 3u) * 40u + k * 4u) / 4u] = vec4<f16>(v[3]);

}

fn keep_b(i: u32, v: mat4x4<f32>) {
  let line = i % 16u;
  let k = i / 16u;
  sh_b[((k * 4u + 0u) * 72u + line * 4u) / 4u] = vec4<f16>(v[0]);
  sh_b[((k * 4u + 1u) * 72u + line * 4u) / 4u] = vec4<f16>(v[1]);
  sh_b[((k * 4u + 2u) * 72u + line * 4u) / 4u] = vec4<f16>(v[2]);
  sh_b[((k * 4u + 3u) * 72u + line * 4u) / 4u] = vec4<f16>(v[3]);

}

fn finish(thread: u32, first_row: u32, first_col: u32, slab: u32) {
  let sub = thread / 32u;
  for (var i = thread % 32u; i < 64u; i += 32u) {
    let row = first_row + i / 4u;
    let col = first_col + i % 4u * 4u;
    if (row < params.m && col < params.n) {
      let start = sub * 256u + i * 4u;
      var z = vec4(sh_y[start], sh_y[start + 1u], sh_y[start + 2u], sh_y[start + 3u]);
      let cols = min(vec4(col) + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u));
      let at = slab * params.y_batch + row * params.y_row + cols;
      if (col + 0u < params.n) { y[params.y_offset + at[0]] = z[0]; }
      if (col + 1u < params.n) { y[params.y_offset + at[1]] = z[1]; }
      if (col + 2u < params.n) { y[params.y_offset + at[2]] = z[2]; }
      if (col + 3u < params.n) { y[params.y_offset + at[3]] = z[3]; }
    }
  }
}

@compute @workgroup_size(128)
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
  let first_row = (band * 8u + in_band % band_rows) * 64u;
  let first_col = in_band / band_rows * 64u;

  let sub = thread / 32u;
  let sub_row = sub / 2u * 32u;
  let sub_col = sub % 2u * 32u;

  var held0 = mat4x4<f32>();
  if (k_first < k_end) { held0 = take_a(thread + 0u, k_first, a_start, first_row); }
  var held1 = mat4x4<f32>();
  if (k_first < k_end) { held1 = take_b(thread + 128u - 128u, k_first, b_start, first_col); }

  var y0_0 = coop_mat16x16<f32, C>();
  var y0_1 = coop_mat16x16<f32, C>();
  var y1_0 = coop_mat16x16<f32, C>();
  var y1_1 = coop_mat16x16<f32, C>();

  for (var k0 = k_first; k0 < k_end; k0 += 32u) {
    keep_a(thread + 0u, held0);
    keep_b(thread + 128u - 128u, held1);
    workgroupBarrier();
    if (k0 + 32u < k_end) {
      held0 = take_a(thread + 0u, k0 + 32u, a_start, first_row);
      held1 = take_b(thread + 128u - 128u, k0 + 32u, b_start, first_col);
    }
    {
      let a0 = coopLoadT<coop_mat16x16<f16, A>>(&sh_a[((sub_row + 0u) * 40u + 0u) / 4u], 10u);
      let a1 = coopLoadT<coop_mat16x16<f16, A>>(&sh_a[((sub_row + 16u) * 40u + 0u) / 4u], 10u);
      let b0 = coopLoadT<coop_mat16x16<f16, B>>(&sh_b[(0u * 72u + (sub_col + 0u)) / 4u], 18u);
      y0_0 = coopMultiplyAdd(a0, b0, y0_0);
      y1_0 = coopMultiplyAdd(a1, b0, y1_0);
      let b1 = coopLoadT<coop_mat16x16<f16, B>>(&sh_b[(0u * 72u + (sub_col + 16u)) / 4u], 18u);
      y0_1 = coopMultiplyAdd(a0, b1, y0_1);
      y1_1 = coopMultiplyAdd(a1, b1, y1_1);

    }
    {
      let a0 = coopLoadT<coop_mat16x16<f16, A>>(&sh_a[((sub_row + 0u) * 40u + 16u) / 4u], 10u);
      let a1 = coopLoadT<coop_mat16x16<f16, A>>(&sh_a[((sub_row + 16u) * 40u + 16u) / 4u], 10u);
      let b0 = coopLoadT<coop_mat16x16<f16, B>>(&sh_b[(16u * 72u + (sub_col + 0u)) / 4u], 18u);
      y0_0 = coopMultiplyAdd(a0, b0, y0_0);
      y1_0 = coopMultiplyAdd(a1, b0, y1_0);
      let b1 = coopLoadT<coop_mat16x16<f16, B>>(&sh_b[(16u * 72u + (sub_col + 16u)) / 4u], 18u);
      y0_1 = coopMultiplyAdd(a0, b1, y0_1);
      y1_1 = coopMultiplyAdd(a1, b1, y1_1);

    }
    workgroupBarrier();
  }

  let y_row = params.y_row;
  let y_at = params.y_offset + slab * params.y_batch + (first_row + sub_row) * y_row + first_col + sub_col;
  let y_at0_0 = y_at + 0u * y_row + 0u;
  coopStoreT(y0_0, &y[y_at0_0], y_row);
  let y_at0_1 = y_at + 0u * y_row + 16u;
  coopStoreT(y0_1, &y[y_at0_1], y_row);
  let y_at1_0 = y_at + 16u * y_row + 0u;
  coopStoreT(y1_0, &y[y_at1_0], y_row);
  let y_at1_1 = y_at + 16u * y_row + 16u;
  coopStoreT(y1_1, &y[y_at1_1], y_row);
}
