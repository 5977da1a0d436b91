//! Cross-entropy from logits and labels, with its gradient.

use super::{
    gather::checked_indices,
    number::{Float, Number, for_float},
    operand::{In, Out},
    softmax::exp_row,
};
use crate::{Result, ops::cross_entropy::CrossEntropy};

pub(super) fn cross_entropy(
    op: &CrossEntropy,
    x: &In<'_>,
    labels: &In<'_>,
    loss: &mut Out<'_>,
    gradient: Option<&mut Out<'_>>,
) -> Result<()> {
    let classes = x.layout.shape.last().copied().unwrap_or(0);
    let labels = checked_indices("cross_entropy", labels, classes)?;
    for_float!(x.dtype, "cross_entropy", T => {
        let x = x.of::<T>().elements();
        let mut gradient = gradient.map(Out::of::<T>);
        let mut rows = gradient.as_mut().map(|g| g.elements_mut().chunks_exact_mut(classes));
        let mut spare = vec![T::ZERO; classes];
        let (count, mut sum) = (labels.len() as f64, 0.0);
        for (x, &label) in x.chunks_exact(classes).zip(&labels) {
            let row = rows.as_mut().and_then(Iterator::next);
            let wanted = row.is_some();
            let row = row.unwrap_or(&mut spare);
            sum += cross_entropy_row(f64::from(op.smoothing), x, label, row, wanted.then_some(count));
        }
        loss.of::<T>().fill(T::from_f64(sum / count));
    });
    Ok(())
}

/// The loss of one row; with `count`, the gradient of the mean over so many rows goes to `row`.
fn cross_entropy_row<T: Float>(
    smoothing: f64,
    x: &[T],
    label: usize,
    row: &mut [T],
    count: Option<f64>,
) -> f64 {
    let (max, sum) = exp_row(x, row);
    let below = |x: T| max.to_f64() - x.to_f64(); // logsumexp - x, without ln sum
    let mut loss = 0.0;
    // A share of 0 is left out rather than multiplied: 0·∞ would be NaN.
    if smoothing < 1.0 {
        loss += (1.0 - smoothing) * (below(x[label]) + sum.ln());
    }
    if smoothing > 0.0 {
        let mean = x.iter().map(|&x| below(x)).sum::<f64>() / x.len() as f64;
        loss += smoothing * (mean + sum.ln());
    }
    if let Some(count) = count {
        let everywhere = smoothing / x.len() as f64;
        let slope = |y: f64, target: f64| T::from_f64((y / sum - target) / count);
        let here = row.get(label).map_or(0.0, |y| y.to_f64());
        row.iter_mut().for_each(|y| *y = slope(y.to_f64(), everywhere));
        if let Some(y) = row.get_mut(label) {
            *y = slope(here, everywhere + (1.0 - smoothing));
        }
    }
    loss
}
