// norm_lanes: layer norm or RMS norm along the last axis, one thread per row, without barriers.
//
//   x rows of `cols` elements at any stride, gamma, beta [cols]  ->  y alike, statistics [rows] of shift and 1/deviation
//   bindings  0 params, 1 x (read), 2 gamma (read), 3 beta (read), 4 y (write), 5 statistics (write)
//   launch    any number of workgroups of 64; a thread steps through rows by the size of the grid
//   numerics  the row's first element is taken off before the mean; the variance is the mean of squared distances; sums
//             run in blocks of 32

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

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let cols = params.cols;
  let x_step = params.x.stride;
  let y_step = params.y.stride;
  let centred = (params.flags & 1u) != 0u;
  let scaled = (params.flags & 2u) != 0u;
  for (var row = id.x; row < params.count; row += groups.x * 64u) {
    let x0 = row_start(params.x, row);
    let y0 = row_start(params.y, row);
    let pivot = select(0.0, x[x0], centred);
    var total = 0.0;
    for (var j1 = 0u; j1 < cols; j1 += 32u) {
      var part = 0.0;
      for (var j = j1; j < min(j1 + 32u, cols); j++) { part += x[x0 + j * x_step] - pivot; }
      total += part;
    }
    let shift = select(0.0, total / f32(cols), centred);
    var squares = 0.0;
    for (var j1 = 0u; j1 < cols; j1 += 32u) {
      var part = 0.0;
      for (var j = j1; j < min(j1 + 32u, cols); j++) {
        let d = x[x0 + j * x_step] - pivot - shift;
        part += d * d;
      }
      squares += part;
    }
    let scale = 1.0 / sqrt(squares / f32(cols) + params.eps);
    for (var j = 0u; j < cols; j++) {
      let factor = select(1.0, gamma[params.gamma_offset + j * params.gamma_step], scaled);
      let normal = (x[x0 + j * x_step] - pivot - shift) * scale;
      y[y0 + j * y_step] = normal * factor + beta[params.beta_offset + j * params.beta_step];
    }
    statistics[params.statistics_offset + 2u * row] = shift;
    statistics[params.statistics_offset + 2u * row + 1u] = scale;
  }
}
