// reduce_lanes: reduces some axes of a view, one thread per result.
//
//   x  view: kept axes and reduced axes, each innermost first  ->  y [results * chunks], contiguous
//   bindings  0 params, 1 x (read), 2 y (write)
//   launch    any number of workgroups of 64; a thread steps through results by the size of the grid
//   numerics  sums cascade: 32 elements, 32 such blocks, the rest, so errors do not grow with length
//             and results are the same each time; long reductions come in chunks, reduced again

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var i = id.x; i < params.count; i += groups.x * 64u) {
    let base = kept_at(i / params.chunks);
    let first = (i % params.chunks) * params.chunk;
    let end = min(first + params.chunk, params.length);
    // Nothing to reduce: x may be empty, and only sums get here.
    if (first >= end) { y[params.y_offset + i] = finish(elem(0)); continue; }
    let none = start(x[base + reduced_at(first)]);
    var total = none;
    for (var i2 = first; i2 < end; i2 += 1024u) {
      var block = none;
      let end2 = min(i2 + 1024u, end);
      for (var i1 = i2; i1 < end2; i1 += 32u) {
        var part = none;
        let end1 = min(i1 + 32u, end2);
        for (var i0 = i1; i0 < end1; i0++) {
          part = join(part, x[base + reduced_at(i0)]);
        }
        block = join(block, part);
      }
      total = join(total, block);
    }
    y[params.y_offset + i] = finish(total);
  }
}
