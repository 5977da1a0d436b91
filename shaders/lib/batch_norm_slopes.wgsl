// batch_norm_slopes: of a thread's elements the sums of dy times the normalised x, and of dy.

@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> statistics: array<f32>;

fn part_of(item: u32, down: u32, depth: u32, along: u32, width: u32) -> vec4<f32> {
  let chunk = chunk_of(item);
  let base = chunk.channel * params.size;
  let image = params.channels * params.size;
  let at = params.statistics_offset + chunk.channel;
  let pivot = statistics[at];
  let shift = statistics[at + params.channels];
  let scale = statistics[at + 3u * params.channels];
  var total = vec2(0.0);
  for (var n = chunk.first + down; n < chunk.end; n += depth) {
    for (var j1 = chunk.start + along; j1 < chunk.stop; j1 += 32u * width) {
      var part = vec2(0.0);
      for (var j = j1; j < min(j1 + 32u * width, chunk.stop); j += width) {
        let i = base + n * image + j;
        let g = dy[params.dy_offset + i];
        part += vec2(g * ((x[params.x_offset + i] - pivot - shift) * scale), g);
      }
      total += part;
    }
  }
  return vec4(total, 0.0, 0.0);
}
