//! Losses over classes with options that the one-pass cross-entropy lacks, composed of other operations.

use super::{cross_entropy::not_one_per_row, losses::Reduction};
use crate::{DType, Error, Result, Tensor};

/// What [`Tensor::cross_entropy_with`] and [`Tensor::nll_with`] may be given.
///
/// ```
/// use wgrad_core::{CrossEntropyOptions, Device, Tensor};
/// let cpu = Device::cpu();
/// let logits = Tensor::from_vec([0.0f32, 0.0, 1.0, 2.0], [2, 2], &cpu)?;
/// let labels = Tensor::from_vec([1i32, -100], [2], &cpu)?;
/// let options = CrossEntropyOptions { ignore_index: Some(-100), ..Default::default() };
/// let loss = logits.cross_entropy_with(&labels, &options)?.item::<f32>()?;
/// assert!((loss - 2f32.ln()).abs() < 1e-6);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CrossEntropyOptions {
    /// Share of the target spread evenly over all classes, in [0, 1].
    pub smoothing: f32,
    /// The label of rows that do not count: their loss and gradient are 0, and a mean is over the others.
    pub ignore_index: Option<i32>,
    /// A weight for each class, `[classes]`: a mean is divided by the sum of the weights of the rows' labels.
    pub weights: Option<Tensor>,
    /// What becomes of the losses of single rows.
    pub reduction: Reduction,
}

impl Tensor {
    /// [`cross_entropy`](Tensor::cross_entropy) with options; they mean what they mean in PyTorch. With none of them
    /// set it is the same operation; with smoothing alone too. If no row counts the mean is NaN. A logit of
    /// −∞ at the label gives +∞.
    #[track_caller]
    pub fn cross_entropy_with(
        &self,
        labels: &Tensor,
        options: &CrossEntropyOptions,
    ) -> Result<Tensor> {
        let plain = options.ignore_index.is_none() && options.weights.is_none();
        if plain && options.reduction == Reduction::Mean {
            return self.cross_entropy_smoothed(labels, options.smoothing);
        }
        let rows = Rows::new("cross_entropy", self, labels, options)?;
        rows.loss(&rows.scores.log_softmax(1)?, labels.shape(), options)
    }

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
        let rows = Rows::new("nll", self, labels, options)?;
        rows.loss(&rows.scores, labels.shape(), options)
    }
}

/// Scores and labels as rows.
struct Rows {
    op: &'static str,
    /// `[rows, classes]`
    scores: Tensor,
    /// `[rows]`; 0 for rows that do not count.
    labels: Tensor,
    /// `[rows]`, bool: which rows count; `None` for all.
    counted: Option<Tensor>,
}

impl Rows {
    #[track_caller]
    fn new(
        op: &'static str,
        scores: &Tensor,
        labels: &Tensor,
        options: &CrossEntropyOptions,
    ) -> Result<Rows> {
        scores.storage()?;
        labels.storage()?;
        super::need_float(op, &scores.meta())?;
        super::need_index(op, &labels.meta())?;
        if !(0.0..=1.0).contains(&options.smoothing) {
            return Err(Error::argument(
                op,
                format!("label smoothing {} lies outside [0, 1]", options.smoothing),
            ));
        }
        let lead = match scores.shape().split_last() {
            Some((0, _)) => return Err(Error::empty(op, "the scores have no classes")),
            Some((_, lead)) if lead == labels.shape() => lead,
            _ => return Err(not_one_per_row(op, scores.shape(), labels.shape())),
        };
        let classes = scores.shape().last().copied().unwrap_or(1);
        if let Some(weights) = options.weights.as_ref().filter(|w| w.shape() != [classes]) {
            return Err(Error::shape(
                op,
                format!(
                    "class weights {:?} for {classes} classes; give one for each",
                    weights.shape()
                ),
            ));
        }
        let rows: usize = lead.iter().product();
        let scores = scores.reshape([rows, classes])?;
        let labels = labels.reshape([rows])?;
        let Some(ignored) = options.ignore_index else {
            return Ok(Rows { op, scores, labels, counted: None });
        };
        if labels.dtype() == DType::U32 && ignored < 0 {
            return Err(Error::argument(
                op,
                format!("ignore_index {ignored} beside labels of u32, which are never negative"),
            ));
        }
        let counted = labels.try_ne(ignored)?;
        let labels = labels.mask(&counted)?;
        Ok(Rows { op, scores, labels, counted: Some(counted) })
    }

    /// From log-probabilities `[rows, classes]`.
    #[track_caller]
    fn loss(&self, log: &Tensor, shape: &[usize], options: &CrossEntropyOptions) -> Result<Tensor> {
        let (rows, classes) = (self.labels.numel(), log.shape().last().copied().unwrap_or(1));
        let share = f64::from(options.smoothing);
        let weights = options.weights.as_ref().map(Tensor::detach);
        // One use of the labels as indices, so that a bad one is reported once.
        let hot = self.labels.one_hot(classes)?.try_gt(0.5)?;
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
        let counting = |x: Tensor| match &self.counted {
            Some(counted) => x.mask(counted),
            None => Ok(x),
        };
        let losses = losses.ok_or_else(|| Error::internal(self.op, "a loss without parts"))?;
        let losses = counting(losses)?;
        if options.reduction != Reduction::Mean {
            return options.reduction.apply(losses.reshape(shape)?);
        }
        let total = losses.sum_all()?;
        match (of_labels, &self.counted) {
            (Some(weights), _) => total.try_div(&counting(weights)?.sum_all()?),
            (None, Some(counted)) => total.try_div(&counted.cast(log.dtype())?.sum_all()?),
            (None, None) => total.try_div(rows as f64),
        }
    }
}
