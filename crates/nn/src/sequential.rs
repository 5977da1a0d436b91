//! `Sequential`: layers of any kind, one after the other.

use crate::{Layer, Module, Visitor};
use wgrad_core::{Result, Tensor};

/// Layers one after the other; the parameters are named by position, as in PyTorch (`0.weight`).
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Activation, Init, Layer, Linear, Module, Sequential};
/// let mut init = Init::new(0);
/// let net = Sequential::new()
///     .then(Linear::new(2, 8, &mut init)?)
///     .then(Activation::Gelu)
///     .then(Linear::new(8, 1, &mut init)?)
///     .on(&Device::cpu())?;
/// assert_eq!(net.names(), ["0.weight", "0.bias", "2.weight", "2.bias"]);
/// assert_eq!(net.forward(&Tensor::zeros([3, 2], &Device::cpu())?)?.shape(), [3, 1]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Default)]
pub struct Sequential(Vec<Box<dyn Layer + Send + Sync>>);

impl Sequential {
    /// No layers: the output is the input.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more layer at the end.
    #[must_use]
    pub fn then(mut self, layer: impl Layer + Send + Sync + 'static) -> Self {
        self.0.push(Box::new(layer));
        self
    }
}

impl Module for Sequential {
    fn visit(&self, v: &mut Visitor) {
        self.0.visit(v);
    }
}

impl Layer for Sequential {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // A loop, since a closure would hide the caller's line from errors.
        let mut x = x.clone();
        for layer in &self.0 {
            x = layer.forward(&x)?;
        }
        Ok(x)
    }
}
