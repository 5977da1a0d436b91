// softmax_backward_lanes: gradient of softmax or its logarithm, one thread per row, without barriers.
//
//   y output, dy cotangent: rows of `cols` elements at any stride  ->  dx alike
//   bindings  0 params, 1 y (read), 2 dy (read), 3 dx (write)
//   launch    any number of workgroups of 64; a thread steps through rows by the size of the grid
//   numerics  dx = y (dy - Σ y dy), or dy - exp(y) Σ dy; the sum runs in blocks of 32

struct Params { count: u32, cols: u32, inner: u32, log: u32, y: Rows, dy: Rows, dx: Rows }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let cols = params.cols;
  let log = params.log == 1u;
  for (var row = id.x; row < params.count; row += groups.x * 64u) {
    let y0 = row_start(params.y, row);
    let g0 = row_start(params.dy, row);
    let x0 = row_start(params.dx, row);
    var total = 0.0;
    for (var j1 = 0u; j1 < cols; j1 += 32u) {
      var part = 0.0;
      for (var j = j1; j < min(j1 + 32u, cols); j++) {
        let g = dy[g0 + j * params.dy.stride];
        part += select(g * y[y0 + j * params.y.stride], g, log);
      }
      total += part;
    }
    for (var j = 0u; j < cols; j++) {
      let g = dy[g0 + j * params.dy.stride];
      let out = y[y0 + j * params.y.stride];
      dx[x0 + j * params.dx.stride] = select(out * (g - total), g - exp_or_zero(out) * total, log);
    }
  }
}
