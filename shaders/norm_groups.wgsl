// norm_groups: layer norm or RMS norm along the last axis, one workgroup per row.
//
//   x rows of `cols` elements at any stride, gamma, beta [cols]  ->  y alike, statistics [rows] of shift and 1/deviation
//   bindings  0 params, 1 x (read), 2 gamma (read), 3 beta (read), 4 y (write), 5 statistics (write)
//   launch    any number of workgroups of 256; a workgroup steps through rows by the size of the grid
//   numerics  the row's first element is taken off before the mean; the variance is the mean of squared distances; a
//             thread sums every 256th element in blocks of 32, then a tree over the threads

struct Params {
  count: u32, cols: u32, inner: u32, flags: u32,   // flags: 1 centred, 2 with gamma
  x: Rows, y: Rows,
  gamma_offset: u32, gamma_step: u32, beta_offset: u32, beta_step: u32,
  eps: f32, statistics_offset: u32, unused_0: u32, unused_1: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> statistics: array<f32>;

var<workgroup> sh_part: array<f32, 256>;

// The sum over all threads, the same on each.
fn sum_of(part: f32, lane: u32) -> f32 {
  sh_part[lane] = part;
  workgroupBarrier();
  for (var width = 128u; width > 0u; width >>= 1u) {
    if (lane < width) { sh_part[lane] += sh_part[lane + width]; }
    workgroupBarrier();
  }
  let total = sh_part[0];
  workgroupBarrier();
  return total;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let cols = params.cols;
  let x_step = params.x.stride;
  let centred = (params.flags & 1u) != 0u;
  let scaled = (params.flags & 2u) != 0u;
  for (var row = group.x; row < params.count; row += groups.x) {
    let x0 = row_start(params.x, row);
    let y0 = row_start(params.y, row);
    let pivot = select(0.0, x[x0], centred);
    var total = 0.0;
    for (var j1 = lane; j1 < cols; j1 += 8192u) {
      var part = 0.0;
      for (var j = j1; j < min(j1 + 8192u, cols); j += 256u) { part += x[x0 + j * x_step] - pivot; }
      total += part;
    }
    let shift = select(0.0, sum_of(total, lane) / f32(cols), centred);
    var squares = 0.0;
    for (var j1 = lane; j1 < cols; j1 += 8192u) {
      var part = 0.0;
      for (var j = j1; j < min(j1 + 8192u, cols); j += 256u) {
        let d = x[x0 + j * x_step] - pivot - shift;
        part += d * d;
      }
      squares += part;
    }
    let scale = 1.0 / sqrt(sum_of(squares, lane) / f32(cols) + params.eps);
    for (var j = lane; j < cols; j += 256u) {
      let factor = select(1.0, gamma[params.gamma_offset + j * params.gamma_step], scaled);
      let normal = (x[x0 + j * x_step] - pivot - shift) * scale;
      y[y0 + j * params.y.stride] = normal * factor + beta[params.beta_offset + j * params.beta_step];
    }
    if (lane == 0u) {
      statistics[params.statistics_offset + 2u * row] = shift;
      statistics[params.statistics_offset + 2u * row + 1u] = scale;
    }
  }
}
