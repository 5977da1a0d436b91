//! `Conv2d` and `Conv1d`: convolution layers.

use super::{at_least_one, check_groups, cut, first_values, in_channels, tensor};
use crate::{Init, Layer, Parameter};
use wgrad_core::{Conv2dOptions, Pair, Result, Tensor};

/// A 2-D convolution: `[n, c_in, h, w]` becomes `[n, c_out, oh, ow]` with
/// `oh = (h + 2·padding - dilation·(kh - 1) - 1)/stride + 1`. Weight `[c_out, c_in/groups, kh, kw]` and bias
/// `[c_out]` start evenly spread over ±1/√(c_in/groups·kh·kw), PyTorch's default.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Conv2d, Init, Layer, Module};
/// let cpu = Device::cpu();
/// let mut init = Init::new(1);
/// let layer = Conv2d::new(3, 8, 3, &mut init)?.stride(2)?.padding(1).on(&cpu)?;
/// assert_eq!(layer.weight.shape(), [8, 3, 3, 3]);
/// let y = layer.forward(&Tensor::ones([2, 3, 32, 32], &cpu)?)?;
/// assert_eq!(y.shape(), [2, 8, 16, 16]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Conv2d {
    /// `[c_out, c_in/groups, kh, kw]`
    pub weight: Parameter,
    /// `[c_out]`
    pub bias: Option<Parameter>,
    options: Conv2dOptions,
}
crate::module!(Conv2d { weight, bias });

/// A 1-D convolution: `[n, c_in, length]` becomes `[n, c_out, out]` with
/// `out = (length + 2·padding - dilation·(k - 1) - 1)/stride + 1`. Weight `[c_out, c_in/groups, k]` and bias
/// `[c_out]` start evenly spread over ±1/√(c_in/groups·k), PyTorch's default.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Conv1d, Init, Layer, Module};
/// let cpu = Device::cpu();
/// let layer = Conv1d::new(4, 6, 5, &mut Init::new(1))?.padding(2).groups(2)?.on(&cpu)?;
/// assert_eq!(layer.weight.shape(), [6, 2, 5]);
/// assert_eq!(layer.forward(&Tensor::ones([3, 4, 10], &cpu)?)?.shape(), [3, 6, 10]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Conv1d {
    /// `[c_out, c_in/groups, k]`
    pub weight: Parameter,
    /// `[c_out]`
    pub bias: Option<Parameter>,
    options: Conv2dOptions,
}
crate::module!(Conv1d { weight, bias });

macro_rules! settings {
    ($name:ident, $op:literal, $setting:ty) => {
        impl $name {
            /// The layer without bias.
            #[must_use]
            pub fn without_bias(mut self) -> Self {
                self.bias = None;
                self
            }

            /// Elements from one window to the next, at least 1.
            #[track_caller]
            pub fn stride(mut self, stride: $setting) -> Result<Self> {
                self.options.stride = at_least_one($op, "stride", stride)?.0;
                Ok(self)
            }

            /// Zeros on each side of the input.
            #[must_use]
            pub fn padding(mut self, padding: $setting) -> Self {
                self.options = self.options.padding(padding);
                self
            }

            /// Elements from one weight of the kernel to the next, at least 1.
            #[track_caller]
            pub fn dilation(mut self, dilation: $setting) -> Result<Self> {
                self.options.dilation = at_least_one($op, "dilation", dilation)?.0;
                Ok(self)
            }

            /// Cuts the channels into groups, which must divide both sides; `c_in` groups make it depthwise. The
            /// first values are adapted, so call this before the layer is put on a device.
            #[track_caller]
            pub fn groups(mut self, groups: usize) -> Result<Self> {
                let (inputs, outputs) = (in_channels(&self.weight, &self.options), self.outputs());
                check_groups($op, groups, inputs, outputs)?;
                let mut shape = self.weight.shape().to_vec();
                // Fewer weights meet an output, so each may be larger.
                let stretch = (groups as f64 / self.options.groups as f64).sqrt();
                if let Some(channels) = shape.get_mut(1) {
                    *channels = inputs / groups;
                }
                check_fewer($op, groups, self.options.groups)?;
                self.weight = cut($op, &self.weight, &shape, stretch)?;
                if let Some(bias) = &self.bias {
                    self.bias = Some(cut($op, bias, &[outputs], stretch)?);
                }
                self.options.groups = groups;
                Ok(self)
            }

            /// How the kernel moves.
            pub fn options(&self) -> &Conv2dOptions {
                &self.options
            }

            /// Channels of the output.
            pub fn outputs(&self) -> usize {
                self.weight.shape().first().copied().unwrap_or_default()
            }
        }
    };
}
settings!(Conv2d, "conv2d", impl Into<Pair>);
settings!(Conv1d, "conv1d", usize);

/// An error if groups were set before: then weights would be missing.
#[track_caller]
fn check_fewer(op: &'static str, groups: usize, before: usize) -> Result<()> {
    if before == 1 || groups == before {
        return Ok(());
    }
    Err(wgrad_core::Error::argument(
        op,
        format!("the layer has {before} groups already; make a new one for {groups}"),
    ))
}

impl Conv2d {
    /// A layer with bias, stride 1, no padding, one group; the kernel is a number or `[height, width]`. No size may
    /// be 0.
    #[track_caller]
    pub fn new(
        inputs: usize,
        outputs: usize,
        kernel: impl Into<Pair>,
        init: &mut Init,
    ) -> Result<Self> {
        let Pair([height, width]) = kernel.into();
        let (weight, fan_in) = ([outputs, inputs, height, width], [inputs, height, width]);
        let (weight, bias) = first_values("conv2d", &weight, outputs, &fan_in, init)?;
        Ok(Self { weight, bias, options: Conv2dOptions::new() })
    }
}

impl Conv1d {
    /// A layer with bias, stride 1, no padding, one group. No size may be 0.
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, kernel: usize, init: &mut Init) -> Result<Self> {
        let (weight, fan_in) = ([outputs, inputs, kernel], [inputs, kernel]);
        let (weight, bias) = first_values("conv1d", &weight, outputs, &fan_in, init)?;
        Ok(Self { weight, bias, options: Conv2dOptions::new() })
    }
}

impl Layer for Conv2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.conv2d(self.weight.tensor()?, tensor(&self.bias)?, &self.options)
    }
}

impl Layer for Conv1d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.conv1d(self.weight.tensor()?, tensor(&self.bias)?, &self.options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Module;
    use wgrad_core::{Device, ErrorKind};

    #[test]
    fn first_values_lie_within_the_bound_also_in_groups() -> Result<()> {
        let cpu = Device::cpu();
        for (groups, bound) in [(1, 1.0 / 12f32.sqrt() / 3.0), (4, 1.0 / 3f32.sqrt() / 3.0)] {
            let layer = Conv2d::new(12, 64, 3, &mut Init::new(5))?.groups(groups)?.on(&cpu)?;
            assert_eq!(layer.weight.shape(), [64, 12 / groups, 3, 3]);
            for values in [
                layer.weight.tensor()?.to_vec::<f32>()?,
                tensor(&layer.bias)?.map_or(Ok(Vec::new()), |b| b.to_vec::<f32>())?,
            ] {
                let most = values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
                assert!(most <= bound * 1.0001 && most > bound * 0.9, "{most} {bound}");
            }
        }
        Ok(())
    }

    #[test]
    fn bad_arguments_are_refused_at_once() -> Result<()> {
        let mut init = Init::new(0);
        let kind = |layer: Result<Conv2d>| layer.err().map(|e| e.kind());
        let bad = Some(ErrorKind::Argument);
        assert_eq!(kind(Conv2d::new(0, 3, 3, &mut init)), bad);
        assert_eq!(kind(Conv2d::new(3, 0, 3, &mut init)), bad);
        assert_eq!(kind(Conv2d::new(3, 3, [3, 0], &mut init)), bad);
        assert_eq!(kind(Conv2d::new(4, 6, 3, &mut init)?.stride([1, 0])), bad);
        assert_eq!(kind(Conv2d::new(4, 6, 3, &mut init)?.dilation(0)), bad);
        assert_eq!(kind(Conv2d::new(4, 6, 3, &mut init)?.groups(0)), bad);
        assert_eq!(kind(Conv2d::new(4, 6, 3, &mut init)?.groups(4)), bad);
        assert_eq!(kind(Conv2d::new(4, 6, 3, &mut init)?.groups(2)?.groups(1)), bad);
        assert_eq!(kind(Conv2d::new(4, 6, 3, &mut init)?.on(&Device::cpu())?.groups(2)), bad);
        Ok(())
    }

    #[test]
    fn names_are_those_of_pytorch() -> Result<()> {
        let layer = Conv2d::new(1, 2, 3, &mut Init::new(0))?.on(&Device::cpu())?;
        assert_eq!(layer.names(), ["weight", "bias"]);
        let layer = Conv1d::new(1, 2, 3, &mut Init::new(0))?.without_bias().on(&Device::cpu())?;
        assert_eq!(layer.names(), ["weight"]);
        Ok(())
    }
}
