// softmax_groups: softmax or its logarithm along one axis, one workgroup per row.
//
//   x rows of `cols` elements at any stride  ->  y alike
//   bindings  0 params, 1 x (read), 2 y (write)
//   launch    any number of workgroups of 256; a workgroup steps through rows by the size of the grid
//   numerics  row maximum subtracted first; maximum and sum by a tree over the threads

struct Params { count: u32, cols: u32, inner: u32, log: u32, x: Rows, y: Rows }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> sh_part: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let cols = params.cols;
  for (var row = group.x; row < params.count; row += groups.x) {
    let x0 = row_start(params.x, row);
    let y0 = row_start(params.y, row);
    var top = x[x0];
    for (var j = lane; j < cols; j += 256u) { top = larger(top, x[x0 + j * params.x.stride]); }
    sh_part[lane] = top;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width >>= 1u) {
      if (lane < width) { sh_part[lane] = larger(sh_part[lane], sh_part[lane + width]); }
      workgroupBarrier();
    }
    top = sh_part[0];
    workgroupBarrier();
    var part = 0.0;
    for (var j = lane; j < cols; j += 256u) { part += exp_or_zero(x[x0 + j * params.x.stride] - top); }
    sh_part[lane] = part;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width >>= 1u) {
      if (lane < width) { sh_part[lane] += sh_part[lane + width]; }
      workgroupBarrier();
    }
    let total = sh_part[0];
    workgroupBarrier();
    let log_total = log_or_nan(total);
    for (var j = lane; j < cols; j += 256u) {
      let d = x[x0 + j * params.x.stride] - top;
      y[y0 + j * params.y.stride] = select(exp_or_zero(d) / total, d - log_total, params.log == 1u);
    }
  }
}
