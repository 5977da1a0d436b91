// avg_pool: the mean of each window.
//
//   x [n, c, h, w] at any strides  ->  y [n, c, oh, ow] contiguous
//   bindings  0 params, 1 x (read), 2 y (write)
//   launch    any number of workgroups; see walk
//   numerics  f32 sums in row-major order, one division

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let turn = walk(params.count, group.x, groups.x, lane);
  let area = params.out_1 * params.out_2;
  let out_2 = params.out_2;
  let x_1 = params.x_1;
  let x_2 = params.x_2;
  for (var i = turn.first; i < turn.end; i += turn.step) {
    let plane = i / area;
    let window = i - plane * area;
    let down = over(window, out_2);
    let start = plane_at(plane);
    let rows = span_1(down);
    let columns = span_2(window - down * out_2);
    var sum = 0.0;
    for (var row = rows.first; row < rows.end; row++) {
      // Row by row, so that errors do not grow with the whole window.
      var part = 0.0;
      for (var column = columns.first; column < columns.end; column++) {
        part += x[start + row * x_1 + column * x_2];
      }
      sum += part;
    }
    let among = f32(counted(rows, params.kernel_1)) * f32(counted(columns, params.kernel_2));
    y[params.y_offset + i] = sum / among;
  }
}
