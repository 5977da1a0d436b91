//! Gradients summed over several micro-batches.

use crate::{Module, State, StateVisitor};
use std::sync::{Mutex, PoisonError};
use wgrad_core::{Error, FlatParameters, Gradients, Result, Tensor};

/// The mean of gradients over micro-batches, in memory of its own on the device: a batch that does not fit is computed in
/// parts. It works across recorded steps too: one step that adds, and one that takes and applies.
///
/// Losses that are means over their micro-batch give the full batch's gradient if the micro-batches are of one size. For
/// unequal ones, [`add_weighted`](Self::add_weighted) with the size of each.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{GradAccumulator, Layer, Mlp, Optimizer, Sgd};
/// let cpu = Device::cpu();
/// let model = Mlp::new(&[2, 4, 1], &cpu)?;
/// let (sgd, sum) = (Sgd::new(&model, 0.1)?, GradAccumulator::new(&model)?);
/// for _ in 0..4 {
///     let loss = model.forward(&Tensor::ones([8, 2], &cpu)?)?.mse(&Tensor::ones([8, 1], &cpu)?)?;
///     sum.add(&loss.backward()?)?;
/// }
/// sgd.step(&sum.take()?)?;
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub struct GradAccumulator {
    flat: FlatParameters,
    /// Sum of weight times gradient.
    sum: Tensor,
    /// Sum of weights, and a 1 to add to it.
    weight: Tensor,
    one: Tensor,
    zero: Tensor,
    /// Flags of the loss scale that the gradients had.
    skip: Mutex<Option<Tensor>>,
}

impl GradAccumulator {
    /// An empty sum for the parameters of `model`.
    #[track_caller]
    pub fn new<M: Module + ?Sized>(model: &M) -> Result<Self> {
        let flat = model.parameters()?;
        let device = flat.values().device();
        let sum = flat.zeros_like()?;
        let (weight, one) = (Tensor::zeros([1], device)?, Tensor::ones([1], device)?);
        let zero = Tensor::zeros([1], device)?;
        Ok(Self { flat, sum, weight, one, zero, skip: Mutex::new(None) })
    }

    /// Adds the gradients of one micro-batch.
    #[track_caller]
    pub fn add(&self, gradients: &Gradients) -> Result<()> {
        self.add_weighted(gradients, 1.0)
    }

    /// Adds the gradients of one micro-batch with a weight, for instance its number of samples: finite and above 0.
    #[track_caller]
    pub fn add_weighted(&self, gradients: &Gradients, weight: f64) -> Result<()> {
        if !(weight > 0.0 && (weight as f32).is_finite() && weight as f32 > 0.0) {
            return Err(Error::argument(
                "accumulate",
                format!("a weight of {weight}; it must be finite and above 0"),
            ));
        }
        let Some(values) = gradients.values(&self.flat) else {
            return Err(Error::graph(
                "accumulate",
                "the loss depends on none of these parameters; call backward on a loss of this model",
            ));
        };
        if let Some(skip) = gradients.skip() {
            *self.skip.lock().unwrap_or_else(PoisonError::into_inner) = Some(skip.clone());
        }
        self.sum.mix(values, 1.0, weight)?;
        self.weight.mix(&self.one, 1.0, weight)
    }

    /// The weighted mean of what was added so far, for an optimizer. If nothing was added it is NaN: 0/0.
    #[track_caller]
    pub fn gradients(&self) -> Result<Gradients> {
        let mean = self.sum.try_div(&self.weight)?;
        let skip = self.skip.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Gradients::from_values(&self.flat, mean)?.skipped_by(skip))
    }

    /// The weighted mean, and begins anew.
    #[track_caller]
    pub fn take(&self) -> Result<Gradients> {
        let gradients = self.gradients()?;
        self.clear()?;
        Ok(gradients)
    }

    /// Forgets what was added.
    #[track_caller]
    pub fn clear(&self) -> Result<()> {
        // Not by a factor of 0, which NaN survives.
        for x in [&self.sum, &self.weight] {
            x.assign(&self.zero.broadcast_to(x.shape())?)?;
        }
        Ok(())
    }
}

impl State for GradAccumulator {
    fn state(&self, v: &mut StateVisitor) {
        v.tensor("sum", &self.sum);
        v.tensor("weight", &self.weight);
    }
}
