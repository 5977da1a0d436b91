//! Convolutions over height and width: forward, for the input (which is the transposed convolution) and
//! for the weight. Sequences are images of height 1.

use super::{
    need_float, need_same,
    window::{self, as_image, four},
};
use crate::{
    Error, Grad, Meta, Pair, Precision, Result, Shape, Tensor,
    op::{Family, Saves},
    ops::reduce::Reduce,
};

/// How a convolution's kernel moves over its input. What is not set: stride 1, no padding, no gaps, one group.
///
/// ```
/// use wgrad_core::Conv2dOptions;
/// let options = Conv2dOptions::new().stride(2).padding([0, 1]).groups(4);
/// assert_eq!(options.padding, [0, 1]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dOptions {
    /// Elements from one window to the next, down and across.
    pub stride: [usize; 2],
    /// Zeros around the input, above and below, left and right.
    pub padding: [usize; 2],
    /// Elements from one weight of the kernel to the next: more than 1 leaves gaps.
    pub dilation: [usize; 2],
    /// Parts that the channels are cut into; each part of the output sees one part of the input.
    pub groups: usize,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Conv2dOptions {
    /// Stride 1, no padding, no gaps, one group.
    pub const fn new() -> Self {
        Self { stride: [1; 2], padding: [0; 2], dilation: [1; 2], groups: 1 }
    }

    /// Elements from one window to the next.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into().0;
        self
    }

    /// Zeros around the input.
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
        self.padding = padding.into().0;
        self
    }

    /// Elements from one weight of the kernel to the next.
    #[must_use]
    pub fn dilation(mut self, dilation: impl Into<Pair>) -> Self {
        self.dilation = dilation.into().0;
        self
    }

    /// Parts that the channels are cut into.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// The same along the width, and nothing along the height.
    fn flat(mut self) -> Self {
        (self.stride[0], self.padding[0], self.dilation[0]) = (1, 0, 1);
        self
    }

    #[track_caller]
    fn check(&self, op: &'static str) -> Result<()> {
        window::need_positive(op, "stride", self.stride)?;
        window::need_positive(op, "dilation", self.dilation)?;
        if self.groups == 0 {
            return Err(Error::argument(op, "0 groups; there must be at least 1"));
        }
        Ok(())
    }

    /// How many windows fit over height and width.
    #[track_caller]
    fn windows(
        &self,
        op: &'static str,
        size: [usize; 2],
        kernel: [usize; 2],
    ) -> Result<[usize; 2]> {
        match window::counts(size, kernel, self.stride, self.padding, self.dilation) {
            Some(counts) => Ok(counts),
            None => Err(Error::shape(
                op,
                format!(
                    "a kernel of {kernel:?} with dilation {:?} does not fit into {size:?} with padding {:?}; \
                     use a smaller kernel or more padding",
                    self.dilation, self.padding
                ),
            )),
        }
    }

    /// Checks operands, types and channels of input side and output side against a weight; `[c_out, c_in]`.
    #[track_caller]
    fn channels(&self, op: &'static str, weight: &[usize]) -> Result<[usize; 2]> {
        let [out, inputs] = [weight[0], weight[1].saturating_mul(self.groups)];
        if !out.is_multiple_of(self.groups) {
            return Err(Error::argument(
                op,
                format!(
                    "{} groups do not divide the first size of the weight {weight:?}; choose groups that do",
                    self.groups
                ),
            ));
        }
        Ok([out, inputs])
    }
}

const INPUT: &str = "the input needs rank 4";
const WEIGHT: &str = "the weight needs rank 4";

#[track_caller]
fn check_bias(op: &'static str, x: &Meta, bias: Option<&Meta>, channels: usize) -> Result<()> {
    let Some(bias) = bias else { return Ok(()) };
    need_same(op, x, bias)?;
    if *bias.shape != [channels] {
        return Err(Error::shape(
            op,
            format!(
                "bias {:?} does not fit {channels} output channels; it has one value for each",
                bias.shape
            ),
        ));
    }
    Ok(())
}

#[track_caller]
fn result(op: &'static str, sizes: [usize; 4], like: &Meta) -> Result<Vec<Meta>> {
    Ok(vec![Meta { shape: Shape::new(op, &sizes)?, dtype: like.dtype }])
}

/// x `[n, c_in, h, w]`, weight `[c_out, c_in/groups, kh, kw]`, bias `[c_out]` -> y `[n, c_out, oh, ow]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// How the kernel moves.
    pub options: Conv2dOptions,
    /// Whether there is a bias.
    pub bias: bool,
}

impl Family for Conv {
    fn name(&self) -> &'static str {
        "conv2d"
    }
    fn precision(&self) -> Precision {
        Precision::Half
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let op = self.name();
        let (x, w) = (&ins[0], &ins[1]);
        self.options.check(op)?;
        need_float(op, x)?;
        need_same(op, x, w)?;
        let [n, channels, h, width] = four(op, INPUT, x)?;
        let [.., kh, kw] = four(op, WEIGHT, w)?;
        let [c_out, c_in] = self.options.channels(op, &w.shape)?;
        if channels != c_in {
            return Err(Error::shape(
                op,
                format!(
                    "input {:?} has {channels} channels, weight {:?} in {} groups takes {c_in}",
                    x.shape, w.shape, self.options.groups
                ),
            ));
        }
        check_bias(op, x, ins.get(2), c_out)?;
        let [oh, ow] = self.options.windows(op, [h, width], [kh, kw])?;
        result(op, [n, c_out, oh, ow], x)
    }
    fn saves(&self) -> Saves {
        Saves::inputs(0b11)
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let (options, dy) = (self.options, g.cotangent()?);
        g.each(|i| match i {
            0 => {
                let x = g.input_meta(0).shape;
                let op = ConvInput { options, size: [x[2], x[3]], bias: false };
                g.last(0, op, &[dy, g.input(1)?])
            }
            1 => {
                let w = g.input_meta(1).shape;
                g.last(1, ConvWeight { options, kernel: [w[2], w[3]] }, &[g.input(0)?, dy])
            }
            _ => g.last(2, Reduce::sum(&[0, 2, 3], false), &[dy]),
        })
    }
}

/// The gradient of a convolution for its input, which is also the transposed convolution:
/// dy `[n, c_out, oh, ow]`, weight `[c_out, c_in/groups, kh, kw]`, bias `[c_in]` -> dx `[n, c_in, h, w]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvInput {
    /// How the kernel moves over what is the result here.
    pub options: Conv2dOptions,
    /// Height and width of the result: with a stride several sizes give the same number of windows.
    pub size: [usize; 2],
    /// Whether there is a bias.
    pub bias: bool,
}

impl Family for ConvInput {
    fn name(&self) -> &'static str {
        "conv_transpose2d"
    }
    fn precision(&self) -> Precision {
        Precision::Half
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let op = self.name();
        let (dy, w) = (&ins[0], &ins[1]);
        self.options.check(op)?;
        need_float(op, dy)?;
        need_same(op, dy, w)?;
        let [n, channels, oh, ow] = four(op, INPUT, dy)?;
        let [.., kh, kw] = four(op, WEIGHT, w)?;
        let [c_out, c_in] = self.options.channels(op, &w.shape)?;
        if channels != c_out {
            return Err(Error::shape(
                op,
                format!(
                    "input {:?} has {channels} channels, weight {:?} takes {c_out}",
                    dy.shape, w.shape
                ),
            ));
        }
        check_bias(op, dy, ins.get(2), c_in)?;
        let windows = self.options.windows(op, self.size, [kh, kw])?;
        if windows != [oh, ow] {
            return Err(Error::shape(
                op,
                format!(
                    "a result of {:?} has {windows:?} windows, the input {:?} has other sizes",
                    self.size, dy.shape
                ),
            ));
        }
        result(op, [n, c_in, self.size[0], self.size[1]], dy)
    }
    fn saves(&self) -> Saves {
        Saves::inputs(0b11)
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let (options, dx) = (self.options, g.cotangent()?);
        g.each(|i| match i {
            0 => g.last(0, Conv { options, bias: false }, &[dx, g.input(1)?]),
            1 => {
                let w = g.input_meta(1).shape;
                g.last(1, ConvWeight { options, kernel: [w[2], w[3]] }, &[dx, g.input(0)?])
            }
            _ => g.last(2, Reduce::sum(&[0, 2, 3], false), &[dx]),
        })
    }
}

/// The gradient of a convolution for its weight:
/// x `[n, c_in, h, w]`, dy `[n, c_out, oh, ow]` -> dw `[c_out, c_in/groups, kh, kw]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvWeight {
    /// How the kernel moves.
    pub options: Conv2dOptions,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
}

impl Family for ConvWeight {
    fn name(&self) -> &'static str {
        "conv2d_weight"
    }
    fn precision(&self) -> Precision {
        Precision::Half
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let op = self.name();
        let (x, dy) = (&ins[0], &ins[1]);
        self.options.check(op)?;
        need_float(op, x)?;
        need_same(op, x, dy)?;
        let ([n, c_in, h, w], [also_n, c_out, oh, ow]) =
            (four(op, INPUT, x)?, four(op, "the cotangent needs rank 4", dy)?);
        let groups = self.options.groups;
        let windows = self.options.windows(op, [h, w], self.kernel)?;
        let divided = c_in.is_multiple_of(groups) && c_out.is_multiple_of(groups);
        if n != also_n || windows != [oh, ow] || !divided {
            return Err(Error::shape(
                op,
                format!(
                    "input {:?} and cotangent {:?} do not belong together: {windows:?} windows, {groups} groups",
                    x.shape, dy.shape
                ),
            ));
        }
        result(op, [c_out, c_in / groups, self.kernel[0], self.kernel[1]], x)
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("second derivatives are not offered")
    }
}

/// The same error of an operation that is made of another.
fn renamed(op: &'static str) -> impl Fn(Error) -> Error {
    move |e| Error::new(e.kind(), op, e.message().to_owned()).at(e.location())
}

impl Tensor {
    /// 2-D convolution (cross-correlation, as everywhere in this field): x `[n, c_in, h, w]`, weight
    /// `[c_out, c_in/groups, kh, kw]`, bias `[c_out]` give `[n, c_out, oh, ow]` with
    /// `oh = (h + 2·padding - dilation·(kh - 1) - 1)/stride + 1`, and `ow` likewise. Sizes that do not fit, and
    /// strides, dilations or groups of 0, are errors.
    ///
    /// ```
    /// # use wgrad_core::{Conv2dOptions, Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], [1, 1, 3, 3], &cpu)?;
    /// let edges = Tensor::from_vec([1.0f32, -1.0], [1, 1, 1, 2], &cpu)?;
    /// let y = x.conv2d(&edges, None, &Conv2dOptions::new())?;
    /// assert_eq!(y.shape(), [1, 1, 3, 2]);
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0; 6]);
    /// let padded = x.conv2d(&edges, None, &Conv2dOptions::new().stride(2).padding([0, 1]))?;
    /// assert_eq!(padded.to_vec::<f32>()?, [-1.0, -1.0, -7.0, -1.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn conv2d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        options: &Conv2dOptions,
    ) -> Result<Tensor> {
        let op = Conv { options: *options, bias: bias.is_some() };
        match bias {
            Some(bias) => Tensor::run(op, &[self, weight, bias]),
            None => Tensor::run(op, &[self, weight]),
        }
    }

    /// 1-D convolution: x `[n, c_in, length]`, weight `[c_out, c_in/groups, k]`, bias `[c_out]` give
    /// `[n, c_out, out]`, as [`conv2d`](Tensor::conv2d) along the width: of each pair of options the second counts.
    ///
    /// ```
    /// # use wgrad_core::{Conv2dOptions, Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::from_vec([1.0f32, 4.0, 9.0, 16.0], [1, 1, 4], &cpu)?;
    /// let w = Tensor::from_vec([-1.0f32, 1.0], [1, 1, 2], &cpu)?;
    /// let y = x.conv1d(&w, None, &Conv2dOptions::new())?;
    /// assert_eq!(y.to_vec::<f32>()?, [3.0, 5.0, 7.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn conv1d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        options: &Conv2dOptions,
    ) -> Result<Tensor> {
        options.check("conv1d")?;
        let x = as_image("conv1d", "the input needs rank 3", self)?;
        let w = as_image("conv1d", "the weight needs rank 3", weight)?;
        x.conv2d(&w, bias, &options.flat()).map_err(renamed("conv1d"))?.squeeze(2)
    }

    /// Transposed 2-D convolution, the gradient of [`conv2d`](Tensor::conv2d) for its input: x `[n, c_in, h, w]`,
    /// weight `[c_in, c_out/groups, kh, kw]`, bias `[c_out]` give `[n, c_out, oh, ow]` with
    /// `oh = (h - 1)·stride - 2·padding + dilation·(kh - 1) + output_padding + 1`, and `ow` likewise.
    /// The output padding, smaller than the stride, chooses among the sizes that `conv2d` would map to `h`.
    ///
    /// ```
    /// # use wgrad_core::{Conv2dOptions, Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], [1, 1, 2, 2], &cpu)?;
    /// let w = Tensor::ones([1, 1, 2, 2], &cpu)?;
    /// let y = x.conv_transpose2d(&w, None, &Conv2dOptions::new().stride(2), 0)?;
    /// assert_eq!(y.shape(), [1, 1, 4, 4]);
    /// assert_eq!(y.to_vec::<f32>()?[..4], [1.0, 1.0, 2.0, 2.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn conv_transpose2d(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        options: &Conv2dOptions,
        output_padding: impl Into<Pair>,
    ) -> Result<Tensor> {
        const OP: &str = "conv_transpose2d";
        let Pair(extra) = output_padding.into();
        options.check(OP)?;
        let [.., kh, kw] = four(OP, WEIGHT, &weight.meta())?;
        let [.., h, w] = four(OP, INPUT, &self.meta())?;
        let mut size = [0; 2];
        for (axis, (input, kernel)) in [(h, kh), (w, kw)].into_iter().enumerate() {
            let (stride, padding, dilation) =
                (options.stride[axis], options.padding[axis], options.dilation[axis]);
            if extra[axis] >= stride {
                return Err(Error::argument(
                    OP,
                    format!(
                        "output padding {extra:?} must be smaller than the stride {:?}",
                        options.stride
                    ),
                ));
            }
            let whole = || -> Option<usize> {
                let steps = input.checked_sub(1)?.checked_mul(stride)?;
                let sum = steps.checked_add(window::reach(kernel, dilation)?)?;
                sum.checked_add(extra[axis])?
                    .checked_sub(padding.checked_mul(2)?)
                    .filter(|&n| n > 0)
            };
            size[axis] = whole().ok_or_else(|| {
                Error::shape(
                    OP,
                    format!(
                        "nothing is left of {:?} under a kernel of {:?} with padding {:?}; use less padding",
                        [h, w],
                        [kh, kw],
                        options.padding
                    ),
                )
            })?;
        }
        let op = ConvInput { options: *options, size, bias: bias.is_some() };
        match bias {
            Some(bias) => Tensor::run(op, &[self, weight, bias]),
            None => Tensor::run(op, &[self, weight]),
        }
    }
}
