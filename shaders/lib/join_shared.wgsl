// join_shared: sum and maximum over the LANES threads (a multiple of 16) of a workgroup, the same on every thread.
// Sixteen threads join the others' values, then all join those sixteen: two barriers instead of a tree's. A third keeps
// the next call from writing what is still read.

var<workgroup> sh_all: array<f32, LANES>;
var<workgroup> sh_few: array<f32, 16>;

fn sum_lanes(v: f32, lane: u32) -> f32 {
  sh_all[lane] = v;
  workgroupBarrier();
  if (lane < 16u) {
    var few = sh_all[lane];
    for (var i = lane + 16u; i < LANES; i += 16u) { few += sh_all[i]; }
    sh_few[lane] = few;
  }
  workgroupBarrier();
  var total = sh_few[0];
  for (var i = 1u; i < 16u; i++) { total += sh_few[i]; }
  workgroupBarrier();
  return total;
}

fn max_lanes(v: f32, lane: u32) -> f32 {
  sh_all[lane] = v;
  workgroupBarrier();
  if (lane < 16u) {
    var few = sh_all[lane];
    for (var i = lane + 16u; i < LANES; i += 16u) { few = larger(few, sh_all[i]); }
    sh_few[lane] = few;
  }
  workgroupBarrier();
  var top = sh_few[0];
  for (var i = 1u; i < 16u; i++) { top = larger(top, sh_few[i]); }
  workgroupBarrier();
  return top;
}
