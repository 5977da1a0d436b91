// finish_moments: the statistics of a channel, from number, mean, squared distances, and what was taken off before.

// y [5, channels]: first element, distance of the mean from it, variance, 1/deviation, mean.
fn finish(channel: u32, all: vec4<f32>) {
  let at = params.y_offset + channel;
  let variance = all.z / max(all.x, 1.0);
  y[at] = all.w;
  y[at + params.channels] = all.y;
  y[at + 2u * params.channels] = variance;
  y[at + 3u * params.channels] = 1.0 / sqrt(variance + params.eps);
  y[at + 4u * params.channels] = all.w + all.y;
}
