//! Adam and AdamW.

use super::{Engine, SHARE, epsilon, number, optimizer};
use crate::Module;
use wgrad_core::{Result, ops::optimizer::Rule};

/// Adam (Kingma and Ba 2015), as PyTorch's; weight decay is added to the gradients.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::{Adam, Mlp};
/// let model = Mlp::new(&[2, 4, 1], &Device::cpu())?;
/// let adam = Adam::new(&model, 1e-3)?.betas(0.9, 0.99)?;
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub type Adam = AdamWith<false>;

/// AdamW (Loshchilov and Hutter 2019), as PyTorch's; weight decay (0.01 unless given) acts on the
/// parameters themselves, by `lr·decay·p` each step.
pub type AdamW = AdamWith<true>;

/// [`Adam`], or with `DECOUPLED` weight decay [`AdamW`]. Its two moments take twice the memory of the
/// parameters.
pub struct AdamWith<const DECOUPLED: bool>(Engine);

/// ln β for β = 0: e to its power is 0 and the product with any step count is finite.
const LOG_OF_ZERO: f64 = -1e4;

impl<const DECOUPLED: bool> AdamWith<DECOUPLED> {
    /// An optimizer for all parameters of `model`, with β = (0.9, 0.999) and ε = 1e-8; the rate `lr`
    /// is finite and not negative.
    #[track_caller]
    pub fn new<M: Module + ?Sized>(model: &M, lr: f64) -> Result<Self> {
        let decay = if DECOUPLED { 0.01 } else { 0.0 };
        let engine = Engine::new(model, Rule::Adam { decoupled: DECOUPLED }, lr, decay)?;
        Self(engine.with_numbers(3, [1e-8])?).betas(0.9, 0.999)
    }

    /// How slowly the moments forget, each in [0, 1).
    #[track_caller]
    pub fn betas(self, beta1: f64, beta2: f64) -> Result<Self> {
        let b1 = number(self.0.name(), "beta1", beta1, SHARE)?;
        let b2 = number(self.0.name(), "beta2", beta2, SHARE)?;
        let log = |beta: f64| beta.ln().max(LOG_OF_ZERO) as f32;
        let rest = [(1.0 - beta1) as f32, (1.0 - beta2) as f32, log(beta1), log(beta2)];
        Ok(Self(self.0.with_numbers(1, [b1, b2])?.with_numbers(4, rest)?))
    }

    /// What is added to the root of the second moment; positive, also as f32, since a gradient of
    /// zero would otherwise give 0/0.
    #[track_caller]
    pub fn epsilon(self, value: f64) -> Result<Self> {
        let value = epsilon(self.0.name(), value)?;
        Ok(Self(self.0.with_numbers(3, [value])?))
    }
}

optimizer!(Adam, ["first", "second"], "Weight decay, finite and not negative.");
optimizer!(AdamW, ["first", "second"], "Weight decay, finite and not negative.");
