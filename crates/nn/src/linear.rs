//! `Linear`: a dense layer.

use crate::{Activation, Init, Layer, Parameter};
use wgrad_core::{Error, Result, Tensor};

/// A dense layer `y = σ(x Wᵀ + b)`: x `[.., inputs]` becomes `[.., outputs]`, in one operation where
/// the activation allows it. Weight `[outputs, inputs]` and bias `[outputs]` start evenly spread over
/// ±1/√inputs, PyTorch's default.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Activation, Init, Layer, Linear, Module};
/// let cpu = Device::cpu();
/// let layer = Linear::new(3, 5, &mut Init::new(1))?.activation(Activation::Relu).on(&cpu)?;
/// let y = layer.forward(&Tensor::ones([2, 3], &cpu)?)?;
/// assert_eq!(y.shape(), [2, 5]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Linear {
    /// `[outputs, inputs]`
    pub weight: Parameter,
    /// `[outputs]`
    pub bias: Option<Parameter>,
    activation: Option<Activation>,
}
crate::module!(Linear { weight, bias });

impl Linear {
    /// A layer with bias and without activation. Neither size may be 0.
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, init: &mut Init) -> Result<Self> {
        let weight = Self::weight(inputs, outputs, init)?;
        let bias = Some(init.uniform(&[outputs], bound(inputs))?);
        Ok(Self { weight, bias, activation: None })
    }

    /// A layer without bias.
    #[track_caller]
    pub fn without_bias(inputs: usize, outputs: usize, init: &mut Init) -> Result<Self> {
        Ok(Self { weight: Self::weight(inputs, outputs, init)?, bias: None, activation: None })
    }

    #[track_caller]
    fn weight(inputs: usize, outputs: usize, init: &mut Init) -> Result<Parameter> {
        if inputs == 0 || outputs == 0 {
            return Err(Error::argument(
                "linear",
                format!(
                    "{inputs} inputs and {outputs} outputs; a layer needs at least one of each"
                ),
            ));
        }
        init.uniform(&[outputs, inputs], bound(inputs))
    }

    /// The same layer followed by an activation.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = Some(activation);
        self
    }

    /// Size of the last axis of the input.
    pub fn inputs(&self) -> usize {
        self.weight.shape().get(1).copied().unwrap_or_default()
    }

    /// Size of the last axis of the output.
    pub fn outputs(&self) -> usize {
        self.weight.shape().first().copied().unwrap_or_default()
    }
}

fn bound(inputs: usize) -> f32 {
    1.0 / (inputs as f32).sqrt()
}

impl Layer for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = match &self.bias {
            Some(bias) => Some(bias.tensor()?),
            None => None,
        };
        let fused = self.activation.and_then(Activation::fused);
        let y = x.linear(self.weight.tensor()?, bias, fused)?;
        match self.activation {
            Some(activation) if fused.is_none() => activation.apply(&y),
            _ => Ok(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Module;
    use wgrad_core::{Device, ErrorKind};

    #[test]
    fn first_values_lie_within_the_bound_and_repeat() -> Result<()> {
        let values = |seed| -> Result<Vec<f32>> {
            let layer = Linear::new(16, 32, &mut Init::new(seed))?.on(&Device::cpu())?;
            layer.weight.tensor()?.to_vec()
        };
        let a = values(3)?;
        assert_eq!(a, values(3)?);
        assert_ne!(a, values(4)?);
        assert!(a.iter().all(|x| x.abs() <= 0.25));
        assert!(a.iter().any(|&x| x > 0.2) && a.iter().any(|&x| x < -0.2));
        let mean = a.iter().sum::<f32>() / 512.0;
        assert!(mean.abs() < 0.03, "{mean}"); // σ of the mean: 0.25/√3/√512 = 0.0064
        Ok(())
    }

    #[test]
    fn fused_and_separate_activation_agree() -> Result<()> {
        let cpu = Device::cpu();
        let x = Tensor::from_vec([-1.0f32, 0.5, 2.0, 0.25, -3.0, 1.0], [2, 3], &cpu)?;
        for activation in Activation::ALL {
            let plain = Linear::new(3, 4, &mut Init::new(5))?.on(&cpu)?.forward(&x)?;
            let layer = Linear::new(3, 4, &mut Init::new(5))?.activation(activation).on(&cpu)?;
            let got = layer.forward(&x)?.to_vec::<f32>()?;
            for (a, b) in got.iter().zip(activation.apply(&plain)?.to_vec::<f32>()?) {
                let near = (a - b).abs() <= 1e-6;
                assert!(near, "{activation:?}: {a} {b}");
            }
        }
        Ok(())
    }

    #[test]
    fn bad_sizes() {
        let kind = |a, b| Linear::new(a, b, &mut Init::new(0)).err().map(|e| e.kind());
        assert_eq!(kind(0, 3), Some(ErrorKind::Argument));
        assert_eq!(kind(3, 0), Some(ErrorKind::Argument));
        assert_eq!(kind(usize::MAX, 2), Some(ErrorKind::Size));
        assert_eq!(kind(1 << 29, 1 << 29), Some(ErrorKind::Memory));
    }
}
