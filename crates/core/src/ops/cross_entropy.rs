//! Cross-entropy from logits and labels: the mean loss and its gradient in one pass.

use super::{need_float, need_index};
use crate::{
    Error, Grad, Meta, Precision, Result, Shape, Tensor,
    op::{Family, Saves},
};

/// logits `[n, classes]`, labels `[n]` -> mean loss `[]` and, where wanted, its gradient `[n, classes]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropy {
    /// Share of the target spread evenly over all classes, in [0, 1].
    pub smoothing: f32,
    /// Whether the gradient is computed along.
    pub gradient: bool,
}

impl Family for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }
    fn precision(&self) -> Precision {
        Precision::Wide
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let (logits, labels) = (&ins[0], &ins[1]);
        need_float("cross_entropy", logits)?;
        need_index("cross_entropy", labels)?;
        if logits.shape.rank() != 2 || *labels.shape != logits.shape[..1] {
            return Err(not_one_per_row("cross_entropy", &logits.shape, &labels.shape));
        }
        if logits.shape[1] == 0 {
            return Err(Error::empty("cross_entropy", "logits have no classes"));
        }
        let mut outs = vec![Meta { shape: Shape::scalar(), dtype: logits.dtype }];
        if self.gradient {
            outs.push(*logits);
        }
        Ok(outs)
    }
    fn saves(&self) -> Saves {
        Saves::outputs(if self.gradient { 0b10 } else { 0 })
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let gradient = g.output(1)?;
        let scaled =
            if g.is_unit() { gradient.clone() } else { gradient.try_mul(g.cotangent()?)? };
        Ok(vec![Some(scaled), None])
    }
}

/// The error of labels whose shape is not that of the scores without their last axis.
#[track_caller]
pub(super) fn not_one_per_row(op: &'static str, scores: &[usize], labels: &[usize]) -> Error {
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
        self.cross_entropy_smoothed(labels, 0.0)
    }

    /// [`cross_entropy`](Tensor::cross_entropy) with label smoothing: the target is `1 - smoothing` on
    /// the label plus `smoothing / classes` on every class (Szegedy et al. 2016).
    #[track_caller]
    pub fn cross_entropy_smoothed(&self, labels: &Tensor, smoothing: f32) -> Result<Tensor> {
        if !(0.0..=1.0).contains(&smoothing) {
            return Err(Error::argument(
                "cross_entropy",
                format!("label smoothing {smoothing} lies outside [0, 1]"),
            ));
        }
        let Some((&classes, lead)) = self.shape().split_last() else {
            return Err(Error::rank("cross_entropy", "logits need rank 1 or more, got rank 0"));
        };
        if lead != labels.shape() {
            return Err(not_one_per_row("cross_entropy", self.shape(), labels.shape()));
        }
        let rows = lead.iter().product();
        let logits = if self.rank() == 2 { self.clone() } else { self.reshape([rows, classes])? };
        let labels = if self.rank() == 2 { labels.clone() } else { labels.reshape([rows])? };
        let gradient = crate::graph::grad_enabled() && self.requires_grad();
        let outs = Tensor::run_all(CrossEntropy { smoothing, gradient }, &[&logits, &labels])?;
        outs.into_iter()
            .next()
            .ok_or_else(|| Error::internal("cross_entropy", "an operation without output"))
    }
}
