// batch_norm: every element brought to its channel's mean 0 and variance 1, scaled and moved.
//
//   x [images, channels, size], statistics [5, channels], gamma, beta [channels]  ->  y like x
//   bindings  0 params, 1 x (read), 2 statistics (read), 3 gamma (read), 4 beta (read), 5 y (write)
//   launch    any number of workgroups; see walk
//   types     elem is f32, or vec4 where four elements share a channel; size counts those

struct Params {
  count: u32, channels: u32, size: u32, unused_0: u32,
  x_offset: u32, y_offset: u32, statistics_offset: u32, unused_1: u32,
  gamma_offset: u32, gamma_step: u32, beta_offset: u32, beta_step: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> statistics: array<f32>;
@group(0) @binding(3) var<storage, read> gamma: array<f32>;
@group(0) @binding(4) var<storage, read> beta: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<elem>;

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
    let scale = statistics[at + 3u * channels] * gamma[params.gamma_offset + c * params.gamma_step];
    let centred = x[params.x_offset + i] - statistics[at] - statistics[at + channels];
    y[params.y_offset + i] = centred * scale + beta[params.beta_offset + c * params.beta_step];
  }
}
