// norm_backward_groups: gradient of layer norm or RMS norm for what is normalised, one workgroup per row.
//
//   dy, x rows of `cols` elements at any stride, statistics [rows] of shift and 1/deviation, gamma [cols]  ->  dx alike
//   bindings  0 params, 1 dy (read), 2 x (read), 3 statistics (read), 4 gamma (read), 5 dx (write)
//   launch    any number of workgroups of 256; a workgroup steps through rows by the size of the grid
//   numerics  dx = (g - mean g - n mean(g n)) / deviation with g = dy gamma and n the normalised x; a thread sums every
//             256th element in blocks of 32, then a tree over the threads

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

var<workgroup> sh_part: array<vec2<f32>, 256>;

fn gamma_at(j: u32) -> f32 {
  return select(1.0, gamma[params.gamma_offset + j * params.gamma_step], (params.flags & 2u) != 0u);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let cols = params.cols;
  let dy_step = params.dy.stride;
  let x_step = params.x.stride;
  let centred = (params.flags & 1u) != 0u;
  for (var row = group.x; row < params.count; row += groups.x) {
    let g0 = row_start(params.dy, row);
    let x0 = row_start(params.x, row);
    let dx0 = row_start(params.dx, row);
    let shift = statistics[params.statistics_offset + 2u * row];
    let scale = statistics[params.statistics_offset + 2u * row + 1u];
    let pivot = select(0.0, x[x0], centred);
    var part = vec2(0.0);
    for (var j1 = lane; j1 < cols; j1 += 8192u) {
      var block = vec2(0.0);
      for (var j = j1; j < min(j1 + 8192u, cols); j += 256u) {
        let g = dy[g0 + j * dy_step] * gamma_at(j);
        block += vec2(g, g * ((x[x0 + j * x_step] - pivot - shift) * scale));
      }
      part += block;
    }
    sh_part[lane] = part;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width >>= 1u) {
      if (lane < width) { sh_part[lane] += sh_part[lane + width]; }
      workgroupBarrier();
    }
    let total = sh_part[0];
    workgroupBarrier();
    let mean = select(0.0, total.x / f32(cols), centred);
    let slope = total.y / f32(cols);
    for (var j = lane; j < cols; j += 256u) {
      let n = (x[x0 + j * x_step] - pivot - shift) * scale;
      let g = dy[g0 + j * dy_step] * gamma_at(j);
      dx[dx0 + j * params.dx.stride] = scale * (g - mean - n * slope);
    }
  }
}
