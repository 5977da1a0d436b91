//! Adam and AdamW.

use super::{Optimizer, POSITIVE, Rate, SHARE, number};
use crate::Module;
use wgrad_core::{Error, FlatParameters, Gradients, Result, Tensor};

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
pub struct AdamWith<const DECOUPLED: bool> {
    flat: FlatParameters,
    /// [rate, β₁, β₂, ε, decay, t, 1−β₁, 1−β₂, ln β₁, ln β₂]; t counts steps on the device
    rate: Rate,
    moments: (Tensor, Tensor),
}

/// ln β for β = 0: e to its power is 0 and the product with any step count is finite.
const LOG_OF_ZERO: f64 = -1e4;

impl<const DECOUPLED: bool> AdamWith<DECOUPLED> {
    const NAME: &str = if DECOUPLED { "adamw" } else { "adam" };

    /// An optimizer for all parameters of `model`, with β = (0.9, 0.999) and ε = 1e-8; the rate `lr`
    /// is finite and not negative.
    #[track_caller]
    pub fn new<M: Module + ?Sized>(model: &M, lr: f64) -> Result<Self> {
        let rate = number(Self::NAME, "learning rate", lr, POSITIVE)?;
        let flat = model.parameters()?;
        let decay = if DECOUPLED { 0.01 } else { 0.0 };
        let rate = Rate::new(&flat, &[rate, 0.0, 0.0, 1e-8, decay, 0.0, 0.0, 0.0, 0.0, 0.0], lr)?;
        let moments = (flat.zeros_like()?, flat.zeros_like()?);
        Self { flat, rate, moments }.betas(0.9, 0.999)
    }

    /// How slowly the moments forget, each in [0, 1).
    #[track_caller]
    pub fn betas(self, beta1: f64, beta2: f64) -> Result<Self> {
        let b1 = number(Self::NAME, "beta1", beta1, SHARE)?;
        let b2 = number(Self::NAME, "beta2", beta2, SHARE)?;
        let log = |beta: f64| beta.ln().max(LOG_OF_ZERO) as f32;
        let rest = [(1.0 - beta1) as f32, (1.0 - beta2) as f32, log(beta1), log(beta2)];
        self.flat.set_hyper(self.rate.hyper(), 1, &[b1, b2])?;
        self.flat.set_hyper(self.rate.hyper(), 6, &rest)?;
        Ok(self)
    }

    /// What is added to the root of the second moment; positive, also as f32, since a gradient of
    /// zero would otherwise give 0/0.
    #[track_caller]
    pub fn epsilon(self, epsilon: f64) -> Result<Self> {
        let e = number(Self::NAME, "epsilon", epsilon, POSITIVE)?;
        if e < f32::MIN_POSITIVE {
            return Err(Error::argument(
                Self::NAME,
                format!("epsilon {epsilon}; it must be at least {:e}", f32::MIN_POSITIVE),
            ));
        }
        self.flat.set_hyper(self.rate.hyper(), 3, &[e])?;
        Ok(self)
    }

    /// Weight decay, finite and not negative.
    #[track_caller]
    pub fn weight_decay(self, decay: f64) -> Result<Self> {
        let decay = number(Self::NAME, "weight decay", decay, POSITIVE)?;
        self.flat.set_hyper(self.rate.hyper(), 4, &[decay])?;
        Ok(self)
    }
}

impl<const DECOUPLED: bool> Optimizer for AdamWith<DECOUPLED> {
    fn step(&self, gradients: &Gradients) -> Result<()> {
        let (m, v) = &self.moments;
        self.flat.adam(gradients, self.rate.hyper(), (m, v), DECOUPLED)
    }
    fn set_lr(&self, lr: f64) -> Result<()> {
        self.rate.set(Self::NAME, &self.flat, lr)
    }
    fn lr(&self) -> f64 {
        self.rate.get()
    }
}
