//! Negative log-likelihood with the options of cross-entropy, composed of other operations.

use super::{cross_entropy::CrossEntropyOptions, losses::Reduction};
use crate::{Error, Result, Tensor};

impl Tensor {
    /// Mean negative log-likelihood of log-probabilities `[.., classes]` against labels `[..]` (i32 or u32): what
    /// cross-entropy is after [`log_softmax`](Tensor::log_softmax). Labels are checked as there.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let log = Tensor::from_vec([-0.5f32, -1.0, -2.0, -3.0], [2, 2], &cpu)?;
    /// let labels = Tensor::from_vec([0i32, 1], [2], &cpu)?;
    /// assert_eq!(log.nll(&labels)?.item::<f32>()?, 1.75);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn nll(&self, labels: &Tensor) -> Result<Tensor> {
        self.nll_with(labels, &CrossEntropyOptions::default())
    }

    /// [`nll`](Tensor::nll) with options, as [`cross_entropy_with`](Tensor::cross_entropy_with) has them.
    #[track_caller]
    pub fn nll_with(&self, labels: &Tensor, options: &CrossEntropyOptions) -> Result<Tensor> {
        let [rows, classes] = options.sizes("nll", self, labels)?;
        let (log, labels_shape) = (self.reshape([rows, classes])?, labels.shape());
        let labels = labels.reshape([rows])?;
        let counted = match options.ignore_index {
            Some(ignored) => Some(labels.try_ne(ignored)?),
            None => None,
        };
        let counting = |x: Tensor| match &counted {
            Some(counted) => x.mask(counted),
            None => Ok(x),
        };
        let share = f64::from(options.smoothing);
        let weights = options.weights.as_ref().map(Tensor::detach);
        // One use of the labels as indices, so that a bad one is reported once.
        let hot = counting(labels)?.one_hot(classes)?.try_gt(0.5)?;
        let of_labels = match &weights {
            Some(weights) => Some(weights.mask(&hot)?.sum([1])?),
            None => None,
        };
        // A share of 0 is left out rather than multiplied: 0·∞ would be NaN.
        let mut losses = None;
        if share < 1.0 {
            // Chosen, not multiplied by 0 and 1: other classes may be −∞.
            let at_label = log.mask(&hot)?.sum([1])?.try_mul(share - 1.0)?;
            losses = Some(match &of_labels {
                Some(weights) => at_label.try_mul(weights)?,
                None => at_label,
            });
        }
        if share > 0.0 {
            let all = match &weights {
                Some(weights) => log.try_mul(weights)?,
                None => log.clone(),
            };
            let even = all.sum([1])?.try_mul(-share / classes as f64)?;
            losses = Some(match losses {
                Some(losses) => losses.try_add(&even)?,
                None => even,
            });
        }
        let losses = losses.ok_or_else(|| Error::internal("nll", "a loss without parts"))?;
        let losses = counting(losses)?;
        if options.reduction != Reduction::Mean {
            return options.reduction.apply(losses.reshape(labels_shape)?);
        }
        let total = losses.sum_all()?;
        match (of_labels, &counted) {
            (Some(weights), _) => total.try_div(&counting(weights)?.sum_all()?),
            (None, Some(counted)) => total.try_div(&counted.cast(log.dtype())?.sum_all()?),
            (None, None) => total.try_div(rows as f64),
        }
    }
}
