//! Cross-entropy from logits, or negative log-likelihood from log-probabilities, and labels: the losses and their
//! gradient in one pass, options included.

use super::{losses::Reduction, need_float, need_index, need_same};
use crate::{
    DType, Error, Grad, Meta, Precision, Result, Shape, Tensor,
    op::{Family, Saves},
};

/// scores `[n, classes]`, labels `[n]`, where weighted weights `[classes]` -> loss `[]`, or `[n]` if it is not reduced,
/// and, where wanted, the gradient of the losses' sum or mean `[n, classes]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropy {
    /// Whether the scores are log-probabilities already, and this is their negative log-likelihood.
    pub log: bool,
    /// Share of the target spread evenly over all classes, in [0, 1].
    pub smoothing: f32,
    /// The label of rows that do not count.
    pub ignored: Option<i32>,
    /// Whether classes have weights.
    pub weighted: bool,
    /// A mean is divided by the weights of the labels of rows that count.
    pub reduction: Reduction,
    /// Whether the gradient is computed along.
    pub gradient: bool,
}

impl Family for CrossEntropy {
    fn name(&self) -> &'static str {
        name(self.log)
    }
    fn precision(&self) -> Precision {
        Precision::Wide
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let (op, scores, labels) = (self.name(), &ins[0], &ins[1]);
        need_float(op, scores)?;
        need_index(op, labels)?;
        if scores.shape.rank() != 2 || *labels.shape != scores.shape[..1] {
            return Err(not_one_per_row(op, &scores.shape, &labels.shape));
        }
        if scores.shape[1] == 0 {
            return Err(Error::empty(op, "the scores have no classes"));
        }
        if let Some(weights) = ins.get(2) {
            need_same(op, scores, weights)?;
            weight_per_class(op, &weights.shape, scores.shape[1])?;
        }
        let shape = match self.reduction {
            Reduction::None => labels.shape,
            Reduction::Mean | Reduction::Sum => Shape::scalar(),
        };
        let mut outs = vec![Meta { shape, dtype: scores.dtype }];
        if self.gradient {
            outs.push(*scores);
        }
        Ok(outs)
    }
    fn saves(&self) -> Saves {
        Saves::outputs(if self.gradient { 0b10 } else { 0 })
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let gradient = g.output(1)?;
        let scaled = match self.reduction {
            _ if g.is_unit() => gradient.clone(),
            Reduction::None => gradient.try_mul(&g.cotangent()?.unsqueeze(1)?)?,
            Reduction::Mean | Reduction::Sum => gradient.try_mul(g.cotangent()?)?,
        };
        let mut all = vec![Some(scaled), None];
        all.extend(self.weighted.then_some(None));
        Ok(all)
    }
}

fn name(log: bool) -> &'static str {
    if log { "nll" } else { "cross_entropy" }
}

/// The error of labels whose shape is not that of the scores without their last axis.
#[track_caller]
fn not_one_per_row(op: &'static str, scores: &[usize], labels: &[usize]) -> Error {
    let what = if op == "nll" { "log-probabilities" } else { "logits" };
    let advice = match (scores, labels) {
        // [n, classes, ..] beside [n, ..]
        ([n, _, rest @ ..], [m, others @ ..]) if n == m && rest == others => {
            let axes: Vec<usize> = [0].into_iter().chain(2..scores.len()).chain([1]).collect();
            format!(
                "; classes lie on the last axis here, on axis 1 in PyTorch: permute({axes:?}) moves them"
            )
        }
        _ => String::new(),
    };
    Error::shape(
        op,
        format!("{what} {scores:?} need one label per row, got labels {labels:?}{advice}"),
    )
}

#[track_caller]
fn weight_per_class(op: &'static str, weights: &[usize], classes: usize) -> Result<()> {
    if weights == [classes] {
        return Ok(());
    }
    let text = format!("class weights {weights:?} for {classes} classes; give one for each");
    Err(Error::shape(op, text))
}

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
    /// A weight for each class, `[classes]`: a mean is divided by the sum of the weights of the rows' labels. Weights are
    /// constants: no gradient reaches them.
    pub weights: Option<Tensor>,
    /// What becomes of the losses of single rows.
    pub reduction: Reduction,
}

impl CrossEntropyOptions {
    /// Rows and classes of scores `[.., classes]`, or why scores, labels and these options do not go together.
    #[track_caller]
    pub(super) fn sizes(
        &self,
        op: &'static str,
        scores: &Tensor,
        labels: &Tensor,
    ) -> Result<[usize; 2]> {
        scores.storage()?;
        labels.storage()?;
        need_float(op, &scores.meta())?;
        need_index(op, &labels.meta())?;
        if !(0.0..=1.0).contains(&self.smoothing) {
            return Err(Error::argument(
                op,
                format!("label smoothing {} lies outside [0, 1]", self.smoothing),
            ));
        }
        let (classes, rows) = match scores.shape().split_last() {
            None => return Err(Error::rank(op, "scores need rank 1 or more, got rank 0")),
            Some((_, lead)) if lead != labels.shape() => {
                return Err(not_one_per_row(op, scores.shape(), labels.shape()));
            }
            Some((0, _)) => return Err(Error::empty(op, "the scores have no classes")),
            Some((&classes, lead)) => (classes, lead.iter().product()),
        };
        if let Some(weights) = &self.weights {
            weight_per_class(op, weights.shape(), classes)?;
        }
        match self.ignore_index {
            Some(ignored) if ignored < 0 && labels.dtype() == DType::U32 => {
                let what = format!("ignore_index {ignored} beside labels of u32");
                Err(Error::argument(op, format!("{what}, which are never negative")))
            }
            _ => Ok([rows, classes]),
        }
    }
}

impl Tensor {
    /// Mean cross-entropy of logits `[.., classes]` against labels `[..]` (i32 or u32): the mean of
    /// `logsumexp(logits) - logits[label]`, in nats. Classes lie on the last axis: logits `[n, classes, h, w]`, as
    /// PyTorch takes them, need `permute([0, 2, 3, 1])` first. A label outside `0..classes` is an error with its
    /// value and position: at once on the CPU, on a GPU at the next read or sync, and until then no
    /// in-place operation (such as an optimizer's step) takes effect. Such a fault belongs to the device:
    /// where several threads work on one, any of their reads may be the one that reports it, so let
    /// each training thread have a device of its own. No row at all gives NaN.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let logits = Tensor::from_vec([0.0f32, 0.0, 1e4, -1e4], [2, 2], &cpu)?;
    /// let labels = Tensor::from_vec([1i32, 1], [2], &cpu)?;
    /// let loss = logits.cross_entropy(&labels)?.item::<f32>()?;
    /// assert!((loss - (2f32.ln() + 2e4) / 2.0).abs() < 1e-2);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn cross_entropy(&self, labels: &Tensor) -> Result<Tensor> {
        self.cross_entropy_with(labels, &CrossEntropyOptions::default())
    }

    /// [`cross_entropy`](Tensor::cross_entropy) with label smoothing: the target is `1 - smoothing` on
    /// the label plus `smoothing / classes` on every class (Szegedy et al. 2016).
    #[track_caller]
    pub fn cross_entropy_smoothed(&self, labels: &Tensor, smoothing: f32) -> Result<Tensor> {
        let options = CrossEntropyOptions { smoothing, ..CrossEntropyOptions::default() };
        self.cross_entropy_with(labels, &options)
    }

    /// [`cross_entropy`](Tensor::cross_entropy) with options; they mean what they mean in PyTorch. If no row counts
    /// the mean is NaN and the gradient 0. A logit of −∞ at the label gives +∞.
    #[track_caller]
    pub fn cross_entropy_with(
        &self,
        labels: &Tensor,
        options: &CrossEntropyOptions,
    ) -> Result<Tensor> {
        self.class_loss(false, labels, options)
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
        self.class_loss(true, labels, options)
    }

    #[track_caller]
    fn class_loss(
        &self,
        log: bool,
        labels: &Tensor,
        options: &CrossEntropyOptions,
    ) -> Result<Tensor> {
        let [rows, classes] = options.sizes(name(log), self, labels)?;
        let flat = self.rank() == 2;
        let logits = if flat { self.clone() } else { self.reshape([rows, classes])? };
        let row_labels = if flat { labels.clone() } else { labels.reshape([rows])? };
        let weights = options.weights.as_ref().map(Tensor::detach);
        let op = CrossEntropy {
            log,
            smoothing: options.smoothing,
            ignored: options.ignore_index,
            weighted: weights.is_some(),
            reduction: options.reduction,
            gradient: crate::graph::grad_enabled() && self.requires_grad(),
        };
        let mut ins = vec![&logits, &row_labels];
        ins.extend(&weights);
        let loss = Tensor::run_all(op, &ins)?.into_iter().next();
        let loss = loss.ok_or_else(|| Error::internal(name(log), "an operation without output"))?;
        if flat || options.reduction != Reduction::None {
            return Ok(loss);
        }
        loss.reshape(labels.shape())
    }
}
