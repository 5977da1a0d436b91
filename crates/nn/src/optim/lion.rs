//! Lion.

use super::{Engine, SHARE, number, optimizer};
use crate::Module;
use wgrad_core::{Result, ops::optimizer::Rule};

/// Lion (Chen and others 2023): `p ← p − lr·(sign(β₁·m + (1−β₁)·g) + decay·p); m ← β₂·m + (1−β₂)·g`. It keeps one moment;
/// its rate is usually a third to a tenth of AdamW's and its weight decay three to ten times as large.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::{Lion, Mlp};
/// let model = Mlp::new(&[2, 4, 1], &Device::cpu())?;
/// let lion = Lion::new(&model, 1e-4)?.weight_decay(0.1)?;
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub struct Lion(Engine);

impl Lion {
    /// An optimizer for all parameters of `model`, with β = (0.9, 0.99); the rate `lr` is finite and not negative.
    #[track_caller]
    pub fn new<M: Module + ?Sized>(model: &M, lr: f64) -> Result<Self> {
        Self(Engine::new(model, Rule::Lion, lr, 0.0)?).betas(0.9, 0.99)
    }

    /// How much of the moment is in a step, and how slowly it forgets, each in [0, 1).
    #[track_caller]
    pub fn betas(self, beta1: f64, beta2: f64) -> Result<Self> {
        let b1 = number("lion", "beta1", beta1, SHARE)?;
        let b2 = number("lion", "beta2", beta2, SHARE)?;
        let rest = [(1.0 - beta1) as f32, (1.0 - beta2) as f32];
        Ok(Self(self.0.with_numbers(1, [b1, b2, rest[0], rest[1]])?))
    }
}

optimizer!(
    Lion,
    ["moment"],
    "Each step takes `lr·decay` of a parameter away: finite and not negative."
);
