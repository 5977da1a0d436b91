// norm_backward_lanes: gradient of layer norm or RMS norm for what is normalised, one thread per row, without barriers.
//
//   dy, x rows of `cols` elements at any stride, statistics [rows] of shift and 1/deviation, gamma [cols]  ->  dx alike
//   bindings  0 params, 1 dy (read), 2 x (read), 3 statistics (read), 4 gamma (read), 5 dx (write)
//   launch    any number of workgroups of 64; a thread steps through rows by the size of the grid
//   numerics  dx = (g - mean g - n mean(g n)) / deviation with g = dy gamma and n the normalised x; sums in blocks of 32

struct Params {
  count: u32, cols: u32, inner: u32, flags: u32,   // flags: 1 centred, 2 with gamma
  dy: Rows, x: Rows, dx: Rows,
  gamma_offset: u32, gamma_step: u32, statistics_offset: u32, unused: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> statistics: array<f32>;
@group(0) @binding(4) var<storage, read> gamma: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

fn gamma_at(j: u32) -> f32 {
  return select(1.0, gamma[params.gamma_offset + j * params.gamma_step], (params.flags & 2u) != 0u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let cols = params.cols;
  let dy_step = params.dy.stride;
  let x_step = params.x.stride;
  let centred = (params.flags & 1u) != 0u;
  for (var row = id.x; row < params.count; row += groups.x * 64u) {
    let g0 = row_start(params.dy, row);
    let x0 = row_start(params.x, row);
    let dx0 = row_start(params.dx, row);
    let shift = statistics[params.statistics_offset + 2u * row];
    let scale = statistics[params.statistics_offset + 2u * row + 1u];
    let pivot = select(0.0, x[x0], centred);
    var total = vec2(0.0);
    for (var j1 = 0u; j1 < cols; j1 += 32u) {
      var part = vec2(0.0);
      for (var j = j1; j < min(j1 + 32u, cols); j++) {
        let g = dy[g0 + j * dy_step] * gamma_at(j);
        part += vec2(g, g * ((x[x0 + j * x_step] - pivot - shift) * scale));
      }
      total += part;
    }
    let mean = select(0.0, total.x / f32(cols), centred);
    let slope = total.y / f32(cols);
    for (var j = 0u; j < cols; j++) {
      let n = (x[x0 + j * x_step] - pivot - shift) * scale;
      let g = dy[g0 + j * dy_step] * gamma_at(j);
      dx[dx0 + j * params.dx.stride] = scale * (g - mean - n * slope);
    }
  }
}
