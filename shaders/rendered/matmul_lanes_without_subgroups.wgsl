// matmul_lanes_without_subgroups: what matmul_lanes.wgsl.jinja gives, written by `cargo xtask render`; what it does is explained there.
alias elem = vec4<f32>;
fn apply(z: elem) -> elem { return select(z, z * params.slope, z < elem(0.0)); }

fn batch_coords(batch: u32) -> vec4<u32> {
  let s = params.batch_shape;
  let z = batch / s.w;
  let y = z / s.z;
  return vec4(y / s.y, y % s.y, z % s.z, batch % s.w);
}

fn dot_u32(p: vec4<u32>, q: vec4<u32>) -> u32 {
  return p.x * q.x + p.y * q.y + p.z * q.z + p.w * q.w;
}

struct Params {
  m: u32, n: u32, k: u32, batches: u32,
  a_offset: u32, a_row: u32, a_col: u32, b_offset: u32,
  b_row: u32, b_col: u32, y_offset: u32, y_row: u32,
  y_batch: u32, grid_x: u32, blocks_m: u32, blocks_n: u32,
  slope: f32, bias_offset: u32, bias_col: u32, extra_offset: u32,
  batch_shape: vec4<u32>,
  a_batch: vec4<u32>,
  b_batch: vec4<u32>,
  joined: u32, sums_offset: u32, sum_blocks: u32, factor: f32,
  sums_beside: u32, unused_0: u32, unused_1: u32, unused_2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> e: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> sums: array<f32>;

fn sum_rows(block: u32, lane: u32) {
  let row = block * 32u + lane * 4u;
  let rows = vec4(row) + vec4(0u, 1u, 2u, 3u);
  let at = params.a_offset + min(row, (params.m - 1u) & ~3u);
  var total = vec4(0.0);
  for (var k1 = 0u; k1 < params.k; k1 += 32u) {
    var part = vec4(0.0);
    for (var k = k1; k < min(k1 + 32u, params.k); k++) {
      let step = k * params.a_col;
      part += a[(at + step) / 4u];
    }
    total += part;
  }
  for (var c = 0u; c < 4u; c++) {
    if (rows[c] >= params.m) { continue; }
    if (params.sums_beside == 1u) { y[params.sums_offset + rows[c]] = total[c]; }
    else { sums[params.sums_offset + rows[c]] = total[c]; }
  }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let block = wg.y * params.grid_x + wg.x;
  let blocks = params.blocks_m * params.blocks_n;
  if (block >= blocks * params.batches) {
    let sum_block = block - blocks * params.batches;
    if (sum_block < params.sum_blocks) { sum_rows(sum_block, lane); }
    return;
  }
  let batch = block / blocks;
  let coords = batch_coords(batch);
  let first_row = block % params.blocks_m * 16u;
  let first_col = block % blocks / params.blocks_m * 64u + lane * 4u;
  let last = max(vec3(params.m, params.n, params.k), vec3(1u)) - 1u;
  let a_start = params.a_offset + dot_u32(coords, params.a_batch);
  let b_start = params.b_offset + dot_u32(coords, params.b_batch);
  let a_by_line = params.a_col != 1u;
  let b_by_line = params.b_row != 1u;
  let b_at0 = b_start + select(min(vec4(first_col + 0u) + vec4(0u, 1u, 2u, 3u), vec4(last.y)) * params.b_col, vec4(min(first_col + 0u, last.y & ~3u)), b_by_line);
  let b_at1 = b_start + select(min(vec4(first_col + 32u) + vec4(0u, 1u, 2u, 3u), vec4(last.y)) * params.b_col, vec4(min(first_col + 32u, last.y & ~3u)), b_by_line);
  let a_at0 = a_start + select(min(vec4(first_row + 0u) + vec4(0u, 1u, 2u, 3u), vec4(last.x)) * params.a_row, vec4(min(first_row + 0u, last.x & ~3u)), a_by_line);
  let a_at1 = a_start + select(min(vec4(first_row + 4u) + vec4(0u, 1u, 2u, 3u), vec4(last.x)) * params.a_row, vec4(min(first_row + 4u, last.x & ~3u)), a_by_line);
  let a_at2 = a_start + select(min(vec4(first_row + 8u) + vec4(0u, 1u, 2u, 3u), vec4(last.x)) * params.a_row, vec4(min(first_row + 8u, last.x & ~3u)), a_by_line);
  let a_at3 = a_start + select(min(vec4(first_row + 12u) + vec4(0u, 1u, 2u, 3u), vec4(last.x)) * params.a_row, vec4(min(first_row + 12u, last.x & ~3u)), a_by_line);

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
  var y8_0 = vec4(0.0);
  var y8_1 = vec4(0.0);
  var y9_0 = vec4(0.0);
  var y9_1 = vec4(0.0);
  var y10_0 = vec4(0.0);
  var y10_1 = vec4(0.0);
  var y11_0 = vec4(0.0);
  var y11_1 = vec4(0.0);
  var y12_0 = vec4(0.0);
  var y12_1 = vec4(0.0);
  var y13_0 = vec4(0.0);
  var y13_1 = vec4(0.0);
  var y14_0 = vec4(0.0);
  var y14_1 = vec4(0.0);
  var y15_0 = vec4(0.0);
  var y15_1 = vec4(0.0);

  for (var k0 = 0u; k0 < params.k; k0 += 4u) {
    let k4 = vec4(k0, k0 + 1u, k0 + 2u, k0 + 3u);
    let inside = k4 < vec4(params.k);
    let kk = min(k4, vec4(last.z));
    let b_step = select(vec4(k0), kk * params.b_row, b_by_line);
    let b0_0 = b[(b_at0[0] + b_step[0]) / 4u];
    let b0_1 = b[(b_at0[1] + b_step[1]) / 4u];
    let b0_2 = b[(b_at0[2] + b_step[2]) / 4u];
    let b0_3 = b[(b_at0[3] + b_step[3]) / 4u];
    var b0 = mat4x4(b0_0, b0_1, b0_2, b0_3);
    if (!b_by_line) { b0 = transpose(b0); }
    b0 = mat4x4(select(vec4(0.0), b0[0], inside[0]), select(vec4(0.0), b0[1], inside[1]), select(vec4(0.0), b0[2], inside[2]), select(vec4(0.0), b0[3], inside[3]));
    let b1_0 = b[(b_at1[0] + b_step[0]) / 4u];
    let b1_1 = b[(b_at1[1] + b_step[1]) / 4u];
    let b1_2 = b[(b_at1[2] + b_step[2]) / 4u];
    let b1_3 = b[(b_at1[3] + b_step[3]) / 4u];
    var b1 = mat4x4(b1_0, b1_1, b1_2, b1_3);
    if (!b_by_line) { b1 = transpose(b1); }
    b1 = mat4x4(select(vec4(0.0), b1[0], inside[0]), select(vec4(0.0), b1[1], inside[1]), select(vec4(0.0), b1[2], inside[2]), select(vec4(0.0), b1[3], inside[3]));

    let a_step = select(vec4(k0), kk * params.a_col, a_by_line);
    let a0_0 = a[(a_at0[0] + a_step[0]) / 4u];
    let a0_1 = a[(a_at0[1] + a_step[1]) / 4u];
    let a0_2 = a[(a_at0[2] + a_step[2]) / 4u];
    let a0_3 = a[(a_at0[3] + a_step[3]) / 4u];
    var a0 = mat4x4(a0_0, a0_1, a0_2, a0_3);
    if (!a_by_line) { a0 = transpose(a0); }
    a0 = mat4x4(select(vec4(0.0), a0[0], inside[0]), select(vec4(0.0), a0[1], inside[1]), select(vec4(0.0), a0[2], inside[2]), select(vec4(0.0), a0[3], inside[3]));
    let a1_0 = a[(a_at1[0] + a_step[0]) / 4u];
    let a1_1 = a[(a_at1[1] + a_step[1]) / 4u];
    let a1_2 = a[(a_at1[2] + a_step[2]) / 4u];
    let a1_3 = a[(a_at1[3] + a_step[3]) / 4u];
    var a1 = mat4x4(a1_0, a1_1, a1_2, a1_3);
    if (!a_by_line) { a1 = transpose(a1); }
    a1 = mat4x4(select(vec4(0.0), a1[0], inside[0]), select(vec4(0.0), a1[1], inside[1]), select(vec4(0.0), a1[2], inside[2]), select(vec4(0.0), a1[3], inside[3]));
    let a2_0 = a[(a_at2[0] + a_step[0]) / 4u];
    let a2_1 = a[(a_at2[1] + a_step[1]) / 4u];
    let a2_2 = a[(a_at2[2] + a_step[2]) / 4u];
    let a2_3 = a[(a_at2[3] + a_step[3]) / 4u];
    var a2 = mat4x4(a2_0, a2_1, a2_2, a2_3);
    if (!a_by_line) { a2 = transpose(a2); }
    a2 = mat4x4(select(vec4(0.0), a2[0], inside[0]), select(vec4(0.0), a2[1], inside[1]), select(vec4(0.0), a2[2], inside[2]), select(vec4(0.0), a2[3], inside[3]));
    let a3_0 = a[(a_at3[0] + a_step[0]) / 4u];
    let a3_1 = a[(a_at3[1] + a_step[1]) / 4u];
    let a3_2 = a[(a_at3[2] + a_step[2]) / 4u];
    let a3_3 = a[(a_at3[3] + a_step[3]) / 4u];
    var a3 = mat4x4(a3_0, a3_1, a3_2, a3_3);
    if (!a_by_line) { a3 = transpose(a3); }
    a3 = mat4x4(select(vec4(0.0), a3[0], inside[0]), select(vec4(0.0), a3[1], inside[1]), select(vec4(0.0), a3[2], inside[2]), select(vec4(0.0), a3[3], inside[3]));
    let a_row0 = transpose(a0)[0];
    y0_0 += b0 * a_row0;
    y0_1 += b1 * a_row0;
    let a_row1 = transpose(a0)[1];
    y1_0 += b0 * a_row1;
    y1_1 += b1 * a_row1;
    let a_row2 = transpose(a0)[2];
    y2_0 += b0 * a_row2;
    y2_1 += b1 * a_row2;
    let a_row3 = transpose(a0)[3];
    y3_0 += b0 * a_row3;
    y3_1 += b1 * a_row3;
    let a_row4 = transpose(a1)[0];
    y4_0 += b0 * a_row4;
    y4_1 += b1 * a_row4;
    let a_row5 = transpose(a1)[1];
    y5_0 += b0 * a_row5;
    y5_1 += b1 * a_row5;
    let a_row6 = transpose(a1)[2];
    y6_0 += b0 * a_row6;
    y6_1 += b1 * a_row6;
    let a_row7 = transpose(a1)[3];
    y7_0 += b0 * a_row7;
    y7_1 += b1 * a_row7;
    let a_row8 = transpose(a2)[0];
    y8_0 += b0 * a_row8;
    y8_1 += b1 * a_row8;
    let a_row9 = transpose(a2)[1];
    y9_0 += b0 * a_row9;
    y9_1 += b1 * a_row9;
    let a_row10 = transpose(a2)[2];
    y10_0 += b0 * a_row10;
    y10_1 += b1 * a_row10;
    let a_row11 = transpose(a2)[3];
    y11_0 += b0 * a_row11;
    y11_1 += b1 * a_row11;
    let a_row12 = transpose(a3)[0];
    y12_0 += b0 * a_row12;
    y12_1 += b1 * a_row12;
    let a_row13 = transpose(a3)[1];
    y13_0 += b0 * a_row13;
    y13_1 += b1 * a_row13;
    let a_row14 = transpose(a3)[2];
    y14_0 += b0 * a_row14;
    y14_1 += b1 * a_row14;
    let a_row15 = transpose(a3)[3];
    y15_0 += b0 * a_row15;
    y15_1 += b1 * a_row15;
  }

  let y_start = params.y_offset + batch * params.y_batch;
  let row_end = min(first_row + 16u, params.m);
  let cols0 = vec4(first_col + 0u) + vec4(0u, 1u, 2u, 3u);
  let bias_at0 = params.bias_offset + min(cols0, vec4(last.y)) * params.bias_col;
  let bias0 = vec4(bias[bias_at0[0]], bias[bias_at0[1]], bias[bias_at0[2]], bias[bias_at0[3]]);
  let cols1 = vec4(first_col + 32u) + vec4(0u, 1u, 2u, 3u);
  let bias_at1 = params.bias_offset + min(cols1, vec4(last.y)) * params.bias_col;
  let bias1 = vec4(bias[bias_at1[0]], bias[bias_at1[1]], bias[bias_at1[2]], bias[bias_at1[3]]);
  let joins = min(params.joined, 1u);
  for (var row = first_row; row < row_end; row++) {
    let at = row * params.y_row;
    var z0 = y0_0 * params.factor + bias0;
    var z1 = y0_1 * params.factor + bias1;
    for (var turn = 0u; turn < joins; turn++) {
      let e_start = params.extra_offset + batch * params.y_batch + at;
      let e_at0 = e_start + min(cols0, vec4(last.y));
      let e0 = vec4(e[e_at0[0]], e[e_at0[1]], e[e_at0[2]], e[e_at0[3]]);
      z0 = select(z0 + e0, select(vec4(0.0), z0, e0 > vec4(0.0)), params.joined == 1u);
      let e_at1 = e_start + min(cols1, vec4(last.y));
      let e1 = vec4(e[e_at1[0]], e[e_at1[1]], e[e_at1[2]], e[e_at1[3]]);
      z1 = select(z1 + e1, select(vec4(0.0), z1, e1 > vec4(0.0)), params.joined == 1u);
    }
    z0 = apply(z0);
    if (cols0[0] < params.n) { y[y_start + at + cols0[0]] = z0[0]; }
    if (cols0[1] < params.n) { y[y_start + at + cols0[1]] = z0[1]; }
    if (cols0[2] < params.n) { y[y_start + at + cols0[2]] = z0[2]; }
    if (cols0[3] < params.n) { y[y_start + at + cols0[3]] = z0[3]; }
    y0_0 = y1_0;
    y1_0 = y2_0;
    y2_0 = y3_0;
    y3_0 = y4_0;
    y4_0 = y5_0;
    y5_0 = y6_0;
    y6_0 = y7_0;
    y7_0 = y8_0;
    y8_0 = y9_0;
    y9_0 = y10_0;
    y10_0 = y11_0;
    y11_0 = y12_0;
    y12_0 = y13_0;
    y13_0 = y14_0;
    y14_0 = y15_0;
    z1 = apply(z1);
    if (cols1[0] < params.n) { y[y_start + at + cols1[0]] = z1[0]; }
    if (cols1[1] < params.n) { y[y_start + at + cols1[1]] = z1[1]; }
    if (cols1[2] < params.n) { y[y_start + at + cols1[2]] = z1[2]; }
    if (cols1[3] < params.n) { y[y_start + at + cols1[3]] = z1[3]; }
    y0_1 = y1_1;
    y1_1 = y2_1;
    y2_1 = y3_1;
    y3_1 = y4_1;
    y4_1 = y5_1;
    y5_1 = y6_1;
    y6_1 = y7_1;
    y7_1 = y8_1;
    y8_1 = y9_1;
    y9_1 = y10_1;
    y10_1 = y11_1;
    y11_1 = y12_1;
    y12_1 = y13_1;
    y13_1 = y14_1;
    y14_1 = y15_1;
  }
}
