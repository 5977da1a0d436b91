// join_shuffle: sum and maximum over the eight lanes of a subgroup, the same on every lane.

fn sum_lanes(v: f32, lane: u32) -> f32 {
  let a = v + subgroupShuffle(v, lane ^ 1u);
  let b = a + subgroupShuffle(a, lane ^ 2u);
  return b + subgroupShuffle(b, lane ^ 4u);
}

fn max_lanes(v: f32, lane: u32) -> f32 {
  let a = larger(v, subgroupShuffle(v, lane ^ 1u));
  let b = larger(a, subgroupShuffle(a, lane ^ 2u));
  return larger(b, subgroupShuffle(b, lane ^ 4u));
}
