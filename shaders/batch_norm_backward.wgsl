// batch_norm_backward: gradient of batch norm for what is normalised.
//
//   dy, x [images, channels, size], statistics [5, channels], gamma [channels], sums [2, channels]  ->  dx like x
//   bindings  0 params, 1 dy (read), 2 x (read), 3 statistics (read), 4 gamma (read), 5 sums (read), 6 dx (write)
//   launch    any number of workgroups; see walk
//   types     elem is f32, or vec4 where four elements share a channel; size counts those
//   numerics  dx = gamma / deviation (dy - mean dy - n mean(dy n)) with n the normalised x

struct Params {
  count: u32, channels: u32, size: u32, share: f32,   // share: 1 / values per channel
  dy_offset: u32, x_offset: u32, dx_offset: u32, statistics_offset: u32,
  gamma_offset: u32, gamma_step: u32, sums_offset: u32, unused: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<elem>;
@group(0) @binding(2) var<storage, read> x: array<elem>;
@group(0) @binding(3) var<storage, read> statistics: array<f32>;
@group(0) @binding(4) var<storage, read> gamma: array<f32>;
@group(0) @binding(5) var<storage, read> sums: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<elem>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let channels = params.channels;
  let size = params.size;
  let turn = walk(params.count, group.x, groups.x, lane);
  for (var i = turn.first; i < turn.end; i += turn.step) {
    let c = (i / size) % channels;
    let at = params.statistics_offset + c;
    let scale = statistics[at + 3u * channels];
    let n = (x[params.x_offset + i] - statistics[at] - statistics[at + channels]) * scale;
    let slope = sums[params.sums_offset + c] * params.share;
    let mean = sums[params.sums_offset + channels + c] * params.share;
    let factor = scale * gamma[params.gamma_offset + c * params.gamma_step];
    dx[params.dx_offset + i] = factor * (dy[params.dy_offset + i] - mean - n * slope);
  }
}
