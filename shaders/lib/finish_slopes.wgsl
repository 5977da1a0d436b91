// finish_slopes: the gradients of gamma and beta of a channel.

// y [2, channels]
fn finish(channel: u32, all: vec4<f32>) {
  y[params.y_offset + channel] = all.x;
  y[params.y_offset + params.channels + channel] = all.y;
}
