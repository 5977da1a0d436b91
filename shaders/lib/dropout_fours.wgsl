// dropout_fours: x and y lie in whole vec4.

fn store_four(block: u32, keep: vec4<bool>) {
  y[params.y_offset + block] = select(vec4(0.0), x[params.x_offset + block] * params.scale, keep);
}
