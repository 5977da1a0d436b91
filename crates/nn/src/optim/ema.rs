//! Averages of a model's parameters over training.

use super::number;
use crate::{Count, Module, State, StateVisitor};
use wgrad_core::{Error, FlatParameters, Result, Tensor, no_grad, recording};

/// An exponential moving average of all parameters: `a ← decay·a + (1 − decay)·p` at each update, from the parameters
/// as they are at first. It takes as much memory as they do. Buffers, such as running statistics, are not averaged.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Ema, Layer, Mlp, eval};
/// let cpu = Device::cpu();
/// let model = Mlp::new(&[2, 4, 1], &cpu)?;
/// let ema = Ema::new(&model, 0.999)?;
/// // After each step of the optimizer:
/// ema.update()?;
/// // To evaluate with the averaged parameters:
/// let y = ema.averaged(|| eval(|| model.forward(&Tensor::ones([1, 2], &cpu)?)))?;
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub struct Ema {
    flat: FlatParameters,
    average: Tensor,
    decay: f64,
    /// 1 while the model has the average and the average's memory holds the model's own values.
    applied: Count,
}

const APPLIED: &str =
    "the model has the averaged parameters of its Ema at present; call restore() first";

#[track_caller]
fn not_recording(call: &str) -> Result<()> {
    if !recording() {
        return Ok(());
    }
    Err(Error::graph(
        "ema",
        format!(
            "{call} within a recorded step, whose replays do not come by it; use averaged(), or call it outside"
        ),
    ))
}

impl Ema {
    /// An average of the parameters of `model`; `decay` in [0, 1).
    #[track_caller]
    pub fn new<M: Module + ?Sized>(model: &M, decay: f64) -> Result<Self> {
        number("ema", "decay", decay, super::SHARE)?;
        let flat = model.parameters()?;
        let average = flat.zeros_like()?;
        average.assign(flat.values())?;
        let applied = Count::new(0);
        average.storage()?.hold_while(applied.shared(), APPLIED);
        Ok(Self { flat, average, decay, applied })
    }

    /// Takes the parameters of now into the average. Works in a recorded step, which then does not run while the average
    /// is applied: an error of kind `Graph`, as here.
    #[track_caller]
    pub fn update(&self) -> Result<()> {
        self.must_be(false)?;
        self.average.mix(self.flat.values(), self.decay, 1.0 - self.decay)
    }

    /// Gives the model the averaged parameters, until [`restore`](Self::restore). Not within a recorded step, which would
    /// apply them again at each replay and say nothing of it; [`averaged`](Self::averaged) works there.
    #[track_caller]
    pub fn apply(&self) -> Result<()> {
        not_recording("apply()")?;
        self.exchange(true)
    }

    /// Gives the model its own parameters back. Not within a recorded step, as [`apply`](Self::apply).
    #[track_caller]
    pub fn restore(&self) -> Result<()> {
        not_recording("restore()")?;
        self.exchange(false)
    }

    /// Applies the average, or takes it back.
    #[track_caller]
    fn exchange(&self, apply: bool) -> Result<()> {
        self.must_be(!apply)?;
        self.swap()?;
        self.applied.set(u64::from(apply));
        Ok(())
    }

    /// Runs `f` with the averaged parameters in the model, and gives it its own back whatever `f` returns. Works in a
    /// recorded step.
    #[track_caller]
    pub fn averaged<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        struct Restore<'a>(&'a Ema);
        impl Drop for Restore<'_> {
            /// Only if `f` panicked is it not restored yet.
            fn drop(&mut self) {
                if self.0.applied.get() == 1 {
                    let _ = self.0.exchange(false);
                }
            }
        }
        self.exchange(true)?;
        let guard = Restore(self);
        let result = f();
        self.exchange(false)?;
        drop(guard);
        result
    }

    /// The averaged parameters in the buffer's order, while they are not applied.
    #[track_caller]
    pub fn values(&self) -> Result<&Tensor> {
        self.must_be(false)?;
        Ok(&self.average)
    }

    #[track_caller]
    fn must_be(&self, applied: bool) -> Result<()> {
        match (self.applied.get() == 1, applied) {
            (true, false) => Err(Error::graph("ema", APPLIED)),
            (false, true) => {
                Err(Error::graph("ema", "the model has its own parameters; call apply() first"))
            }
            _ => Ok(()),
        }
    }

    #[track_caller]
    fn swap(&self) -> Result<()> {
        let parameters = self.flat.values();
        if parameters.numel() == 0 {
            return Ok(());
        }
        no_grad(|| {
            // Times 1: a copy in memory of its own.
            let own = parameters.try_mul(1.0)?;
            parameters.assign(&self.average)?;
            self.average.assign(&own)
        })
    }
}

impl State for Ema {
    fn state(&self, v: &mut StateVisitor) {
        v.tensor("average", &self.average);
        v.count("applied", &self.applied);
    }
}
