// softmax_lanes: softmax or its logarithm along one axis, one thread per row, without barriers.
//
//   x rows of `cols` elements at any stride  ->  y alike
//   bindings  0 params, 1 x (read), 2 y (write)
//   launch    any number of workgroups of 64; a thread steps through rows by the size of the grid
//   numerics  row maximum subtracted first; the sum runs in blocks of 32

struct Params { count: u32, cols: u32, inner: u32, log: u32, x: Rows, y: Rows }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let cols = params.cols;
  for (var row = id.x; row < params.count; row += groups.x * 64u) {
    let x0 = row_start(params.x, row);
    let y0 = row_start(params.y, row);
    var top = x[x0];
    for (var j = 1u; j < cols; j++) { top = larger(top, x[x0 + j * params.x.stride]); }
    var total = 0.0;
    for (var j1 = 0u; j1 < cols; j1 += 32u) {
      var part = 0.0;
      for (var j = j1; j < min(j1 + 32u, cols); j++) {
        part += exp_or_zero(x[x0 + j * params.x.stride] - top);
      }
      total += part;
    }
    let log_total = log_or_nan(total);
    for (var j = 0u; j < cols; j++) {
      let d = x[x0 + j * params.x.stride] - top;
      y[y0 + j * params.y.stride] = select(exp_or_zero(d) / total, d - log_total, params.log == 1u);
    }
  }
}
