//! `Mlp`: dense layers with an activation between them.

use crate::{Activation, Init, Layer, Linear, Module};
use wgrad_core::{Device, Error, Result, Tensor};

/// A multi-layer perceptron: x `[.., sizes[0]]` becomes `[.., sizes[last]]`, with an activation after
/// every layer but the last.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Layer, Mlp, Module};
/// let cpu = Device::cpu();
/// let model = Mlp::new(&[784, 32, 10], &cpu)?;
/// assert_eq!(model.forward(&Tensor::zeros([5, 784], &cpu)?)?.shape(), [5, 10]);
/// assert_eq!(model.names()[0], "layers.0.weight");
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Mlp {
    layers: Vec<Linear>,
}
crate::module!(Mlp { layers });

/// What an [`Mlp`] may be given beside its sizes.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::{Activation, Mlp, MlpOptions};
/// let options = MlpOptions { activation: Activation::Gelu, ..MlpOptions::default() };
/// let model = Mlp::with(&[4, 8, 2], options, &Device::cpu())?;
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlpOptions {
    /// Seed of the first values; 0 unless given.
    pub seed: u64,
    /// What comes between the layers; ReLU unless given.
    pub activation: Activation,
    /// Whether the layers have a bias; they do unless told.
    pub bias: bool,
}

impl Default for MlpOptions {
    fn default() -> Self {
        Self { seed: 0, activation: Activation::Relu, bias: true }
    }
}

impl Mlp {
    /// A model on `device` with ReLU between its layers and seed 0. `sizes` are those of the input,
    /// the hidden layers and the output: at least two, none of them 0.
    #[track_caller]
    pub fn new(sizes: &[usize], device: &Device) -> Result<Self> {
        Self::with(sizes, MlpOptions::default(), device)
    }

    /// The same with another seed.
    #[track_caller]
    pub fn with_seed(sizes: &[usize], seed: u64, device: &Device) -> Result<Self> {
        Self::with(sizes, MlpOptions { seed, ..MlpOptions::default() }, device)
    }

    /// The same with other options.
    #[track_caller]
    pub fn with(sizes: &[usize], options: MlpOptions, device: &Device) -> Result<Self> {
        Self::part(sizes, options, &mut Init::new(options.seed))?.on(device)
    }

    /// A model on no device yet, as a part of a larger one; draws from `init` and not from
    /// `options.seed`.
    #[track_caller]
    pub fn part(sizes: &[usize], options: MlpOptions, init: &mut Init) -> Result<Self> {
        if sizes.len() < 2 {
            return Err(Error::argument(
                "mlp",
                format!("sizes {sizes:?}; at least those of the input and the output are needed"),
            ));
        }
        let mut layers = Vec::with_capacity(sizes.len() - 1);
        for pair in sizes.windows(2) {
            let layer = if options.bias {
                Linear::new(pair[0], pair[1], init)?
            } else {
                Linear::without_bias(pair[0], pair[1], init)?
            };
            let last = layers.len() + 2 == sizes.len();
            layers.push(if last { layer } else { layer.activation(options.activation) });
        }
        Ok(Self { layers })
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[Linear] {
        &self.layers
    }
}

impl Layer for Mlp {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // A loop, since a closure would hide the caller's line from errors.
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x)?;
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_core::ErrorKind;

    #[test]
    fn the_last_layer_has_no_activation() -> Result<()> {
        let cpu = Device::cpu();
        let model = Mlp::new(&[4, 6, 5], &cpu)?;
        let x =
            Tensor::from_vec((0..12).map(|i| i as f32 - 6.0).collect::<Vec<_>>(), [3, 4], &cpu)?;
        let by_hand = model.layers()[1].forward(&model.layers()[0].forward(&x)?)?;
        assert_eq!(model.forward(&x)?.to_vec::<f32>()?, by_hand.to_vec::<f32>()?);
        assert!(by_hand.to_vec::<f32>()?.iter().any(|&y| y < 0.0));
        assert!(model.layers()[0].forward(&x)?.to_vec::<f32>()?.iter().all(|&y| y >= 0.0));
        Ok(())
    }

    #[test]
    fn bad_sizes() {
        let kind = |sizes: &[usize]| Mlp::new(sizes, &Device::cpu()).err().map(|e| e.kind());
        assert_eq!(kind(&[]), Some(ErrorKind::Argument));
        assert_eq!(kind(&[3]), Some(ErrorKind::Argument));
        assert_eq!(kind(&[3, 0, 2]), Some(ErrorKind::Argument));
    }
}
