// scatter_rows: sums rows into a table by index, in the order of the indices.
//
//   x [count, cols] at any strides, index [count]  ->  y [rows, cols] contiguous
//   bindings  0 params, 1 x (read), 2 index (read), 3 y (write), 9 fault
//   launch    any number of workgroups of 64; a thread owns one column of a part of the table, walks
//             all indices and adds what falls into its part: no atomics, so the same bits each time;
//             many indices come in several launches, the first of which zeroes the table
//   faults    an index outside 0..rows: that row of x is left out

struct Params {
  end: u32, cols: u32, rows: u32, serial: u32,
  x_offset: u32, index_offset: u32, y_offset: u32, x_row: u32,
  parts: u32, part_rows: u32, owners: u32, start: u32,           // owners: parts * cols
  shape: array<vec4<u32>, 2>, table: array<vec4<u32>, 2>,         // a row's sizes and strides in x
  index_shape: array<vec4<u32>, 2>, index: array<vec4<u32>, 2>,
  x_index: array<vec4<u32>, 2>,                                   // strides of x along the index axes
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> index: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<elem>;

fn x_index_at(position: u32) -> u32 {
  return strided(position, INDEX_RANK, params.index_shape, params.x_index);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var owner = id.x; owner < params.owners; owner += groups.x * 64u) {
    let col = owner % params.cols;
    let first = (owner / params.cols) * params.part_rows;
    let end = min(first + params.part_rows, params.rows);
    if (params.start == 0u) {
      for (var row = first; row < end; row++) { y[params.y_offset + row * params.cols + col] = elem(0); }
    }
    let x0 = params.x_offset + row_at(col);
    for (var i = params.start; i < params.end; i++) {
      let row = index[params.index_offset + index_at(i)];
      if (legal(row, params.rows, i, params.serial) && row >= first && row < end) {
        y[params.y_offset + row * params.cols + col] += x[x0 + x_index_at(i)];
      }
    }
  }
}
