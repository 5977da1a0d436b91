// matmul_thin: what matmul_thin.wgsl.jinja gives, written by `cargo xtask render`; what it does is explained there.

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

var<workgroup> sums: array<vec4<f32>, 128>;

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
  let block_m = block % blocks / params.blocks_n;
  let block_n = block % params.blocks_n;
  let first_line = block_m * 8u;
  let first_few = block_n * 1u;
  let last_line = params.m - 1u;
  let last_few = params.n - 1u;

  let kt = thread % 64u;
  let lt = thread / 64u;
  let line = first_line + lt * 4u;
  let w_at = a_start + min(vec4(line) + vec4(0u, 1u, 2u, 3u), vec4(last_line)) * params.a_row;
  let x_at0 = b_start + min(first_few + 0u, last_few) * params.b_col;
  var sum0 = vec4(0.0);

  for (var k = k_first + kt * 4u; k < k_end; k += 256u) {
    let k4 = vec4(k) + vec4(0u, 1u, 2u, 3u);
    let inside = k4 < vec4(params.k);
    let kk = min(k4, vec4(params.k - 1u));
    let w = mat4x4(select(vec4(0.0), a[(w_at[0] + k) / 4u], inside), select(vec4(0.0), a[(w_at[1] + k) / 4u], inside), select(vec4(0.0), a[(w_at[2] + k) / 4u], inside), select(vec4(0.0), a[(w_at[3] + k) / 4u], inside));
    let x0 = select(vec4(0.0), b[(x_at0 + k) / 4u], inside);
    sum0 += x0 * w;
  }

  let slot = kt * 2u + lt;
  sums[0u + slot] = sum0;
  for (var reach = 32u; reach > 0u; reach /= 2u) {
    workgroupBarrier();
    if (kt < reach) {
      sums[0u + slot] += sums[0u + slot + reach * 2u];
    }
  }
  workgroupBarrier();

  let f = thread / 2u;
  let out_few = first_few + f;
  let out_line = first_line + thread % 2u * 4u;
  if (f >= 1u || out_few > last_few) { return; }
  let sum = sums[f * 128u + thread % 2u];
  let y_start = params.y_offset + slab * params.y_batch;
  let out_lines = min(vec4(out_line) + vec4(0u, 1u, 2u, 3u), vec4(last_line));
  let in_matrix = out_lines * params.y_row + out_few;
  let z = sum;
  if (out_line + 0u <= last_line) { y[y_start + in_matrix[0]] = z[0]; }
  if (out_line + 1u <= last_line) { y[y_start + in_matrix[1]] = z[1]; }
  if (out_line + 2u <= last_line) { y[y_start + in_matrix[2]] = z[2]; }
  if (out_line + 3u <= last_line) { y[y_start + in_matrix[3]] = z[3]; }
}
