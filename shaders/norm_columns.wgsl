// norm_columns: sums over a chunk of the rows of dy times the normalised x, and of dy: the gradients of gamma and beta.
//
//   dy, x rows of `units` elements, statistics [rows] of shift and 1/deviation  ->  y [chunks, 2, units]
//   bindings  0 params, 1 dy (read), 2 x (read), 3 statistics (read), 4 y (write)
//   launch    any number of workgroups; see walk; a thread has a column and a chunk at a time
//   types     elem is f32, or vec4 along contiguous rows
//   numerics  sums run in blocks of 32 rows; the chunks are summed by a reduction that follows

struct Params {
  count: u32, units: u32, inner: u32, chunk: u32,   // count: rows
  chunks: u32, centred: u32, statistics_offset: u32, y_offset: u32,
  dy: Rows, x: Rows,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<elem>;
@group(0) @binding(2) var<storage, read> x: array<elem>;
@group(0) @binding(3) var<storage, read> statistics: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<elem>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let units = params.units;
  let centred = params.centred == 1u;
  let dy_outer = params.dy.outer;
  let x_outer = params.x.outer;
  let turn = walk(units * params.chunks, group.x, groups.x, lane);
  for (var i = turn.first; i < turn.end; i += turn.step) {
    let unit = i % units;
    let chunk = i / units;
    let dy0 = params.dy.offset + unit * params.dy.stride;
    let x0 = params.x.offset + unit * params.x.stride;
    let end = min(chunk * params.chunk + params.chunk, params.count);
    var along = elem(0.0);
    var plain = elem(0.0);
    for (var r1 = chunk * params.chunk; r1 < end; r1 += 32u) {
      var part = elem(0.0);
      var part_plain = elem(0.0);
      for (var row = r1; row < min(r1 + 32u, end); row++) {
        let shift = statistics[params.statistics_offset + 2u * row];
        let scale = statistics[params.statistics_offset + 2u * row + 1u];
        let pivot = select(0.0, first_of(x[params.x.offset + row * x_outer]), centred);
        let g = dy[dy0 + row * dy_outer];
        part += g * ((x[x0 + row * x_outer] - pivot - shift) * scale);
        part_plain += g;
      }
      along += part;
      plain += part_plain;
    }
    y[params.y_offset + 2u * chunk * units + unit] = along;
    y[params.y_offset + (2u * chunk + 1u) * units + unit] = plain;
  }
}
