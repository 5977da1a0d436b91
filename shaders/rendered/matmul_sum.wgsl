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
// matmul_sum: Y = apply(Σ over parts + bias): sums what a product wrote for each part of k, always in the same order.
//
//   a [batches, parts, m, n], contiguous from offset 0, bias [n]  ->  y [batches, m, n], contiguous
//   bindings  0 params, 1 a (read), with bias 2 bias (read), with extra the next one (read), last y (write)
//   params    176 bytes, lib/matmul_params; of those m, n, batches, parts, y_offset and what belongs to bias and extra
//   template  vec4: n, y_offset (with extra its offset too) divisible by 4
//             bias, extra (which lies as y does), activation: the host appends elem and apply(z), apply(z, b), apply(z, e) or
//             apply(z, b, e), b the bias and e the extra operand; activation wherever there is one of them
//   launch    threads step by the size of the grid; 64 a workgroup
//   numerics  f32, part after part
//   source    own. A second launch rather than atomic adds: those come in any order, and no two runs would agree

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
