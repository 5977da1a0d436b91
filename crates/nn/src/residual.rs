//! `Residual`: a layer beside which its input passes unchanged.

use crate::{Layer, Module, Visitor, sequential::seen_from};
use std::panic::Location;
use wgrad_core::{Error, Result, Tensor, recompute};

/// `y = x + layer(x)` (He et al. 2016): the layer's output has the shape of its input. Its parameters have the
/// names they have in the layer.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Activation, Init, Layer, Linear, Module, Residual, Sequential};
/// let mut init = Init::new(0);
/// let block = Sequential::new()
///     .then(Linear::new(8, 32, &mut init)?.activation(Activation::Relu))
///     .then(Linear::new(32, 8, &mut init)?);
/// let net = Sequential::new().then(Residual::new(block)).on(&Device::cpu())?;
/// assert_eq!(net.names()[0], "0.0.weight");
/// assert_eq!(net.forward(&Tensor::ones([3, 8], &Device::cpu())?)?.shape(), [3, 8]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Residual<L>(L);

impl<L: Layer> Residual<L> {
    /// The layer with its input added.
    pub fn new(layer: L) -> Self {
        Self(layer)
    }
}

impl<L: Layer> Module for Residual<L> {
    fn visit(&self, v: &mut Visitor) {
        self.0.visit(v);
    }
}

impl<L: Layer> Layer for Residual<L> {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.0.forward(x)?;
        if y.shape() != x.shape() {
            return Err(Error::shape(
                "residual",
                format!(
                    "the layer makes {:?} of {:?}; to add them, the shapes must be equal",
                    y.shape(),
                    x.shape()
                ),
            ));
        }
        x.try_add(&y)
    }
}

/// A layer whose intermediate values are not kept for backward but computed again there: the same gradients
/// for less memory and one more forward pass ([`recompute`]).
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Init, Layer, Mlp, MlpOptions, Module, Recomputed, Sequential};
/// let mut init = Init::new(0);
/// let block = |init: &mut Init| Mlp::part(&[8, 32, 8], MlpOptions::default(), init).map(Recomputed::new);
/// let net = Sequential::new().then(block(&mut init)?).then(block(&mut init)?).on(&Device::cpu())?;
/// let y = net.forward(&Tensor::ones([3, 8], &Device::cpu())?)?;
/// let gradients = y.sum_all()?.backward()?;
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Recomputed<L>(L);

impl<L: Layer> Recomputed<L> {
    /// The layer, frugal with memory.
    pub fn new(layer: L) -> Self {
        Self(layer)
    }
}

impl<L: Layer> Module for Recomputed<L> {
    fn visit(&self, v: &mut Visitor) {
        self.0.visit(v);
    }
}

impl<L: Layer> Layer for Recomputed<L> {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let at = Location::caller();
        recompute(|| self.0.forward(x)).map_err(|error| seen_from(error, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, Linear};
    use wgrad_core::{Device, ErrorKind};

    #[test]
    fn the_input_is_added() -> Result<()> {
        let cpu = Device::cpu();
        let x = Tensor::from_vec([1.0f32, -2.0, 0.5], [1, 3], &cpu)?;
        let net = Residual::new(Linear::new(3, 3, &mut Init::new(1))?).on(&cpu)?;
        let y = net.forward(&x)?.to_vec::<f32>()?;
        let plain = net.0.forward(&x)?.to_vec::<f32>()?;
        let want: Vec<f32> = plain.iter().zip([1.0, -2.0, 0.5]).map(|(a, b)| a + b).collect();
        assert_eq!(y, want);
        Ok(())
    }

    #[test]
    fn shapes_must_be_equal() -> Result<()> {
        let cpu = Device::cpu();
        // [1, 1] would broadcast, silently.
        let net = Residual::new(Linear::new(3, 1, &mut Init::new(1))?).on(&cpu)?;
        let error = net.forward(&Tensor::ones([1, 3], &cpu)?).err();
        assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::Shape));
        Ok(())
    }
}
