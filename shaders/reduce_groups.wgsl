// reduce_groups: reduces some axes of a view, one workgroup per result.
//
//   x  view: kept axes and reduced axes, each innermost first  ->  y [results * chunks], contiguous
//   bindings  0 params, 1 x (read), 2 y (write)
//   launch    any number of workgroups of 256; a workgroup steps through results by the size of the grid
//   numerics  a thread sums every 256th element in blocks of 32, then a tree over the threads: the same
//             bits each time; long reductions come in chunks, reduced again

var<workgroup> sh_part: array<elem, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  for (var i = group.x; i < params.count; i += groups.x) {
    let base = kept_at(i / params.chunks);
    let first = (i % params.chunks) * params.chunk;
    let end = min(first + params.chunk, params.length);
    let none = start(x[base + reduced_at(first)]);
    var total = none;
    for (var i1 = first + lane; i1 < end; i1 += 8192u) {
      var part = none;
      let end1 = min(i1 + 8192u, end);
      for (var i0 = i1; i0 < end1; i0 += 256u) {
        part = join(part, x[base + reduced_at(i0)]);
      }
      total = join(total, part);
    }
    sh_part[lane] = total;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width >>= 1u) {
      if (lane < width) { sh_part[lane] = join(sh_part[lane], sh_part[lane + width]); }
      workgroupBarrier();
    }
    if (lane == 0u) { y[params.y_offset + i] = finish(sh_part[0]); }
    workgroupBarrier();
  }
}
