// row_index: where element i of a row and index number i lie.

fn row_at(element: u32) -> u32 {
  var at = 0u;
  var rest = element;
  for (var axis = 0u; axis < ROW_RANK - 1u; axis++) {
    let size = pick(params.shape, axis);
    at += (rest % size) * pick(params.table, axis);
    rest /= size;
  }
  return at + rest * pick(params.table, ROW_RANK - 1u);
}

fn index_at(position: u32) -> u32 {
  var at = 0u;
  var rest = position;
  for (var axis = 0u; axis < INDEX_RANK - 1u; axis++) {
    let size = pick(params.index_shape, axis);
    at += (rest % size) * pick(params.index, axis);
    rest /= size;
  }
  return at + rest * pick(params.index, INDEX_RANK - 1u);
}
