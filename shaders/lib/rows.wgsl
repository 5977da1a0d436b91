// rows: a tensor seen as rows along one axis. Row r of an operand starts at
// offset + (r / inner) * outer + (r % inner) * near, and steps by stride.

struct Rows { offset: u32, outer: u32, near: u32, stride: u32 }

fn row_start(rows: Rows, row: u32) -> u32 {
  return rows.offset + (row / params.inner) * rows.outer + (row % params.inner) * rows.near;
}
