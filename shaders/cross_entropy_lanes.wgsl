// cross_entropy_lanes: loss per row of logits or log-probabilities and, where wanted, the gradient of the losses'
// sum, both times a scale; one thread per row, without barriers.
//
//   x [rows, cols] and labels [rows] at any strides, weights [cols], divisor [1]
//             ->  loss [rows] or their sum, dx [rows, cols] contiguous
//   bindings  0 params, 1 x (read), 2 labels (read), 3 loss (write), 4 dx (write), 5 weights (read),
//             6 divisor (read), 9 fault
//   launch    any number of workgroups of WG; a thread steps through rows by the size of the grid
//   numerics  row maximum subtracted first; the sums run in blocks of 32
//   faults    a label outside 0..cols that is not ignored: loss and gradient of that row are 0

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let cols = params.cols;
  let scale = scale_of_losses(id.x);
  for (var row = id.x; row < params.count; row += groups.x * WG) {
    var at = row_at(row);
    for (var j = 1u; j < cols; j++) { at.top = higher(at.top, x[at.x0 + j * params.x_stride]); }
    var sums = Sums();
    for (var j1 = 0u; j1 < cols; j1 += 32u) {
      var part = Sums();
      for (var j = j1; j < min(j1 + 32u, cols); j++) {
        part += sums_of(j, x[at.x0 + j * params.x_stride] - at.top);
      }
      sums += part;
    }
    keep(row, loss_of(at, sums, scale));
    store_gradient(at, sums, scale, 0u, 1u);
  }
  finish(id.x);
}
