// matmul_params: what the products for GPUs are told; offsets and strides in elements.

struct Params {
  m: u32, n: u32, k: u32, batches: u32,
  a_offset: u32, a_row: u32, a_col: u32, b_offset: u32,
  b_row: u32, b_col: u32, y_offset: u32, y_row: u32,
  y_batch: u32, grid_x: u32, blocks_m: u32, blocks_n: u32,
  unused_0: u32, bias_offset: u32, bias_col: u32,
  // An operand of the epilogue that lies as y does, but for its offset.
  extra_offset: u32,
  batch_shape: vec4<u32>,
  a_batch: vec4<u32>,
  b_batch: vec4<u32>,
  // k in parts of part_k, a multiple of 32; the sum over part p of product z is matrix z * parts + p of y.
  parts: u32, part_k: u32,
  // For what follows the product: NaN as bits, and the numbers of its operations, likewise.
  nan: u32, unused_1: u32,
  numbers: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<uniform> params: Params;

// batches: where a product's matrices begin, from its number among the batches.

// The four batch coordinates of a flat batch number; the last is the fastest.
fn batch_coords(batch: u32) -> vec4<u32> {
  let s = params.batch_shape;
  let z = batch / s.w;
  let y = z / s.z;
  return vec4(y / s.y, y % s.y, z % s.z, batch % s.w);
}

fn dot_u32(p: vec4<u32>, q: vec4<u32>) -> u32 {
  return p.x * q.x + p.y * q.y + p.z * q.z + p.w * q.w;
}
// matmul_thin: Y = apply(A B + bias) for GPUs where y has few rows or few columns: the large operand is read once, from memory.
//
//   a [batch.., m, k], b [batch.., k, n], bias [n]  ->  y [batches * parts, m, n], unit column stride
//   bindings  0 params, 1 a (read), 2 b (read), with bias 3 bias (read), with extra the next one (read), last y (write)
//   params    176 bytes, lib/matmul_params
//   template  by_col: 0, lines are the rows of A and y has few columns; 1, lines are the columns of B and y has few rows
//             few: 1, 2, 4 or 8 of those at once, at most tk; tl, tk: threads across lines and along k, tk a power of two
//             unit: the large operand is contiguous along "k" or along the "line"s and bound as vec4, or "none": f32
//             x_vec4: the small operand is contiguous along k and bound as vec4. Where bound as vec4, offset and all
//             strides but the unit one are divisible by 4, the binding padded to 16 bytes
//             bias, extra (which lies as y does), activation: the host appends elem and apply(z), apply(z, b), apply(z, e) or
//             apply(z, b, e), b the bias and e the extra operand; activation wherever there is one of them
//   launch    blocks_m * blocks_n * parts * batches workgroups of tl * tk threads, each for 4 tl lines x few, folded into
//             grid_x * y; few * tl * tk * 16 bytes of workgroup memory
//   numerics  f32; a thread sums every tk-th four of k, a tree sums the threads; what lies past m, n, k may be NaN
//   source    llama.cpp's mul_mat_vec (several rows a workgroup, 16-byte loads along k). A tree in workgroup memory
//             rather than subgroup sums: it runs once, and needs neither a feature nor a subgroup size

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

  // Neighbouring threads read neighbouring addresses of the large operand.
  let kt = thread % 64u;
  let lt = thread / 64u;
  // Lines past the end are read from the last one, so that no address leaves the operand.
  let line = first_line + lt * 4u;
  let w_at = a_start + min(vec4(line) + vec4(0u, 1u, 2u, 3u), vec4(last_line)) * params.a_row;
  let x_at0 = b_start + min(first_few + 0u, last_few) * params.b_col;
  var sum0 = vec4(0.0);

  for (var k = k_first + kt * 4u; k < k_end; k += 256u) {
    let k4 = vec4(k) + vec4(0u, 1u, 2u, 3u);
    let inside = k4 < vec4(params.k);
    let kk = min(k4, vec4(params.k - 1u));
    // A column for each line.
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

  // Four results for each of the first threads: lines .. lines + 3 of one of the few.
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
