// softmax_backward_groups: gradient of softmax or its logarithm, one workgroup per row.
//
//   y output, dy cotangent: rows of `cols` elements at any stride  ->  dx alike
//   bindings  0 params, 1 y (read), 2 dy (read), 3 dx (write)
//   launch    any number of workgroups of 256; a workgroup steps through rows by the size of the grid
//   numerics  dx = y (dy - Σ y dy), or dy - exp(y) Σ dy; the sum by a tree over the threads

struct Params { count: u32, cols: u32, inner: u32, log: u32, y: Rows, dy: Rows, dx: Rows }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

var<workgroup> sh_part: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let cols = params.cols;
  let log = params.log == 1u;
  for (var row = group.x; row < params.count; row += groups.x) {
    let y0 = row_start(params.y, row);
    let g0 = row_start(params.dy, row);
    let x0 = row_start(params.dx, row);
    var part = 0.0;
    for (var j = lane; j < cols; j += 256u) {
      let g = dy[g0 + j * params.dy.stride];
      part += select(g * y[y0 + j * params.y.stride], g, log);
    }
    sh_part[lane] = part;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width >>= 1u) {
      if (lane < width) { sh_part[lane] += sh_part[lane + width]; }
      workgroupBarrier();
    }
    let total = sh_part[0];
    workgroupBarrier();
    for (var j = lane; j < cols; j += 256u) {
      let g = dy[g0 + j * params.dy.stride];
      let out = y[y0 + j * params.y.stride];
      dx[x0 + j * params.dx.stride] = select(out * (g - total), g - exp_or_zero(out) * total, log);
    }
  }
}
