//! Losses that are composed of other operations. None broadcasts its target silently.

use crate::{
    Error, Result, Tensor,
    ops::binary::{Binary, Scalar},
};

/// What becomes of the losses of single elements or rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Their mean; of none it is NaN.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// They stay as they are.
    None,
}

impl Reduction {
    #[track_caller]
    pub(super) fn apply(self, losses: Tensor) -> Result<Tensor> {
        match self {
            Reduction::Mean => losses.mean_all(),
            Reduction::Sum => losses.sum_all(),
            Reduction::None => Ok(losses),
        }
    }
}

/// An error unless prediction and target have the same shape.
#[track_caller]
fn alike(op: &'static str, prediction: &Tensor, target: &Tensor) -> Result<()> {
    prediction.storage()?;
    target.storage()?;
    if prediction.shape() == target.shape() {
        return Ok(());
    }
    Err(Error::shape(
        op,
        format!(
            "prediction {:?} and target {:?} must have the same shape; losses do not broadcast",
            prediction.shape(),
            target.shape()
        ),
    ))
}

/// An error unless a bound between two shapes of a loss is a positive number.
#[track_caller]
fn positive(op: &'static str, name: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= f64::from(f32::MIN_POSITIVE) {
        return Ok(());
    }
    Err(Error::argument(op, format!("{name} {value}; it must be finite and greater than 0")))
}

impl Tensor {
    /// Mean squared error against `target` of the same shape: losses do not broadcast silently.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let y = Tensor::from_vec([1.0f32, 2.0], [2], &cpu)?;
    /// let target = Tensor::from_vec([1.0f32, 4.0], [2], &cpu)?;
    /// assert_eq!(y.mse(&target)?.item::<f32>()?, 2.0);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn mse(&self, target: &Tensor) -> Result<Tensor> {
        self.mse_with(target, Reduction::Mean)
    }

    /// [`mse`](Tensor::mse) as a mean, as a sum, or for each element.
    #[track_caller]
    pub fn mse_with(&self, target: &Tensor, reduction: Reduction) -> Result<Tensor> {
        alike("mse", self, target)?;
        reduction.apply(self.try_sub(target)?.square()?)
    }

    /// Mean absolute error against `target` of the same shape. Where both are equal the gradient is 0.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let y = Tensor::from_vec([1.0f32, 2.0], [2], &cpu)?;
    /// let target = Tensor::from_vec([1.0f32, 5.0], [2], &cpu)?;
    /// assert_eq!(y.l1(&target)?.item::<f32>()?, 1.5);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn l1(&self, target: &Tensor) -> Result<Tensor> {
        self.l1_with(target, Reduction::Mean)
    }

    /// [`l1`](Tensor::l1) as a mean, as a sum, or for each element.
    #[track_caller]
    pub fn l1_with(&self, target: &Tensor, reduction: Reduction) -> Result<Tensor> {
        alike("l1", self, target)?;
        reduction.apply(self.try_sub(target)?.abs()?)
    }

    /// Mean Huber loss against `target` of the same shape: `d²/2` for distances d up to `delta`, beyond it the line
    /// `delta (d - delta/2)` (Huber 1964).
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let y = Tensor::from_vec([1.0f32, 5.0], [2], &cpu)?;
    /// let target = Tensor::zeros([2], &cpu)?;
    /// assert_eq!(y.huber(&target, 2.0)?.item::<f32>()?, (0.5 + 8.0) / 2.0);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn huber(&self, target: &Tensor, delta: f64) -> Result<Tensor> {
        self.huber_with(target, delta, Reduction::Mean)
    }

    /// [`huber`](Tensor::huber) as a mean, as a sum, or for each element.
    #[track_caller]
    pub fn huber_with(&self, target: &Tensor, delta: f64, reduction: Reduction) -> Result<Tensor> {
        alike("huber", self, target)?;
        positive("huber", "delta", delta)?;
        reduction.apply(self.bent("huber", target, delta)?)
    }

    /// Mean smooth L1 loss against `target` of the same shape: `d²/(2 beta)` for distances d below `beta`, beyond it
    /// `d - beta/2`. It is the Huber loss divided by `beta`.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let y = Tensor::from_vec([1.0f32, 5.0], [2], &cpu)?;
    /// let target = Tensor::zeros([2], &cpu)?;
    /// assert_eq!(y.smooth_l1(&target, 2.0)?.item::<f32>()?, (0.25 + 4.0) / 2.0);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn smooth_l1(&self, target: &Tensor, beta: f64) -> Result<Tensor> {
        self.smooth_l1_with(target, beta, Reduction::Mean)
    }

    /// [`smooth_l1`](Tensor::smooth_l1) as a mean, as a sum, or for each element.
    #[track_caller]
    pub fn smooth_l1_with(
        &self,
        target: &Tensor,
        beta: f64,
        reduction: Reduction,
    ) -> Result<Tensor> {
        alike("smooth_l1", self, target)?;
        positive("smooth_l1", "beta", beta)?;
        reduction.apply(self.bent("smooth_l1", target, beta)?.try_div(beta)?)
    }

    /// With c = min(d, delta): `c (d - c/2)`, which is the parabola and the line in one.
    #[track_caller]
    fn bent(&self, op: &'static str, target: &Tensor, delta: f64) -> Result<Tensor> {
        super::need_float(op, &self.meta())?;
        let distance = self.try_sub(target)?.abs()?;
        let near = distance.minimum(delta)?;
        distance.try_sub(&near.try_mul(0.5)?)?.try_mul(&near)
    }

    /// Mean binary cross-entropy of logits against targets in [0, 1] of the same shape, in nats:
    /// `-t ln σ(x) - (1-t) ln(1-σ(x))`, from softplus and so exact for any finite logit. An infinite logit gives
    /// +∞ against the wrong target and NaN against the right one.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::from_vec([1e4f32, -1e4, 1e4, -1e4], [4], &cpu)?;
    /// let target = Tensor::from_vec([1.0f32, 0.0, 0.0, 0.5], [4], &cpu)?;
    /// assert_eq!(x.bce_with_logits(&target)?.item::<f32>()?, 15_000.0 / 4.0);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn bce_with_logits(&self, target: &Tensor) -> Result<Tensor> {
        self.bce_with_logits_with(target, None, Reduction::Mean)
    }

    /// [`bce_with_logits`](Tensor::bce_with_logits) with a weight for the part of targets that is 1, which broadcasts
    /// to the logits (one number, or one per class), and as a mean, as a sum, or for each element.
    #[track_caller]
    pub fn bce_with_logits_with(
        &self,
        target: &Tensor,
        positive_weight: Option<&Tensor>,
        reduction: Reduction,
    ) -> Result<Tensor> {
        alike("bce_with_logits", self, target)?;
        let mut positive = self.neg()?.softplus()?.try_mul(target)?;
        if let Some(weight) = positive_weight {
            positive = positive.try_mul(&weight.broadcast_to(self.shape())?)?;
        }
        let rest = Tensor::run(Scalar { op: Binary::Sub, value: 1.0, left: true }, &[target])?;
        reduction.apply(self.softplus()?.try_mul(&rest)?.try_add(&positive)?)
    }

    /// Kullback-Leibler divergence of log-probabilities (this tensor) from the probabilities `target` of the same
    /// shape, in nats: `Σ t (ln t - x)` along the last axis, and the mean over the distributions. This is
    /// PyTorch's "batchmean" for `[n, classes]`, and not its default. A target of 0 adds 0; a log-probability of
    /// −∞ gives +∞ where the target is greater.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::zeros([1, 2], &cpu)?.log_softmax(1)?;
    /// let sure = Tensor::from_vec([0.0f32, 1.0], [1, 2], &cpu)?;
    /// assert!((x.kl_div(&sure)?.item::<f32>()? - 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn kl_div(&self, target: &Tensor) -> Result<Tensor> {
        alike("kl_div", self, target)?;
        // The logarithm of 0 is not taken: it would leak into the gradient.
        let log = target.maximum(f64::from(f32::MIN_POSITIVE))?.log()?;
        self.divergence(target, &log)
    }

    /// [`kl_div`](Tensor::kl_div) from a target that is given by its log-probabilities too; −∞ stands for 0.
    #[track_caller]
    pub fn kl_div_log(&self, target: &Tensor) -> Result<Tensor> {
        alike("kl_div", self, target)?;
        self.divergence(&target.exp()?, target)
    }

    #[track_caller]
    fn divergence(&self, target: &Tensor, log: &Tensor) -> Result<Tensor> {
        let there = target.try_gt(0.0)?;
        let each = log.try_sub(self)?.mask(&there)?.try_mul(target)?;
        let classes = self.shape().last().copied().unwrap_or(1);
        let count = self.numel().checked_div(classes).unwrap_or(0);
        each.sum_all()?.try_div(count as f64)
    }
}
