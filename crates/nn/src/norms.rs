//! Layers that normalise each sample by itself: `LayerNorm`, `RmsNorm`, `GroupNorm`.

use crate::{Init, Layer, Parameter};
use wgrad_core::{Error, Result, Tensor};

/// Added to variances unless a layer is told otherwise, as in PyTorch; to mean squares too, where PyTorch differs.
const EPS: f64 = 1e-5;

/// An error unless ε is a positive number.
#[track_caller]
pub(crate) fn checked_eps(op: &'static str, eps: f64) -> Result<f64> {
    if eps.is_finite() && eps >= f64::from(f32::MIN_POSITIVE) {
        return Ok(eps);
    }
    Err(Error::argument(
        op,
        format!("eps {eps}; it must be finite and greater than 0, such as 1e-5"),
    ))
}

/// An error unless there is something to normalise over.
#[track_caller]
fn checked_shape(op: &'static str, shape: &[usize]) -> Result<()> {
    if !shape.is_empty() && shape.iter().all(|&n| n > 0) {
        return Ok(());
    }
    Err(Error::argument(
        op,
        format!("sizes {shape:?}; there must be at least one, and none may be 0"),
    ))
}

#[track_caller]
fn tensor(parameter: &Option<Parameter>) -> Result<Option<&Tensor>> {
    match parameter {
        Some(parameter) => Ok(Some(parameter.tensor()?)),
        None => Ok(None),
    }
}

/// Layer norm over the last axes, which have the sizes that it was made with: each sample is brought to mean 0 and
/// variance 1, multiplied by `weight` and moved by `bias`, which start as 1 and 0. See
/// [`Tensor::layer_norm`].
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Layer, LayerNorm, Module};
/// let cpu = Device::cpu();
/// let norm = LayerNorm::new(&[4])?.on(&cpu)?;
/// assert_eq!(norm.names(), ["weight", "bias"]);
/// let x = Tensor::from_vec([1.0f32, 1.0, 3.0, 3.0], [1, 4], &cpu)?;
/// let y = norm.forward(&x)?.to_vec::<f32>()?;
/// assert!((y[0] + 1.0).abs() < 1e-4 && (y[3] - 1.0).abs() < 1e-4);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct LayerNorm {
    /// The sizes it was made with.
    pub weight: Option<Parameter>,
    /// Likewise.
    pub bias: Option<Parameter>,
    shape: Vec<usize>,
    eps: f64,
}
crate::module!(LayerNorm { weight, bias });

impl LayerNorm {
    /// A layer over last axes of these sizes, with weight and bias and ε = 1e-5.
    #[track_caller]
    pub fn new(shape: &[usize]) -> Result<Self> {
        let bias = Some(Init::new(0).zeros(shape)?);
        Ok(Self { bias, ..Self::without_bias(shape)? })
    }

    /// A layer with a weight alone.
    #[track_caller]
    pub fn without_bias(shape: &[usize]) -> Result<Self> {
        let weight = Some(Init::new(0).ones(shape)?);
        Ok(Self { weight, ..Self::without_parameters(shape)? })
    }

    /// A layer without weight and bias.
    #[track_caller]
    pub fn without_parameters(shape: &[usize]) -> Result<Self> {
        checked_shape("layer_norm", shape)?;
        Ok(Self { weight: None, bias: None, shape: shape.to_vec(), eps: EPS })
    }

    /// The same layer with another ε.
    #[track_caller]
    pub fn eps(self, eps: f64) -> Result<Self> {
        Ok(Self { eps: checked_eps("layer_norm", eps)?, ..self })
    }
}

impl Layer for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !x.shape().ends_with(&self.shape) {
            return Err(Error::shape(
                "layer_norm",
                format!("input {:?} does not end with the sizes {:?}", x.shape(), self.shape),
            ));
        }
        let (weight, bias) = (tensor(&self.weight)?, tensor(&self.bias)?);
        if weight.is_some() || self.shape.len() == 1 {
            return x.layer_norm(weight, bias, self.eps);
        }
        let (lead, tail) = x.shape().split_at(x.rank() - self.shape.len());
        let flat = [lead, &[tail.iter().product()]].concat();
        x.reshape(flat)?.layer_norm(None, None, self.eps)?.reshape(x.shape())
    }
}

/// RMS norm over the last axis: each row divided by the root of its mean square, and multiplied by `weight`, which
/// starts as 1. See [`Tensor::rms_norm`].
///
/// ε is 1e-5 here. `torch.nn.RMSNorm` without an `eps` takes the machine epsilon of its input's type, 1.2e-7 for f32: for
/// a model trained so, `.eps(f32::EPSILON.into())` gives the same numbers. Models from elsewhere name theirs (1e-5, 1e-6).
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Layer, Module, RmsNorm};
/// let cpu = Device::cpu();
/// let norm = RmsNorm::new(2)?.eps(1e-12)?.on(&cpu)?;
/// let x = Tensor::from_vec([1.0f32, 7.0], [1, 2], &cpu)?;
/// assert_eq!(norm.forward(&x)?.to_vec::<f32>()?, [0.2, 1.4]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct RmsNorm {
    /// `[size]`
    pub weight: Parameter,
    eps: f64,
}
crate::module!(RmsNorm { weight });

impl RmsNorm {
    /// A layer over a last axis of `size`, with ε = 1e-5, which is not PyTorch's default.
    #[track_caller]
    pub fn new(size: usize) -> Result<Self> {
        checked_shape("rms_norm", &[size])?;
        Ok(Self { weight: Init::new(0).ones(&[size])?, eps: EPS })
    }

    /// The same layer with another ε.
    #[track_caller]
    pub fn eps(self, eps: f64) -> Result<Self> {
        Ok(Self { eps: checked_eps("rms_norm", eps)?, ..self })
    }
}

impl Layer for RmsNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.rms_norm(Some(self.weight.tensor()?), self.eps)
    }
}

/// Group norm of x `[n, channels, ..]`: the channels of each sample in groups, each brought to mean 0 and variance 1;
/// then each channel is multiplied by its weight and moved by its bias, which start as 1 and 0 (Wu and He
/// 2018). One group is layer norm over all but the first axis, as many as channels is instance norm.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{GroupNorm, Layer, Module};
/// let cpu = Device::cpu();
/// let norm = GroupNorm::new(2, 4)?.on(&cpu)?;
/// assert_eq!(norm.forward(&Tensor::ones([3, 4, 5, 5], &cpu)?)?.shape(), [3, 4, 5, 5]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct GroupNorm {
    /// `[channels]`
    pub weight: Parameter,
    /// `[channels]`
    pub bias: Parameter,
    groups: usize,
    eps: f64,
}
crate::module!(GroupNorm { weight, bias });

impl GroupNorm {
    /// A layer for `channels`, which `groups` must divide, with ε = 1e-5.
    #[track_caller]
    pub fn new(groups: usize, channels: usize) -> Result<Self> {
        if groups == 0 || channels == 0 || !channels.is_multiple_of(groups) {
            return Err(Error::argument(
                "group_norm",
                format!("{channels} channels do not divide into {groups} groups of at least one"),
            ));
        }
        let mut init = Init::new(0);
        let (weight, bias) = (init.ones(&[channels])?, init.zeros(&[channels])?);
        Ok(Self { weight, bias, groups, eps: EPS })
    }

    /// The same layer with another ε.
    #[track_caller]
    pub fn eps(self, eps: f64) -> Result<Self> {
        Ok(Self { eps: checked_eps("group_norm", eps)?, ..self })
    }
}

impl Layer for GroupNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let channels = self.weight.shape().first().copied().unwrap_or(1);
        let &[n, c, ref rest @ ..] = x.shape() else {
            return Err(Error::rank(
                "group_norm",
                format!("needs rank 2 or more, [n, channels, ..]; got {:?}", x.shape()),
            ));
        };
        if c != channels {
            return Err(Error::shape(
                "group_norm",
                format!("made for {channels} channels, the input is {:?}", x.shape()),
            ));
        }
        let size = channels / self.groups * rest.iter().product::<usize>();
        let normal = x.reshape([n, self.groups, size])?.layer_norm(None, None, self.eps)?;
        let per_channel = [&[channels][..], &vec![1; rest.len()]].concat();
        let weight = self.weight.tensor()?.reshape(&per_channel)?;
        let bias = self.bias.tensor()?.reshape(&per_channel)?;
        normal.reshape(x.shape())?.try_mul(&weight)?.try_add(&bias)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Module;
    use wgrad_core::{Device, ErrorKind};

    #[test]
    fn bad_arguments() -> Result<()> {
        let kind = |e: Error| e.kind();
        assert_eq!(LayerNorm::new(&[]).err().map(kind), Some(ErrorKind::Argument));
        assert_eq!(LayerNorm::new(&[3, 0]).err().map(kind), Some(ErrorKind::Argument));
        assert_eq!(RmsNorm::new(0).err().map(kind), Some(ErrorKind::Argument));
        assert_eq!(GroupNorm::new(3, 4).err().map(kind), Some(ErrorKind::Argument));
        assert_eq!(GroupNorm::new(0, 4).err().map(kind), Some(ErrorKind::Argument));
        for eps in [0.0, -1e-5, f64::NAN, f64::INFINITY] {
            assert_eq!(LayerNorm::new(&[3])?.eps(eps).err().map(kind), Some(ErrorKind::Argument));
            assert_eq!(RmsNorm::new(3)?.eps(eps).err().map(kind), Some(ErrorKind::Argument));
        }
        let cpu = Device::cpu();
        let x = Tensor::zeros([2, 5], &cpu)?;
        let error = |layer: &dyn Layer| layer.forward(&x).err().map(kind);
        assert_eq!(error(&LayerNorm::new(&[4])?.on(&cpu)?), Some(ErrorKind::Shape));
        assert_eq!(error(&RmsNorm::new(4)?.on(&cpu)?), Some(ErrorKind::Shape));
        assert_eq!(error(&GroupNorm::new(2, 4)?.on(&cpu)?), Some(ErrorKind::Shape));
        Ok(())
    }

    #[test]
    fn several_axes_without_parameters_are_one_row() -> Result<()> {
        let cpu = Device::cpu();
        let x =
            Tensor::from_vec((0..12).map(|i| (i * i) as f32).collect::<Vec<_>>(), [2, 2, 3], &cpu)?;
        let got = LayerNorm::without_parameters(&[2, 3])?.forward(&x)?;
        let want = x.reshape([2, 6])?.layer_norm(None, None, 1e-5)?;
        assert_eq!(got.to_vec::<f32>()?, want.to_vec::<f32>()?);
        let with = LayerNorm::new(&[2, 3])?.on(&cpu)?.forward(&x)?;
        assert_eq!(with.to_vec::<f32>()?, want.to_vec::<f32>()?);
        Ok(())
    }

    /// From torch.nn.functional.group_norm in f64.
    #[test]
    fn group_norm_as_published() -> Result<()> {
        let cpu = Device::cpu();
        let norm = GroupNorm::new(2, 4)?.on(&cpu)?;
        norm.weight.tensor()?.detach().assign(&Tensor::from_vec(
            [1.0f32, 2.0, 0.5, -1.0],
            [4],
            &cpu,
        )?)?;
        norm.bias.tensor()?.detach().assign(&Tensor::from_vec(
            [0.0f32, 0.1, 0.2, 0.3],
            [4],
            &cpu,
        )?)?;
        let x: Vec<f32> = (0..16).map(|i| f64::from(i).sin() as f32).collect();
        let y = norm.forward(&Tensor::from_vec(x, [1, 4, 4], &cpu)?)?.to_vec::<f32>()?;
        let want = [
            -0.10436939876658241,
            1.1644567015571392,
            1.2667299367345903,
            0.10842076600081146,
            -2.3910534017759733,
            -3.0005988138457926,
            -0.9513814634135345,
            1.8725576679833826,
            0.7721232547186954,
            0.3677065667143875,
            -0.3021689938526977,
            -0.6216229258866075,
            1.2939015150253061,
            -0.046690833937139076,
            -0.8459967719364205,
            -0.3691381057641911,
        ];
        for (got, want) in y.iter().zip(want) {
            assert!((f64::from(*got) - want).abs() <= 1e-5, "{got} {want}");
        }
        Ok(())
    }
}
