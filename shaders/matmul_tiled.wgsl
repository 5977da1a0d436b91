// matmul_tiled: Y = A B, one output per thread, 16x16 tiles in workgroup memory; the yardstick for the faster kernels.
//
//   a [batch.., m, k] and b [batch.., k, n], any strides  ->  y [batches, m, n], unit column stride
//   bindings  0 params, 1 a (read), 2 b (read), 3 y (write)
//   params    128 bytes, the same in every matmul kernel; offsets and strides in elements
//   launch    blocks_m * blocks_n * batches workgroups of 16x16, one per 16x16 tile of y, folded into grid_x * y
//   numerics  f32 products summed in order of k; k = 0 writes zeros
//   source    NVIDIA, CUDA C++ Programming Guide, "Shared Memory" (the tiled matrix product)

struct Params {
  m: u32, n: u32, k: u32, batches: u32,
  a_offset: u32, a_row: u32, a_col: u32, b_offset: u32,
  b_row: u32, b_col: u32, y_offset: u32, y_row: u32,
  y_batch: u32, grid_x: u32, blocks_m: u32, blocks_n: u32,
  slope: f32, bias_offset: u32, bias_col: u32, unused: u32,
  batch_shape: vec4<u32>,
  a_batch: vec4<u32>,
  b_batch: vec4<u32>,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

var<workgroup> sh_a: array<array<f32, 16>, 16>;
var<workgroup> sh_b: array<array<f32, 16>, 16>;

@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
  let block = wg.y * params.grid_x + wg.x;
  let blocks = params.blocks_m * params.blocks_n;
  if (block >= blocks * params.batches) { return; }
  let batch = block / blocks;
  let row = block % blocks / params.blocks_n * 16u + local.y;
  let col = block % params.blocks_n * 16u + local.x;
  let coords = batch_coords(batch);
  let a_start = params.a_offset + dot_u32(coords, params.a_batch) + row * params.a_row;
  let b_start = params.b_offset + dot_u32(coords, params.b_batch) + col * params.b_col;

  var sum = 0.0;
  for (var k0 = 0u; k0 < params.k; k0 += 16u) {
    // Outside the matrices the tiles hold zeros, so the inner loop needs no test.
    var a_value = 0.0;
    var b_value = 0.0;
    if (row < params.m && k0 + local.x < params.k) { a_value = a[a_start + (k0 + local.x) * params.a_col]; }
    if (col < params.n && k0 + local.y < params.k) { b_value = b[b_start + (k0 + local.y) * params.b_row]; }
    sh_a[local.y][local.x] = a_value;
    sh_b[local.y][local.x] = b_value;
    workgroupBarrier();
    for (var i = 0u; i < 16u; i++) { sum += sh_a[local.y][i] * sh_b[i][local.x]; }
    workgroupBarrier();
  }
  if (row < params.m && col < params.n) {
    y[params.y_offset + batch * params.y_batch + row * params.y_row + col] = sum;
  }
}
