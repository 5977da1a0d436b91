// cross_entropy_row: a row and its label, and its loss from the sums over its classes.

struct Row {
  row: u32,
  x0: u32,       // where it starts
  top: f32,      // its largest logit; 0 of log-probabilities
  good: bool,    // whether it counts
  label: u32,    // 0 where it does not
  weight: f32,
}

fn row_at(row: u32) -> Row {
  let label = label_of(row);
  let good = counts(label) && legal(label, params.cols, row, params.serial);
  let x0 = params.x_offset + row * params.x_row;
  let at = select(0u, label, good);
  return Row(row, x0, higher(x[x0], x[x0]), good, at, weight_of(at));
}

// Times the scale; 0 of a row that does not count, but NaN wherever the scale is.
fn loss_of(at: Row, sums: Sums, scale: f32) -> f32 {
  let log_total = log_of_parts(sums.x);
  let below = at.top - x[at.x0 + at.label * params.x_stride];
  // A share of 0 is left out rather than multiplied: 0·∞ would be NaN.
  var row_loss = 0.0;
  if (params.smoothing < 1.0) { row_loss = (1.0 - params.smoothing) * at.weight * (log_total + below); }
  if (params.smoothing > 0.0) {
    row_loss += params.smoothing / f32(params.cols) * (all_weights(sums) * log_total + sums.y);
  }
  return select(select(0.0, row_loss * scale, at.good), scale, is_nan(scale));
}
