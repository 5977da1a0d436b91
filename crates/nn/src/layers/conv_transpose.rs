//! `ConvTranspose2d`: a layer that makes images larger.

use super::{at_least_one, check_groups, first_values, tensor};
use crate::{Init, Layer, Parameter};
use wgrad_core::{Conv2dOptions, Error, Pair, Result, Tensor};

/// A transposed 2-D convolution: `[n, c_in, h, w]` becomes `[n, c_out, oh, ow]` with
/// `oh = (h - 1)·stride - 2·padding + dilation·(kh - 1) + output_padding + 1`. Weight `[c_in, c_out/groups, kh, kw]`
/// and bias `[c_out]` start evenly spread over ±1/√(c_out/groups·kh·kw), PyTorch's default.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{ConvTranspose2d, Init, Layer, Module};
/// let cpu = Device::cpu();
/// let layer = ConvTranspose2d::new(8, 3, 4, &mut Init::new(1))?.stride(2)?.padding(1).on(&cpu)?;
/// assert_eq!(layer.weight.shape(), [8, 3, 4, 4]);
/// assert_eq!(layer.forward(&Tensor::ones([2, 8, 16, 16], &cpu)?)?.shape(), [2, 3, 32, 32]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ConvTranspose2d {
    /// `[c_in, c_out/groups, kh, kw]`
    pub weight: Parameter,
    /// `[c_out]`
    pub bias: Option<Parameter>,
    options: Conv2dOptions,
    output_padding: [usize; 2],
}
crate::module!(ConvTranspose2d { weight, bias });

const OP: &str = "conv_transpose2d";

impl ConvTranspose2d {
    /// A layer with bias, stride 1, no padding, one group; the kernel is a number or `[height, width]`. No size may
    /// be 0.
    #[track_caller]
    pub fn new(
        inputs: usize,
        outputs: usize,
        kernel: impl Into<Pair>,
        init: &mut Init,
    ) -> Result<Self> {
        Self::in_groups(inputs, outputs, kernel, 1, init)
    }

    /// The same in groups, which must divide both numbers of channels.
    #[track_caller]
    pub fn in_groups(
        inputs: usize,
        outputs: usize,
        kernel: impl Into<Pair>,
        groups: usize,
        init: &mut Init,
    ) -> Result<Self> {
        let Pair([height, width]) = kernel.into();
        check_groups(OP, groups, inputs, outputs)?;
        let each = outputs / groups;
        let (weight, fan_in) = ([inputs, each, height, width], [each, height, width]);
        let (weight, bias) = first_values(OP, &weight, outputs, &fan_in, init)?;
        let options = Conv2dOptions::new().groups(groups);
        Ok(Self { weight, bias, options, output_padding: [0; 2] })
    }

    /// The layer without bias.
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.bias = None;
        self
    }

    /// Elements from where one kernel is put to the next, at least 1.
    #[track_caller]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Result<Self> {
        self.options.stride = at_least_one(OP, "stride", stride)?.0;
        Ok(self)
    }

    /// Elements that are cut off on each side of the output.
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
        self.options = self.options.padding(padding);
        self
    }

    /// Elements from one weight of the kernel to the next, at least 1.
    #[track_caller]
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Result<Self> {
        self.options.dilation = at_least_one(OP, "dilation", dilation)?.0;
        Ok(self)
    }

    /// Elements more at the bottom and at the right; fewer than the stride, which is set before.
    #[track_caller]
    pub fn output_padding(mut self, padding: impl Into<Pair>) -> Result<Self> {
        let (Pair(extra), stride) = (padding.into(), self.options.stride);
        if (0..2).any(|axis| extra[axis] >= stride[axis]) {
            return Err(Error::argument(
                OP,
                format!(
                    "output padding {extra:?} must be smaller than the stride {stride:?}; set the stride first"
                ),
            ));
        }
        self.output_padding = extra;
        Ok(self)
    }
}

impl Layer for ConvTranspose2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (self.weight.tensor()?, tensor(&self.bias)?);
        x.conv_transpose2d(weight, bias, &self.options, self.output_padding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Module;
    use wgrad_core::{Device, ErrorKind};

    #[test]
    fn bad_arguments_are_refused_at_once() -> Result<()> {
        let new = || ConvTranspose2d::new(4, 6, 3, &mut Init::new(0));
        let kind = |layer: Result<ConvTranspose2d>| layer.err().map(|e| e.kind());
        let bad = Some(ErrorKind::Argument);
        assert_eq!(kind(new()?.output_padding(1)), bad);
        assert_eq!(kind(new()?.stride(0)), bad);
        assert_eq!(kind(ConvTranspose2d::in_groups(4, 6, 3, 4, &mut Init::new(0))), bad);
        assert_eq!(kind(ConvTranspose2d::new(0, 6, 3, &mut Init::new(0))), bad);
        let layer = new()?.stride(2)?.output_padding([1, 0])?.without_bias().on(&Device::cpu())?;
        let y = layer.forward(&Tensor::ones([1, 4, 5, 5], &Device::cpu())?)?;
        assert_eq!(y.shape(), [1, 6, 12, 11]);
        Ok(())
    }
}
