// keep_rows: the losses of all rows, as they are or for a sum to follow.

fn keep(row: u32, row_loss: f32) {
  loss[params.loss_offset + row] = row_loss;
}

fn finish(lane: u32) {}
