// batch_norm_join: the parts of each channel become one, one thread per channel.
//
//   parts [chunks, channels]  ->  y [5 or 2, channels]
//   bindings  0 params, 1 parts (read), 2 y (write)
//   launch    any number of workgroups of 64; a thread steps through channels by the size of the grid
//   numerics  parts are joined in order

struct Params { channels: u32, chunks: u32, y_offset: u32, eps: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var c = id.x; c < params.channels; c += groups.x * 64u) {
    var all = parts[c];
    for (var chunk = 1u; chunk < params.chunks; chunk++) {
      all = join(all, parts[chunk * params.channels + c]);
    }
    finish(c, all);
  }
}
