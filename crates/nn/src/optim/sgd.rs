//! Stochastic gradient descent.

use super::{Engine, SHARE, number, optimizer};
use crate::Module;
use wgrad_core::{Error, Result, ops::optimizer::Rule};

/// Stochastic gradient descent, as PyTorch's (without dampening): with the gradient g of a
/// parameter p, `g ← g + decay·p; v ← momentum·v + g; p ← p − lr·v`, and with Nesterov's look ahead
/// `p ← p − lr·(g + momentum·v)`.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Layer, Mlp, Optimizer, Sgd};
/// let cpu = Device::cpu();
/// let model = Mlp::new(&[2, 4, 1], &cpu)?;
/// let sgd = Sgd::new(&model, 0.1)?.momentum(0.9)?.nesterov()?.weight_decay(1e-4)?;
///
/// let loss = model.forward(&Tensor::ones([8, 2], &cpu)?)?.mse(&Tensor::ones([8, 1], &cpu)?)?;
/// sgd.step(&loss.backward()?)?;
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub struct Sgd(Engine);

impl Sgd {
    /// Plain descent over all parameters of `model`; the rate `lr` is finite and not negative.
    #[track_caller]
    pub fn new<M: Module + ?Sized>(model: &M, lr: f64) -> Result<Self> {
        Ok(Self(Engine::new(model, Rule::Sgd { momentum: false, nesterov: false }, lr, 0.0)?))
    }

    /// With momentum in [0, 1); takes as much memory again as the parameters.
    #[track_caller]
    pub fn momentum(self, momentum: f64) -> Result<Self> {
        let momentum = number("sgd", "momentum", momentum, SHARE)?;
        let engine = match self.0.rule() {
            Rule::Sgd { momentum: true, .. } => self.0,
            _ => self.0.with_rule(Rule::Sgd { momentum: true, nesterov: false })?,
        };
        Ok(Self(engine.with_numbers(1, [momentum])?))
    }

    /// With Nesterov's look ahead; call it after [`momentum`](Sgd::momentum).
    #[track_caller]
    pub fn nesterov(self) -> Result<Self> {
        match self.0.rule() {
            Rule::Sgd { momentum: true, .. } => {
                Ok(Self(self.0.with_rule(Rule::Sgd { momentum: true, nesterov: true })?))
            }
            _ => Err(Error::argument("sgd", "nesterov needs momentum; call .momentum(0.9)? first")),
        }
    }
}

optimizer!(
    Sgd,
    ["velocity"],
    "A share of each parameter is added to its gradient: finite and not negative."
);
