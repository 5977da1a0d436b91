// row_index: where element i of a row and index number i lie.

fn row_at(element: u32) -> u32 {
  return strided(element, ROW_RANK, params.shape, params.table);
}

fn index_at(position: u32) -> u32 {
  return strided(position, INDEX_RANK, params.index_shape, params.index);
}
