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
        let weights = weights.map(|w| w.of::<T>().elements());
        let targets = Targets::new(op, classes, weights.as_deref());
        let divisor = match op.reduction {
            Reduction::Mean => labels.iter().flatten().map(|&label| targets.weight(label)).sum(),
            Reduction::Sum | Reduction::None => 1.0,
        };
        let mut gradient = gradient.map(Out::of::<T>);
        let mut rows = gradient.as_mut().map(|g| g.elements_mut().chunks_exact_mut(classes));
        let mut spare = vec![T::ZERO; classes];
        let mut losses = Vec::with_capacity(labels.len());
        for (x, &label) in x.chunks_exact(classes).zip(&labels) {
            let row = rows.as_mut().and_then(Iterator::next);
            let wanted = row.is_some();
            let row = row.unwrap_or(&mut spare);
            losses.push(match label {
                Some(label) => targets.row(x, label, row, wanted.then_some(divisor)),
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
                loss.fill(T::from_f64(losses.iter().sum::<f64>() / divisor));
            }
        }
    });
    Ok(())
}

/// What the scores are, and what is wanted of the classes: `label_share` times its weight of the label, and `even` times its weight of each.
struct Targets<'a, T> {
    log: bool,
    label_share: f64,
    even: f64,
    weights: Option<&'a [T]>,
    all_weights: f64,
}

impl<'a, T: Float> Targets<'a, T> {
    fn new(op: &CrossEntropy, classes: usize, weights: Option<&'a [T]>) -> Targets<'a, T> {
        let smoothing = f64::from(op.smoothing);
        let all = weights.map_or(classes as f64, |w| w.iter().map(|w| w.to_f64()).sum());
        let even = smoothing / classes as f64;
        let label_share = 1.0 - smoothing;
        Targets { log: op.log, label_share, even, weights, all_weights: all }
    }

    fn weight(&self, label: usize) -> f64 {
        self.weights.and_then(|w| w.get(label)).map_or(1.0, |w| w.to_f64())
    }

    /// The loss of one row; with `divisor`, the gradient divided by that goes to `row`.
    fn row(&self, x: &[T], label: usize, row: &mut [T], divisor: Option<f64>) -> f64 {
        let (max, sum) = match self.log {
            true => (T::ZERO, 1.0),
            false => exp_row(x, row),
        };
        let below = |x: T| max.to_f64() - x.to_f64(); // logsumexp - x, without ln sum
        let share = self.label_share * self.weight(label);
        let mut loss = 0.0;
        // A share of 0 is left out rather than multiplied: 0·∞ would be NaN.
        if self.label_share > 0.0 {
            loss += share * (below(x[label]) + sum.ln());
        }
        if self.even > 0.0 {
            let each = x.iter().enumerate().map(|(class, &x)| self.weight(class) * below(x));
            loss += self.even * (each.sum::<f64>() + self.all_weights * sum.ln());
        }
        let Some(divisor) = divisor else { return loss };
        let mut chance = (share + self.even * self.all_weights) / sum / divisor;
        if self.log {
            // A score has no part in the others' losses.
            row.fill(T::ZERO);
            chance = 0.0;
        }
        let even = self.even / divisor;
        let slope = |y: f64, target: f64| T::from_f64(y * chance - target);
        let at_label = row.get(label).map_or(0.0, |y| y.to_f64());
        match self.weights {
            None => row.iter_mut().for_each(|y| *y = slope(y.to_f64(), even)),
            Some(weights) => {
                let each = row.iter_mut().zip(weights);
                each.for_each(|(y, w)| *y = slope(y.to_f64(), even * w.to_f64()));
            }
        }
        if let Some(y) = row.get_mut(label) {
            *y = slope(at_label, share / divisor + even * self.weight(label));
        }
        loss
    }
}
