// max_pool: the largest element of each window, and where in its plane it is.
//
//   x [n, c, h, w] at any strides  ->  y [n, c, oh, ow] contiguous; with_index: index (row * w + column) alike
//   bindings  0 params, 1 x (read), 2 y (write), 3 index (write)
//   launch    any number of workgroups; see walk
//   numerics  none; of equals the first, NaN before all

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> index: array<u32>;

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
  let width = params.size_2;
  for (var i = turn.first; i < turn.end; i += turn.step) {
    let plane = i / area;
    let window = i - plane * area;
    let down = over(window, out_2);
    let start = plane_at(plane);
    let rows = span_1(down);
    let columns = span_2(window - down * out_2);
    var best = x[start + rows.first * x_1 + columns.first * x_2];
    var place = rows.first * width + columns.first;
    for (var row = rows.first; row < rows.end; row++) {
      for (var column = columns.first; column < columns.end; column++) {
        let value = x[start + row * x_1 + column * x_2];
        let better = (value > best || is_nan(value)) && !is_nan(best);
        best = select(best, value, better);
        place = select(place, row * width + column, better);
      }
    }
    y[params.y_offset + i] = best;
    if (params.with_index == 1u) { index[params.index_offset + i] = place; }
  }
}
