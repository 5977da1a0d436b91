//! Pooling over height and width: maxima and averages of windows.

use super::{need_float, window};
use crate::{
    DType, Error, Grad, Meta, Pair, Result, Shape, Tensor,
    op::{Family, Saves},
};

/// Windows of a pooling operation. What is not set: windows side by side, no padding, and averages that
/// count padding as zeros.
///
/// ```
/// use wgrad_core::Pool2dOptions;
/// let options = Pool2dOptions::new(3).stride(2).padding(1);
/// assert_eq!((options.kernel, options.stride), ([3, 3], [2, 2]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool2dOptions {
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// Elements from one window to the next.
    pub stride: [usize; 2],
    /// Empty elements around the input; fewer than the window has.
    pub padding: [usize; 2],
    /// Whether an average divides by the whole window, else by the elements of the input in it.
    pub count_include_pad: bool,
}

impl Pool2dOptions {
    /// Windows of this size, side by side.
    pub fn new(kernel: impl Into<Pair>) -> Self {
        let Pair(kernel) = kernel.into();
        Self { kernel, stride: kernel, padding: [0; 2], count_include_pad: true }
    }

    /// Elements from one window to the next.
    #[must_use]
    pub fn stride(mut self, stride: impl Into<Pair>) -> Self {
        self.stride = stride.into().0;
        self
    }

    /// Empty elements around the input.
    #[must_use]
    pub fn padding(mut self, padding: impl Into<Pair>) -> Self {
        self.padding = padding.into().0;
        self
    }

    /// Whether an average divides by the whole window, padding included.
    #[must_use]
    pub fn count_include_pad(mut self, counted: bool) -> Self {
        self.count_include_pad = counted;
        self
    }

    /// The same along the width, and nothing along the height.
    fn flat(mut self) -> Self {
        (self.kernel[0], self.stride[0], self.padding[0]) = (1, 1, 0);
        self
    }

    #[track_caller]
    fn check(&self, op: &'static str) -> Result<()> {
        window::need_positive(op, "kernel", self.kernel)?;
        window::need_positive(op, "stride", self.stride)?;
        if (0..2).any(|axis| self.padding[axis] >= self.kernel[axis]) {
            return Err(Error::argument(
                op,
                format!(
                    "padding {:?} must be smaller than the kernel {:?}: a window would hold no element",
                    self.padding, self.kernel
                ),
            ));
        }
        Ok(())
    }

    #[track_caller]
    fn windows(&self, op: &'static str, size: [usize; 2]) -> Result<[usize; 2]> {
        self.check(op)?;
        match window::counts(size, self.kernel, self.stride, self.padding, [1; 2]) {
            Some(counts) => Ok(counts),
            None => Err(Error::shape(
                op,
                format!(
                    "a window of {:?} does not fit into {size:?} with padding {:?}; use a smaller one",
                    self.kernel, self.padding
                ),
            )),
        }
    }
}

#[track_caller]
fn planes(op: &'static str, x: &Meta) -> Result<[usize; 4]> {
    need_float(op, x)?;
    window::four(op, "needs [n, channels, height, width]", x)
}

/// x with height and width replaced.
#[track_caller]
fn resized(op: &'static str, x: &Meta, [h, w]: [usize; 2]) -> Result<Meta> {
    let [n, c, ..] = planes(op, x)?;
    Ok(Meta { shape: Shape::new(op, &[n, c, h, w])?, dtype: x.dtype })
}

/// The largest element of each window; padding never is. Of equals the first, NaN before all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// The windows.
    pub options: Pool2dOptions,
    /// Whether a second output (u32) says where in its plane, `row·width + column`, each maximum is.
    pub index: bool,
}

impl Family for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let op = self.name();
        let [.., h, w] = planes(op, &ins[0])?;
        let y = resized(op, &ins[0], self.options.windows(op, [h, w])?)?;
        if !self.index {
            return Ok(vec![y]);
        }
        if u32::try_from(h * w).is_err() {
            return Err(Error::size(
                op,
                format!("a plane of {h} x {w} has more places than u32 counts"),
            ));
        }
        Ok(vec![y, Meta { dtype: DType::U32, ..y }])
    }
    fn saves(&self) -> Saves {
        Saves::outputs(0b10)
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let x = g.input_meta(0).shape;
        let op = MaxPoolBackward { options: self.options, size: [x[2], x[3]] };
        g.each(|_| g.last(0, op, &[g.cotangent()?, g.output(1)?]))
    }
}

/// From the cotangent and the places of the maxima: each element sums what the windows that chose it bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPoolBackward {
    /// The windows.
    pub options: Pool2dOptions,
    /// Height and width of the input.
    pub size: [usize; 2],
}

impl Family for MaxPoolBackward {
    fn name(&self) -> &'static str {
        "max_pool2d_backward"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let op = self.name();
        let [.., h, w] = planes(op, &ins[0])?;
        if self.options.windows(op, self.size)? != [h, w] || ins[0].shape != ins[1].shape {
            return Err(Error::shape(
                op,
                format!("cotangent {:?} and places {:?} do not fit", ins[0].shape, ins[1].shape),
            ));
        }
        Ok(vec![resized(op, &ins[0], self.size)?])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("second derivatives are not offered")
    }
}

/// Which windows are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Averages {
    /// Windows of one size.
    Sliding(Pool2dOptions),
    /// So many windows, as even as they go: number i of n covers `floor(i·size/n) .. ceil((i + 1)·size/n)`.
    Adaptive([usize; 2]),
}

impl Averages {
    fn name(&self) -> &'static str {
        match self {
            Averages::Sliding(_) => "avg_pool2d",
            Averages::Adaptive(_) => "adaptive_avg_pool2d",
        }
    }

    #[track_caller]
    fn windows(&self, op: &'static str, size: [usize; 2]) -> Result<[usize; 2]> {
        match *self {
            Averages::Sliding(options) => options.windows(op, size),
            Averages::Adaptive(out) if out.contains(&0) => {
                Err(Error::argument(op, format!("an output of {out:?}; it must be at least 1 x 1")))
            }
            Averages::Adaptive(out) if size.contains(&0) => Err(Error::shape(
                op,
                format!("an input of {size:?} has nothing to average for {out:?}"),
            )),
            Averages::Adaptive(out) => {
                let fits = |axis: usize| {
                    let product =
                        (out[axis].checked_add(1)?).checked_mul(size[axis].checked_add(1)?);
                    u32::try_from(product?).ok()
                };
                if fits(0).is_none() || fits(1).is_none() {
                    return Err(Error::size(
                        op,
                        format!("{size:?} to {out:?} is beyond what u32 counts"),
                    ));
                }
                Ok(out)
            }
        }
    }
}

/// The mean of each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool(pub Averages);

impl Family for AvgPool {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let op = self.name();
        let [.., h, w] = planes(op, &ins[0])?;
        Ok(vec![resized(op, &ins[0], self.0.windows(op, [h, w])?)?])
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let x = g.input_meta(0).shape;
        let op = AvgPoolBackward { averages: self.0, size: [x[2], x[3]] };
        g.each(|_| g.last(0, op, &[g.cotangent()?]))
    }
}

/// Each element sums its share of the cotangents of all windows that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPoolBackward {
    /// Which windows were averaged.
    pub averages: Averages,
    /// Height and width of the input.
    pub size: [usize; 2],
}

impl Family for AvgPoolBackward {
    fn name(&self) -> &'static str {
        match self.averages {
            Averages::Sliding(_) => "avg_pool2d_backward",
            Averages::Adaptive(_) => "adaptive_avg_pool2d_backward",
        }
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let op = self.name();
        let [.., h, w] = planes(op, &ins[0])?;
        let windows = self.averages.windows(op, self.size)?;
        if windows != [h, w] {
            return Err(Error::shape(
                op,
                format!("cotangent {:?} does not fit {windows:?} windows", ins[0].shape),
            ));
        }
        Ok(vec![resized(op, &ins[0], self.size)?])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("second derivatives are not offered")
    }
}

const SEQUENCE: &str = "needs [n, channels, length]";

impl Tensor {
    /// The largest element of each window: `[n, c, h, w]` becomes `[n, c, oh, ow]` with
    /// `oh = (h + 2·padding - kernel)/stride + 1`. Padding is never the largest, NaN always is; the gradient goes
    /// to the first of equals. A kernel or stride of 0 and a padding not smaller than the kernel are errors.
    ///
    /// ```
    /// # use wgrad_core::{Device, Pool2dOptions, Tensor};
    /// let x = Tensor::from_vec([1.0f32, 5.0, 2.0, 0.0, 3.0, 4.0], [1, 1, 2, 3], &Device::cpu())?;
    /// let y = x.max_pool2d(&Pool2dOptions::new(2).stride(1))?;
    /// assert_eq!(y.to_vec::<f32>()?, [5.0, 5.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn max_pool2d(&self, options: &Pool2dOptions) -> Result<Tensor> {
        let index = crate::graph::grad_enabled() && self.requires_grad();
        let outs = Tensor::run_all(MaxPool { options: *options, index }, &[self])?;
        outs.into_iter()
            .next()
            .ok_or_else(|| Error::internal("max_pool2d", "an operation without output"))
    }

    /// The mean of each window: `[n, c, h, w]` becomes `[n, c, oh, ow]` with
    /// `oh = (h + 2·padding - kernel)/stride + 1`. Padding counts as zeros, unless
    /// [`count_include_pad`](Pool2dOptions::count_include_pad) is off. Errors as for
    /// [`max_pool2d`](Tensor::max_pool2d).
    ///
    /// ```
    /// # use wgrad_core::{Device, Pool2dOptions, Tensor};
    /// let x = Tensor::from_vec([1.0f32, 3.0, 5.0, 7.0], [1, 1, 2, 2], &Device::cpu())?;
    /// assert_eq!(x.avg_pool2d(&Pool2dOptions::new(2))?.to_vec::<f32>()?, [4.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn avg_pool2d(&self, options: &Pool2dOptions) -> Result<Tensor> {
        Tensor::run(AvgPool(Averages::Sliding(*options)), &[self])
    }

    /// Means over as many windows as asked for, which cover the input evenly: `[n, c, h, w]` becomes
    /// `[n, c, oh, ow]` for an output `[oh, ow]`, at least 1 x 1.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([1.0f32, 3.0, 5.0, 7.0, 9.0, 11.0], [1, 1, 2, 3], &Device::cpu())?;
    /// assert_eq!(x.adaptive_avg_pool2d(1)?.to_vec::<f32>()?, [6.0]);
    /// assert_eq!(x.adaptive_avg_pool2d([1, 2])?.to_vec::<f32>()?, [5.0, 7.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn adaptive_avg_pool2d(&self, output: impl Into<Pair>) -> Result<Tensor> {
        Tensor::run(AvgPool(Averages::Adaptive(output.into().0)), &[self])
    }

    /// [`max_pool2d`](Tensor::max_pool2d) of `[n, c, length]` along the length: of each pair of options the second
    /// counts.
    ///
    /// ```
    /// # use wgrad_core::{Device, Pool2dOptions, Tensor};
    /// let x = Tensor::from_vec([1.0f32, 5.0, 2.0, 0.0], [1, 1, 4], &Device::cpu())?;
    /// assert_eq!(x.max_pool1d(&Pool2dOptions::new(2))?.to_vec::<f32>()?, [5.0, 2.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn max_pool1d(&self, options: &Pool2dOptions) -> Result<Tensor> {
        options.check("max_pool1d")?;
        window::as_image("max_pool1d", SEQUENCE, self)?.max_pool2d(&options.flat())?.squeeze(2)
    }

    /// [`avg_pool2d`](Tensor::avg_pool2d) of `[n, c, length]` along the length: of each pair of options the second
    /// counts.
    ///
    /// ```
    /// # use wgrad_core::{Device, Pool2dOptions, Tensor};
    /// let x = Tensor::from_vec([1.0f32, 5.0, 2.0, 0.0], [1, 1, 4], &Device::cpu())?;
    /// assert_eq!(x.avg_pool1d(&Pool2dOptions::new(2))?.to_vec::<f32>()?, [3.0, 1.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn avg_pool1d(&self, options: &Pool2dOptions) -> Result<Tensor> {
        options.check("avg_pool1d")?;
        window::as_image("avg_pool1d", SEQUENCE, self)?.avg_pool2d(&options.flat())?.squeeze(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, no_grad};

    #[test]
    fn places_are_kept_only_for_a_gradient() -> Result<()> {
        let x = Tensor::ones([1, 1, 4, 4], &Device::cpu())?.requiring_grad();
        assert!(x.max_pool2d(&Pool2dOptions::new(2))?.requires_grad());
        assert!(!no_grad(|| x.max_pool2d(&Pool2dOptions::new(2)))?.requires_grad());
        let metas =
            MaxPool { options: Pool2dOptions::new(2), index: false }.outputs(&[x.meta()])?;
        assert_eq!(metas.len(), 1);
        Ok(())
    }
}
