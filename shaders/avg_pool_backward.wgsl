// avg_pool_backward: each element sums its share of the cotangents of the windows that show it.
//
//   dy [n, c, oh, ow] at any strides  ->  dx [n, c, h, w] contiguous
//   bindings  0 params, 1 dy (read), 2 dx (write)
//   launch    any number of workgroups; see walk
//   numerics  f32, a division for each window, summed in their order

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let turn = walk(params.count, group.x, groups.x, lane);
  let area = params.size_1 * params.size_2;
  let size_2 = params.size_2;
  let x_1 = params.x_1;
  let x_2 = params.x_2;
  for (var i = turn.first; i < turn.end; i += turn.step) {
    let plane = i / area;
    let place = i - plane * area;
    let start = plane_at(plane);
    let row_here = over(place, size_2);
    let rows = shown_1(row_here);
    let columns = shown_2(place - row_here * size_2);
    var sum = 0.0;
    for (var row = rows.first; row < rows.end; row++) {
      let down = f32(counted(span_1(row), params.kernel_1));
      for (var column = columns.first; column < columns.end; column++) {
        let across = f32(counted(span_2(column), params.kernel_2));
        sum += dy[start + row * x_1 + column * x_2] / (down * across);
      }
    }
    dx[params.y_offset + i] = sum;
  }
}
