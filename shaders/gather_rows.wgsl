// gather_rows: rows of a table by index.
//
//   table [rows, cols] at any strides, index [count]  ->  y [count, cols] contiguous
//   bindings  0 params, 1 table (read), 2 index (read), 3 y (write), 9 fault
//   launch    any number of workgroups; see walk
//   faults    an index outside 0..rows: that row of y is 0

struct Params {
  count: u32, cols: u32, rows: u32, serial: u32,         // count: elements of y
  table_offset: u32, index_offset: u32, y_offset: u32, table_row: u32,
  shape: array<vec4<u32>, 2>, table: array<vec4<u32>, 2>,         // a row's sizes and strides
  index_shape: array<vec4<u32>, 2>, index: array<vec4<u32>, 2>,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<elem>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<elem>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let turn = walk(params.count, group.x, groups.x, lane);
  for (var i = turn.first; i < turn.end; i += turn.step) {
    let position = i / params.cols;
    let row = index[params.index_offset + index_at(position)];
    var value = elem(0);
    if (legal(row, params.rows, position, params.serial)) {
      value = table[params.table_offset + row * params.table_row + row_at(i % params.cols)];
    }
    y[params.y_offset + i] = value;
  }
}
