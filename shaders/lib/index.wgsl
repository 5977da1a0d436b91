// index: where element i of a strided view lies. Sizes and strides are innermost first.

fn pick(list: array<vec4<u32>, 2>, axis: u32) -> u32 {
  return select(list[0][axis & 3u], list[1][axis & 3u], axis > 3u);
}

fn strided(i: u32, rank: u32, sizes: array<vec4<u32>, 2>, strides: array<vec4<u32>, 2>) -> u32 {
  var at = 0u;
  var rest = i;
  for (var axis = 0u; axis < rank - 1u; axis++) {
    let size = pick(sizes, axis);
    at += (rest % size) * pick(strides, axis);
    rest /= size;
  }
  return at + rest * pick(strides, rank - 1u);
}
