// arg_reduce: position of the extreme among the elements reduced into one result; of equals the
// first, NaN before all. One thread per result.
//
//   x  view: kept axes and reduced axes, each innermost first  ->  y [results] i32, contiguous
//   bindings  0 params, 1 x (read), 2 y (write)
//   launch    any number of workgroups of 64; a thread steps through results by the size of the grid
//   numerics  comparisons only

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let base = kept_at(i);
    var best = x[base + reduced_at(0u)];
    var position = 0u;
    for (var j = 1u; j < params.length; j++) {
      let candidate = x[base + reduced_at(j)];
      if (before(candidate, best)) {
        best = candidate;
        position = j;
      }
    }
    y[params.y_offset + i] = i32(position);
  }
}
