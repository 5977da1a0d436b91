//! Loss scaling, for training in 16 bits.

use super::Optimizer;
use crate::{Count, State, StateVisitor};
use std::sync::{Mutex, PoisonError};
use wgrad_core::{Device, Error, Gradients, LossScale, Result, ScaleReport, Tensor, recording};

/// Multiplies losses by a power of two, so that small gradients do not vanish in f16, and skips a step whose gradients
/// became infinite or NaN: parameters, moments and step count then stay as they are, and the scale halves. After
/// `interval` good steps it doubles. All this happens on the device, without waiting for it, and works in a recorded step.
///
/// The order is: [`scale`](Self::scale) the loss, backward, [`unscale`](Self::unscale), (clip,) [`step`](Self::step),
/// [`update`](Self::update). Scaled gradients have a type of their own, which no optimizer and no clipping takes.
///
/// ```
/// use wgrad_core::{Device, Tensor, autocast};
/// use wgrad_nn::{AdamW, GradScaler, Layer, Mlp};
/// let cpu = Device::cpu();
/// let model = Mlp::new(&[2, 4, 1], &cpu)?;
/// let adam = AdamW::new(&model, 1e-3)?;
/// let scaler = GradScaler::with(&cpu, 1024.0, 2000, 1.0)?;
/// let (x, y) = (Tensor::ones([8, 2], &cpu)?, Tensor::ones([8, 1], &cpu)?);
///
/// let loss = autocast(|| model.forward(&x)?.mse(&y))?;
/// let gradients = scaler.unscale(scaler.scale(&loss)?.backward()?)?;
/// let clipped = gradients.clip_norm(1.0)?;
/// scaler.step(&adam, &clipped.gradients)?;
/// scaler.update()?;
/// assert_eq!(scaler.report()?.skipped, 0);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub struct GradScaler {
    scale: LossScale,
    stage: Mutex<Stage>,
    /// Steps at the floor that were told of.
    told: Count,
}

/// What was called last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ready,
    Unscaled,
    Stepped,
}

/// A loss times the scale.
pub struct ScaledLoss(Tensor);

/// Gradients of a scaled loss. Only [`GradScaler::unscale`] takes them.
pub struct ScaledGradients(Gradients);

impl ScaledLoss {
    /// The gradients of the scaled loss.
    #[track_caller]
    pub fn backward(&self) -> Result<ScaledGradients> {
        Ok(ScaledGradients(self.0.backward()?))
    }
}

impl GradScaler {
    /// A scale that starts at 2¹⁶, doubles after 2000 good steps and does not fall below 1.
    #[track_caller]
    pub fn new(device: &Device) -> Result<Self> {
        Self::with(device, 65536.0, 2000, 1.0)
    }

    /// A scale that starts at `scale`, doubles after `interval` good steps and does not fall below `floor`. Both are
    /// powers of two from 2⁻¹⁰⁰ to 2²⁴, so that scaling rounds nothing.
    #[track_caller]
    pub fn with(device: &Device, scale: f64, interval: u32, floor: f64) -> Result<Self> {
        let scale = LossScale::new(device, scale, interval, floor)?;
        Ok(Self { scale, stage: Mutex::new(Stage::Ready), told: Count::new(0) })
    }

    /// A loss (f32, one element) times the scale: that of a new step, or of one more micro-batch. A step that is given up
    /// before its optimizer stepped ends with [`give_up`](Self::give_up): what it found would else count for the next.
    #[track_caller]
    pub fn scale(&self, loss: &Tensor) -> Result<ScaledLoss> {
        let mut stage = self.stage();
        if *stage == Stage::Stepped {
            *stage = Stage::Ready;
            return Err(Error::graph(
                "grad_scaler",
                "the optimizer stepped, and update() was not called; call it after step()",
            ));
        }
        *stage = Stage::Ready;
        Ok(ScaledLoss(self.scale.scale(loss)?))
    }

    /// The gradients without the scale, and whether they are finite: the optimizer looks at that on the device. Several
    /// micro-batches may be unscaled before one step.
    #[track_caller]
    pub fn unscale(&self, gradients: ScaledGradients) -> Result<Gradients> {
        let mut stage = self.stage();
        if *stage == Stage::Stepped {
            return Err(Error::graph(
                "grad_scaler",
                "unscale() after step(); unscale all gradients first, and call update() after step()",
            ));
        }
        let gradients = self.scale.unscale(gradients.0)?;
        *stage = Stage::Unscaled;
        Ok(gradients)
    }

    /// The optimizer's step, which changes nothing if a gradient was infinite or NaN.
    #[track_caller]
    pub fn step(&self, optimizer: &dyn Optimizer, gradients: &Gradients) -> Result<()> {
        let mut stage = self.stage();
        // Another recorded step may have unscaled them: then replays go by and this side hears nothing of it.
        let ready = *stage == Stage::Ready && !recording();
        if ready || gradients.skip().is_none() {
            return Err(Error::graph(
                "grad_scaler",
                "step() takes gradients that unscale() gave since the last update()",
            ));
        }
        optimizer.step(gradients)?;
        *stage = Stage::Stepped;
        Ok(())
    }

    /// Ends a step whose optimizer will not step: what its gradients showed is forgotten, and the scale stays. Works in a
    /// recorded step.
    #[track_caller]
    pub fn give_up(&self) -> Result<()> {
        let mut stage = self.stage();
        if *stage == Stage::Stepped {
            return Err(Error::graph(
                "grad_scaler",
                "give_up() after step(); the optimizer has stepped, call update()",
            ));
        }
        self.scale.forget()?;
        *stage = Stage::Ready;
        Ok(())
    }

    /// Adapts the scale to what was found; after the step of the last optimizer.
    #[track_caller]
    pub fn update(&self) -> Result<()> {
        let mut stage = self.stage();
        if *stage != Stage::Stepped {
            return Err(Error::graph("grad_scaler", "update() without step(); call step() first"));
        }
        self.scale.update()?;
        *stage = Stage::Ready;
        Ok(())
    }

    /// The scale and what happened so far, read from the device. An error, once, if steps were skipped although the scale
    /// was as low as it may fall: then it cannot help.
    #[track_caller]
    pub fn report(&self) -> Result<ScaleReport> {
        let report = self.look()?;
        self.tell(&report)?;
        Ok(report)
    }

    /// The numbers without the error.
    #[track_caller]
    pub(super) fn look(&self) -> Result<ScaleReport> {
        self.scale.report()
    }

    /// The error, if there is one that was not told yet.
    #[track_caller]
    pub(super) fn tell(&self, report: &ScaleReport) -> Result<()> {
        if report.at_floor > self.told.get() {
            let new = report.at_floor - self.told.get();
            self.told.set(report.at_floor);
            return Err(Error::new(
                wgrad_core::ErrorKind::Overflow,
                "grad_scaler",
                format!(
                    "{new} steps were skipped at the smallest loss scale, {}, {} of all {} skipped ones with NaN; \
                     look for infinities in the model or data, lower the learning rate, or clip",
                    report.scale, report.with_nan, report.skipped
                ),
            ));
        }
        Ok(())
    }

    /// How many steps were skipped, read from the device; errors as [`report`](Self::report).
    #[track_caller]
    pub fn skipped(&self) -> Result<u64> {
        Ok(self.report()?.skipped)
    }

    /// The scale of now, read from the device; errors as [`report`](Self::report).
    #[track_caller]
    pub fn current(&self) -> Result<f64> {
        Ok(self.report()?.scale)
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State for GradScaler {
    fn state(&self, v: &mut StateVisitor) {
        v.tensor("scale", self.scale.numbers());
        v.tensor("flags", self.scale.flags());
        v.count("told", &self.told);
    }
}
