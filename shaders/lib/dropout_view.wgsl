// dropout_view: x at any strides, y contiguous; the last four may be fewer.

fn store_one(i: u32, keep: bool) {
  if (i >= params.count) { return; }
  let value = x[params.x_offset + strided(i, RANK, params.shape, params.x)];
  y[params.y_offset + i] = select(0.0, value * params.scale, keep);
}

fn store_four(block: u32, keep: vec4<bool>) {
  store_one(4u * block, keep.x);
  store_one(4u * block + 1u, keep.y);
  store_one(4u * block + 2u, keep.z);
  store_one(4u * block + 3u, keep.w);
}
