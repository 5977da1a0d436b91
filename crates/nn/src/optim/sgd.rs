//! Stochastic gradient descent.

use super::{Optimizer, POSITIVE, Rate, SHARE, number};
use crate::Module;
use wgrad_core::{Error, FlatParameters, Gradients, Result, Tensor};

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
pub struct Sgd {
    flat: FlatParameters,
    /// [rate, momentum, weight decay]
    rate: Rate,
    velocity: Option<Tensor>,
    nesterov: bool,
}

impl Sgd {
    /// Plain descent over all parameters of `model`; the rate `lr` is finite and not negative.
    #[track_caller]
    pub fn new<M: Module + ?Sized>(model: &M, lr: f64) -> Result<Self> {
        let rate = number("sgd", "learning rate", lr, POSITIVE)?;
        let flat = model.parameters()?;
        let rate = Rate::new(&flat, &[rate, 0.0, 0.0], lr)?;
        Ok(Self { flat, rate, velocity: None, nesterov: false })
    }

    /// With momentum in [0, 1); takes as much memory again as the parameters.
    #[track_caller]
    pub fn momentum(mut self, momentum: f64) -> Result<Self> {
        let momentum = number("sgd", "momentum", momentum, SHARE)?;
        self.flat.set_hyper(self.rate.hyper(), 1, &[momentum])?;
        if self.velocity.is_none() {
            self.velocity = Some(self.flat.zeros_like()?);
        }
        Ok(self)
    }

    /// With Nesterov's look ahead; call it after [`momentum`](Sgd::momentum).
    #[track_caller]
    pub fn nesterov(mut self) -> Result<Self> {
        if self.velocity.is_none() {
            return Err(Error::argument(
                "sgd",
                "nesterov needs momentum; call .momentum(0.9)? first",
            ));
        }
        self.nesterov = true;
        Ok(self)
    }

    /// With a share of each parameter added to its gradient, finite and not negative.
    #[track_caller]
    pub fn weight_decay(self, decay: f64) -> Result<Self> {
        let decay = number("sgd", "weight decay", decay, POSITIVE)?;
        self.flat.set_hyper(self.rate.hyper(), 2, &[decay])?;
        Ok(self)
    }
}

impl Optimizer for Sgd {
    fn step(&self, gradients: &Gradients) -> Result<()> {
        self.flat.sgd(gradients, self.rate.hyper(), self.velocity.as_ref(), self.nesterov)
    }
    fn set_lr(&self, lr: f64) -> Result<()> {
        self.rate.set("sgd", &self.flat, lr)
    }
    fn lr(&self) -> f64 {
        self.rate.get()
    }
}
