//! Adagrad.

use super::{Engine, POSITIVE, epsilon, number, optimizer};
use crate::Module;
use wgrad_core::{Result, ops::optimizer::Rule};

/// Adagrad (Duchi, Hazan and Singer 2011), as PyTorch's without decay of the rate, which is a schedule's
/// work: `g ← g + decay·p; s ← s + g²; p ← p − lr·g/(√s + ε)`.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::{Adagrad, Mlp};
/// let model = Mlp::new(&[2, 4, 1], &Device::cpu())?;
/// let adagrad = Adagrad::new(&model, 1e-2)?.initial(0.1)?;
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub struct Adagrad(Engine);

impl Adagrad {
    /// An optimizer for all parameters of `model`, with ε = 1e-10; the rate `lr` is finite and not negative.
    #[track_caller]
    pub fn new<M: Module + ?Sized>(model: &M, lr: f64) -> Result<Self> {
        let engine = Engine::new(model, Rule::Adagrad, lr, 0.0)?;
        Ok(Self(engine.with_numbers(1, [1e-10])?))
    }

    /// What is added to the root, positive, also as f32.
    #[track_caller]
    pub fn epsilon(self, value: f64) -> Result<Self> {
        let value = epsilon("adagrad", value)?;
        Ok(Self(self.0.with_numbers(1, [value])?))
    }

    /// Where the sums of squares begin: finite and not negative.
    #[track_caller]
    pub fn initial(self, sum: f64) -> Result<Self> {
        number("adagrad", "initial sum", sum, POSITIVE)?;
        Ok(Self(self.0.with_moment(0, sum)?))
    }
}

optimizer!(
    Adagrad,
    ["squares"],
    "A share of each parameter is added to its gradient: finite and not negative."
);
