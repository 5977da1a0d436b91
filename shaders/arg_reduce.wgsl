// arg_reduce: position of the extreme among the elements reduced into one result; of equals the
// first, NaN before all. One thread per result; long reductions come in chunks, reduced again.
//
//   x  view: kept axes and reduced axes, each innermost first  ->  y [results * chunks] i32, contiguous
//   bindings  0 params, 1 x (read), 2 y (write), in a second pass 3 positions (read)
//   launch    any number of workgroups of 64; a thread steps through results by the size of the grid
//   numerics  comparisons only

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let result = i / params.chunks;
    let base = kept_at(result);
    let first = (i % params.chunks) * params.chunk;
    let end = min(first + params.chunk, params.length);
    var position = candidate(result, first);
    var best = x[base + reduced_at(position)];
    for (var j = first + 1u; j < end; j++) {
      let other = candidate(result, j);
      let value = x[base + reduced_at(other)];
      if (before(value, best)) {
        best = value;
        position = other;
      }
    }
    y[params.y_offset + i] = i32(position);
  }
}
