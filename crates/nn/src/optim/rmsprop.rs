//! RMSprop.

use super::{Engine, SHARE, epsilon, number, optimizer};
use crate::Module;
use wgrad_core::{Error, Result, ops::optimizer::Rule};

/// RMSprop (Tieleman and Hinton 2012), as PyTorch's: `g ← g + decay·p; s ← α·s + (1−α)·g²; p ← p − lr·g/(√s + ε)`.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::{Mlp, RmsProp};
/// let model = Mlp::new(&[2, 4, 1], &Device::cpu())?;
/// let rmsprop = RmsProp::new(&model, 1e-2)?.centered()?.momentum(0.9)?;
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub struct RmsProp(Engine);

impl RmsProp {
    /// An optimizer for all parameters of `model`, with α = 0.99 and ε = 1e-8; the rate `lr` is finite and not
    /// negative.
    #[track_caller]
    pub fn new<M: Module + ?Sized>(model: &M, lr: f64) -> Result<Self> {
        let engine =
            Engine::new(model, Rule::RmsProp { centered: false, momentum: false }, lr, 0.0)?;
        Self(engine.with_numbers(3, [1e-8])?).alpha(0.99)
    }

    /// How slowly the mean of squares forgets, in [0, 1).
    #[track_caller]
    pub fn alpha(self, alpha: f64) -> Result<Self> {
        let value = number("rmsprop", "alpha", alpha, SHARE)?;
        Ok(Self(self.0.with_numbers(1, [value, (1.0 - alpha) as f32])?))
    }

    /// What is added to the root, positive, also as f32.
    #[track_caller]
    pub fn epsilon(self, value: f64) -> Result<Self> {
        let value = epsilon("rmsprop", value)?;
        Ok(Self(self.0.with_numbers(3, [value])?))
    }

    /// With the variance of the gradient in place of its square; takes as much memory again as the parameters.
    #[track_caller]
    pub fn centered(self) -> Result<Self> {
        let momentum = matches!(self.0.rule(), Rule::RmsProp { momentum: true, .. });
        Ok(Self(self.0.with_rule(Rule::RmsProp { centered: true, momentum })?))
    }

    /// With momentum in [0, 1); takes as much memory again as the parameters.
    #[track_caller]
    pub fn momentum(self, momentum: f64) -> Result<Self> {
        let momentum = number("rmsprop", "momentum", momentum, SHARE)?;
        let Rule::RmsProp { centered, .. } = self.0.rule() else {
            return Err(Error::internal("rmsprop", "another rule"));
        };
        let engine = self.0.with_rule(Rule::RmsProp { centered, momentum: true })?;
        Ok(Self(engine.with_numbers(4, [momentum])?))
    }

    fn names(&self) -> &'static [&'static str] {
        match self.0.rule() {
            Rule::RmsProp { centered: true, .. } => &["squares", "mean", "velocity"],
            _ => &["squares", "velocity"],
        }
    }
}

optimizer!(
    RmsProp,
    names,
    "A share of each parameter is added to its gradient: finite and not negative."
);
