// cross_entropy_lanes: loss per row of logits and, where wanted, the gradient of the mean loss; one
// thread per row, without barriers.
//
//   x [rows, cols] at any strides, labels [rows]  ->  loss [rows] or their mean, dx [rows, cols] contiguous
//   bindings  0 params, 1 x (read), 2 labels (read), 3 loss (write), 4 dx (write), 9 fault
//   launch    any number of workgroups of WG; a thread steps through rows by the size of the grid
//   numerics  row maximum subtracted first; the sum runs in blocks of 32
//   faults    a label outside 0..cols: loss and gradient of that row are 0

struct Params {
  count: u32, cols: u32, x_offset: u32, x_row: u32,
  x_stride: u32, labels_offset: u32, labels_stride: u32, serial: u32,
  smoothing: f32, weight: f32, loss_offset: u32, dx_offset: u32,   // weight: 1 / rows
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let cols = params.cols;
  for (var row = id.x; row < params.count; row += groups.x * WG) {
    let x0 = params.x_offset + row * params.x_row;
    let label = labels[params.labels_offset + row * params.labels_stride];
    let good = legal(label, cols, row, params.serial);
    let target_at = select(0u, label, good);
    var top = x[x0];
    for (var j = 1u; j < cols; j++) { top = larger(top, x[x0 + j * params.x_stride]); }
    var total = 0.0;
    var spread = 0.0;
    for (var j1 = 0u; j1 < cols; j1 += 32u) {
      var part = 0.0;
      var part_spread = 0.0;
      for (var j = j1; j < min(j1 + 32u, cols); j++) {
        let d = x[x0 + j * params.x_stride] - top;
        part += exp_or_zero(d);
        part_spread -= d;
      }
      total += part;
      spread += part_spread;
    }
    let log_total = log_or_nan(total);
    var row_loss = log_total - (x[x0 + target_at * params.x_stride] - top);
    if (params.smoothing > 0.0) {
      let even = log_total + spread / f32(cols);
      row_loss = (1.0 - params.smoothing) * row_loss + params.smoothing * even;
    }
    keep(row, select(0.0, row_loss, good));
    store_gradient(row, x0, top, total, target_at, good, 0u, 1u);
  }
  finish(id.x);
}
