// matmul_lanes: what matmul_lanes.wgsl.jinja gives, written by `cargo xtask render`; what it does is explained there.
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

fn transpose_lanes(v: vec4<f32>, lane: u32) -> vec4<f32> {
  let odd = (lane & 1u) == 1u;
  let p = subgroupShuffle(select(v.yw, v.xz, odd), lane ^ 1u);
  let w = select(vec4(v.x, p.x, v.z, p.y), vec4(p.x, v.y, p.y, v.w), odd);
  let upper = (lane & 2u) == 2u;
  let q = subgroupShuffle(select(w.zw, w.xy, upper), lane ^ 2u);
  return select(vec4(w.xy, q), vec4(q, w.zw), upper);
}

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
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
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
  let a_at0 = a_start + select(min(first_row + 0u + lane, last.x) * params.a_row, min(first_row + 0u + (lane & 4u), last.x & ~3u), a_by_line);
  let a_at1 = a_start + select(min(first_row + 8u + lane, last.x) * params.a_row, min(first_row + 8u + (lane & 4u), last.x & ~3u), a_by_line);

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

    let a_k = min(k0 + (lane & 3u), last.z) * params.a_col;
    let a_step = select(k0, a_k, a_by_line);
    let v0 = a[(a_at0 + a_step) / 4u];
    let a0 = select(vec4(0.0), select(v0, transpose_lanes(v0, lane), a_by_line), inside);
    let v1 = a[(a_at1 + a_step) / 4u];
    let a1 = select(vec4(0.0), select(v1, transpose_lanes(v1, lane), a_by_line), inside);
    let a_row0 = subgroupShuffle(a0, 0u);
    y0_0 += b0 * a_row0;
    y0_1 += b1 * a_row0;
    let a_row1 = subgroupShuffle(a0, 1u);
    y1_0 += b0 * a_row1;
    y1_1 += b1 * a_row1;
    let a_row2 = subgroupShuffle(a0, 2u);
    y2_0 += b0 * a_row2;
    y2_1 += b1 * a_row2;
    let a_row3 = subgroupShuffle(a0, 3u);
    y3_0 += b0 * a_row3;
    y3_1 += b1 * a_row3;
    let a_row4 = subgroupShuffle(a0, 4u);
    y4_0 += b0 * a_row4;
    y4_1 += b1 * a_row4;
    let a_row5 = subgroupShuffle(a0, 5u);
    y5_0 += b0 * a_row5;
    y5_1 += b1 * a_row5;
    let a_row6 = subgroupShuffle(a0, 6u);
    y6_0 += b0 * a_row6;
    y6_1 += b1 * a_row6;
    let a_row7 = subgroupShuffle(a0, 7u);
    y7_0 += b0 * a_row7;
    y7_1 += b1 * a_row7;
    let a_row8 = subgroupShuffle(a1, 0u);
    y8_0 += b0 * a_row8;
    y8_1 += b1 * a_row8;
    let a_row9 = subgroupShuffle(a1, 1u);
    y9_0 += b0 * a_row9;
    y9_1 += b1 * a_row9;
    let a_row10 = subgroupShuffle(a1, 2u);
    y10_0 += b0 * a_row10;
    y10_1 += b1 * a_row10;
    let a_row11 = subgroupShuffle(a1, 3u);
    y11_0 += b0 * a_row11;
    y11_1 += b1 * a_row11;
    let a_row12 = subgroupShuffle(a1, 4u);
    y12_0 += b0 * a_row12;
    y12_1 += b1 * a_row12;
    let a_row13 = subgroupShuffle(a1, 5u);
    y13_0 += b0 * a_row13;
    y13_1 += b1 * a_row13;
    let a_row14 = subgroupShuffle(a1, 6u);
    y14_0 += b0 * a_row14;
    y14_1 += b1 * a_row14;
    let a_row15 = subgroupShuffle(a1, 7u);
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
