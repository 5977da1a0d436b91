// batch_norm_moments: of a thread's elements their number, mean, and sum of squared distances from it; all after the
// channel's first element, which comes along, has been taken off. Two passes.

fn part_of(item: u32, down: u32, depth: u32, along: u32, width: u32) -> vec4<f32> {
  let chunk = chunk_of(item);
  let base = params.x_offset + chunk.channel * params.size;
  let image = params.channels * params.size;
  let pivot = x[base];
  var count = 0.0;
  var total = 0.0;
  for (var n = chunk.first + down; n < chunk.end; n += depth) {
    for (var j1 = chunk.start + along; j1 < chunk.stop; j1 += 32u * width) {
      var part = 0.0;
      for (var j = j1; j < min(j1 + 32u * width, chunk.stop); j += width) {
        part += x[base + n * image + j] - pivot;
        count += 1.0;
      }
      total += part;
    }
  }
  let mean = total / max(count, 1.0);
  var squares = 0.0;
  for (var n = chunk.first + down; n < chunk.end; n += depth) {
    for (var j1 = chunk.start + along; j1 < chunk.stop; j1 += 32u * width) {
      var part = 0.0;
      for (var j = j1; j < min(j1 + 32u * width, chunk.stop); j += width) {
        let d = x[base + n * image + j] - pivot - mean;
        part += d * d;
      }
      squares += part;
    }
  }
  return vec4(count, mean, squares, pivot);
}
