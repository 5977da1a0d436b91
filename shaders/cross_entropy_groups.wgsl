// cross_entropy_groups: loss per row of logits and, where wanted, the gradient of the mean loss; one
// workgroup per row.
//
//   x [rows, cols] at any strides, labels [rows]  ->  loss [rows], dx [rows, cols] contiguous
//   bindings  0 params, 1 x (read), 2 labels (read), 3 loss (write), 4 dx (write), 9 fault
//   launch    any number of workgroups of 256; a workgroup steps through rows by the size of the grid
//   numerics  row maximum subtracted first; maximum and sums by a tree over the threads
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

var<workgroup> sh_part: array<vec2<f32>, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let cols = params.cols;
  for (var row = group.x; row < params.count; row += groups.x) {
    let x0 = params.x_offset + row * params.x_row;
    let label = labels[params.labels_offset + row * params.labels_stride];
    let good = legal(label, cols, row, params.serial);
    let target_at = select(0u, label, good);
    var top = x[x0];
    for (var j = lane; j < cols; j += 256u) { top = larger(top, x[x0 + j * params.x_stride]); }
    sh_part[lane].x = top;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width >>= 1u) {
      if (lane < width) { sh_part[lane].x = larger(sh_part[lane].x, sh_part[lane + width].x); }
      workgroupBarrier();
    }
    top = sh_part[0].x;
    workgroupBarrier();
    var part = vec2(0.0, 0.0);
    for (var j = lane; j < cols; j += 256u) {
      let d = x[x0 + j * params.x_stride] - top;
      part += vec2(exp_or_zero(d), -d);
    }
    sh_part[lane] = part;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width >>= 1u) {
      if (lane < width) { sh_part[lane] += sh_part[lane + width]; }
      workgroupBarrier();
    }
    let total = sh_part[0].x;
    let spread = sh_part[0].y;
    workgroupBarrier();
    if (lane == 0u) {
      let log_total = log_or_nan(total);
      var row_loss = log_total - (x[x0 + target_at * params.x_stride] - top);
      if (params.smoothing > 0.0) {
        let even = log_total + spread / f32(cols);
        row_loss = (1.0 - params.smoothing) * row_loss + params.smoothing * even;
      }
      loss[params.loss_offset + row] = select(0.0, row_loss, good);
    }
    store_gradient(row, x0, top, total, target_at, good, lane, 256u);
  }
}
