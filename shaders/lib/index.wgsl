// index: where element i of a strided view lies. Sizes and strides are innermost first.

fn pick(list: array<vec4<u32>, 2>, axis: u32) -> u32 {
  return select(list[0][axis & 3u], list[1][axis & 3u], axis > 3u);
}
