//! Cross-entropy from logits or log-probabilities and labels, with its gradient.

use super::{
    gather::counted_indices,
    number::{Float, Number, for_float},
    operand::{In, Out},
    softmax::exp_row,
};
use crate::{
    Result,
    op::Family,
    ops::{cross_entropy::CrossEntropy, losses::Reduction},
};

pub(super) fn cross_entropy(
    op: &CrossEntropy,
    [x, labels]: [&In<'_>; 2],
    weights: Option<&In<'_>>,
    loss: &mut Out<'_>,
    gradient: Option<&mut Out<'_>>,
) -> Result<()> {
    let classes = x.layout.shape.last().copied().unwrap_or(0);
    let labels = counted_indices(op.name(), labels, classes, op.ignored)?;
    for_float!(x.dtype, op.name(), T => {
        let x = x.of::<T>().elements();
        let weights = match weights {
            Some(weights) => weights.of::<T>().elements().iter().map(|w| w.to_f64()).collect(),
            None => vec![1.0; classes],
        };
        let targets = Targets::new(op, weights, &labels);
        let mut gradient = gradient.map(Out::of::<T>);
        let mut rows = gradient.as_mut().map(|g| g.elements_mut().chunks_exact_mut(classes));
        let mut spare = vec![T::ZERO; classes];
        let mut losses = Vec::with_capacity(labels.len());
        for (x, &label) in x.chunks_exact(classes).zip(&labels) {
            let row = rows.as_mut().and_then(Iterator::next);
            let wanted = row.is_some();
            let row = row.unwrap_or(&mut spare);
            losses.push(match label {
                Some(label) => targets.row(x, label, row, wanted),
                None => {
                    row.fill(T::ZERO);
                    0.0
                }
            });
        }
        let mut loss = loss.of::<T>();
        match op.reduction {
            Reduction::None => {
                let places = loss.elements_mut().iter_mut();
                places.zip(losses).for_each(|(y, loss)| *y = T::from_f64(loss));
            }
            Reduction::Mean | Reduction::Sum => {
                loss.fill(T::from_f64(losses.iter().sum::<f64>() / targets.divisor));
            }
        }
    });
    Ok(())
}

/// What the scores are, and what is wanted of the classes: `share` of a row's label, and of each class as much as
/// `even` says, both times the class's weight.
struct Targets {
    log: bool,
    share: f64,
    /// `[classes]`
    weights: Vec<f64>,
    even: Vec<f64>,
    all_even: f64,
    /// Of the losses: what the rows that count weigh, for a mean.
    divisor: f64,
    even_slopes: Vec<f64>,
}

impl Targets {
    fn new(op: &CrossEntropy, weights: Vec<f64>, labels: &[Option<usize>]) -> Targets {
        let smoothing = f64::from(op.smoothing);
        let each = smoothing / weights.len() as f64;
        let even: Vec<f64> = weights.iter().map(|w| each * w).collect();
        let divisor = match op.reduction {
            Reduction::Mean => labels.iter().flatten().map(|&label| weights[label]).sum(),
            Reduction::Sum | Reduction::None => 1.0,
        };
        let even_slopes = even.iter().map(|even| even / divisor).collect();
        let (share, all_even) = (1.0 - smoothing, even.iter().sum());
        Targets { log: op.log, share, weights, even, all_even, divisor, even_slopes }
    }

    /// The loss of one row, not divided yet; where wanted its gradient, divided, goes to `row`.
    fn row<T: Float>(&self, x: &[T], label: usize, row: &mut [T], wanted: bool) -> f64 {
        let (max, sum) = match self.log {
            true => (T::ZERO, 1.0),
            false => exp_row(x, row),
        };
        let below = |x: T| max.to_f64() - x.to_f64(); // logsumexp - x, without ln sum
        let share = self.share * self.weights[label];
        let mut loss = 0.0;
        // A share of 0 is left out rather than multiplied: 0·∞ would be NaN.
        if self.share > 0.0 {
            loss += share * (below(x[label]) + sum.ln());
        }
        if self.share < 1.0 {
            let each = x.iter().zip(&self.even).map(|(&x, even)| even * below(x));
            loss += each.sum::<f64>() + self.all_even * sum.ln();
        }
        if !wanted {
            return loss;
        }
        if self.log {
            // A score has no part in the others' losses.
            row.fill(T::ZERO);
        }
        let chance = (share + self.all_even) / sum / self.divisor;
        let slope = |y: T, target: f64| T::from_f64(y.to_f64() * chance - target);
        let at_label = slope(row[label], share / self.divisor + self.even_slopes[label]);
        row.iter_mut().zip(&self.even_slopes).for_each(|(y, &even)| *y = slope(*y, even));
        row[label] = at_label;
        loss
    }
}
