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

