//! `Sequential`: layers of any kind, one after the other.

use crate::{Layer, Module, Visitor};
use std::panic::Location;
use wgrad_core::{Error, Result, Tensor};

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
        let at = Location::caller();
        let mut x = x.clone();
        for layer in &self.0 {
            x = layer.forward(&x).map_err(|error| seen_from(error, at))?;
        }
        Ok(x)
    }
}

/// A call through a trait object or in a closure hides the caller's line: an error then names a line of this crate, and
/// `at` takes its place. One that names a line of the user's own layer stays.
pub(crate) fn seen_from(error: Error, at: &'static Location<'static>) -> Error {
    let own = file!().strip_suffix("sequential.rs");
    if own.is_some_and(|own| error.location().file().starts_with(own)) {
        return error.at(at);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Init, Linear, Recomputed};
    use wgrad_core::Device;

    #[test]
    fn an_error_names_the_line_that_called_the_outermost() -> Result<()> {
        let mut init = Init::new(0);
        let inner = Sequential::new().then(Linear::new(3, 3, &mut init)?);
        let net = Sequential::new()
            .then(Activation::Relu)
            .then(Recomputed::new(inner))
            .then(Linear::new(4, 1, &mut init)?)
            .on(&Device::cpu())?;
        for columns in [2, 3] {
            let x = Tensor::ones([1, columns], &Device::cpu())?;
            // Tests lie in this crate's sources: what is asked is the line.
            let (line, result) = (line!(), net.forward(&x));
            let error = result.err().map(|e| (e.location().file(), e.location().line()));
            assert_eq!(error, Some((file!(), line)), "{columns}");
        }
        Ok(())
    }
}
