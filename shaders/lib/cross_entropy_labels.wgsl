// cross_entropy_labels: the parameters of all kernels of cross-entropy, and which rows count.

struct Params {
  count: u32, cols: u32, x_offset: u32, x_row: u32,
  x_stride: u32, labels_offset: u32, labels_stride: u32, serial: u32,
  smoothing: f32, scale: f32, loss_offset: u32, dx_offset: u32,   // scale: of all losses; see the parts that use it
  ignores: u32, ignored: u32, weights_offset: u32, weights_stride: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> labels: array<u32>;

fn label_of(row: u32) -> u32 {
  return labels[params.labels_offset + row * params.labels_stride];
}

fn counts(label: u32) -> bool {
  return params.ignores == 0u || label != params.ignored;
}

// What the rows from `first` on, in steps, weigh together; a label outside 0..cols is reported elsewhere.
fn weight_of_rows(first: u32, step: u32) -> f32 {
  var total = 0.0;
  for (var row = first; row < params.count; row += step) {
    let label = label_of(row);
    if (counts(label) && label < params.cols) { total += weight_of(label); }
  }
  return total;
}
