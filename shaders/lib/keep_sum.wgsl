// keep_sum: the sum of all losses at once, where one subgroup does all rows.

var<private> kept: f32;

fn keep(row: u32, row_loss: f32) {
  kept += row_loss;
}

fn finish(lane: u32) {
  let total = subgroupAdd(kept);
  if (lane == 0u) { loss[params.loss_offset] = total; }
}
