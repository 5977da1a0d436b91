// cross_entropy_groups: loss per row of logits or log-probabilities and, where wanted, the gradient of the losses'
// sum, both times a scale; one workgroup per row.
//
//   x [rows, cols] and labels [rows] at any strides, weights [cols], divisor [1]
//             ->  loss [rows], dx [rows, cols] contiguous
//   bindings  0 params, 1 x (read), 2 labels (read), 3 loss (write), 4 dx (write), 5 weights (read),
//             6 divisor (read), 9 fault
//   launch    any number of workgroups of 256; a workgroup steps through rows by the size of the grid
//   numerics  row maximum subtracted first; maximum and sums by a tree over the threads
//   faults    a label outside 0..cols that is not ignored: loss and gradient of that row are 0

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;

var<workgroup> sh_part: array<Sums, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let cols = params.cols;
  let scale = scale_of_losses(lane);
  for (var row = group.x; row < params.count; row += groups.x) {
    var at = row_at(row);
    for (var j = lane; j < cols; j += 256u) { at.top = higher(at.top, x[at.x0 + j * params.x_stride]); }
    sh_part[lane].x = at.top;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width >>= 1u) {
      if (lane < width) { sh_part[lane].x = larger(sh_part[lane].x, sh_part[lane + width].x); }
      workgroupBarrier();
    }
    at.top = sh_part[0].x;
    workgroupBarrier();
    var part = Sums();
    for (var j = lane; j < cols; j += 256u) { part += sums_of(j, x[at.x0 + j * params.x_stride] - at.top); }
    sh_part[lane] = part;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width >>= 1u) {
      if (lane < width) { sh_part[lane] += sh_part[lane + width]; }
      workgroupBarrier();
    }
    let sums = sh_part[0];
    workgroupBarrier();
    if (lane == 0u) { loss[params.loss_offset + row] = loss_of(at, sums, scale); }
    store_gradient(at, sums, scale, lane, 256u);
  }
}
