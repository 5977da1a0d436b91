// cross_entropy_gradient: (softmax - target) / rows, for the columns from `first` on in steps.

@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

fn store_gradient(row: u32, x0: u32, top: f32, total: f32, label: u32, good: bool, first: u32, step: u32) {
  let even = params.smoothing / f32(params.cols);
  for (var j = first; j < params.cols; j += step) {
    let p = exp_or_zero(x[x0 + j * params.x_stride] - top) / total;
    let wanted = even + select(0.0, 1.0 - params.smoothing, j == label);
    dx[params.dx_offset + row * params.cols + j] = select(0.0, (p - wanted) * params.weight, good);
  }
}
