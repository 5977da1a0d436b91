// cross_entropy_gradient: (softmax · all targets - target) · scale, for the columns from `first` on in steps.

@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

fn store_gradient(at: Row, sums: Sums, scale: f32, first: u32, step: u32) {
  let even = params.smoothing / f32(params.cols);
  let share = (1.0 - params.smoothing) * at.weight;
  let targets = share + even * all_weights(sums);
  for (var j = first; j < params.cols; j += step) {
    let p = probability(x[at.x0 + j * params.x_stride] - at.top, sums.x);
    let wanted = even * weight_of(j) + select(0.0, share, j == at.label);
    let slope = (p * targets - wanted) * scale;
    dx[params.dx_offset + at.row * params.cols + j] = select(0.0, slope, at.good);
  }
}
