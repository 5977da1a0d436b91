//! Pooling layers: maxima and means of windows. They have no parameters.

use super::at_least_one;
use crate::{Layer, Module, Visitor};
use wgrad_core::{Error, Pair, Pool2dOptions, Result, Tensor};

macro_rules! pools {
    ($($(#[$doc:meta])* $name:ident $op:literal $method:ident($setting:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name(Pool2dOptions);

        impl $name {
            /// Windows of this size, at least 1, side by side.
            #[track_caller]
            pub fn new(kernel: $setting) -> Result<Self> {
                Ok(Self(Pool2dOptions::new(at_least_one($op, "kernel", kernel)?)))
            }

            /// Elements from one window to the next, at least 1.
            #[track_caller]
            pub fn stride(self, stride: $setting) -> Result<Self> {
                Ok(Self(self.0.stride(at_least_one($op, "stride", stride)?)))
            }

            /// Empty elements on each side, fewer than the window has.
            #[track_caller]
            pub fn padding(self, padding: $setting) -> Result<Self> {
                let (Pair(padding), kernel) = (padding.into(), self.0.kernel);
                if (0..2).any(|axis| padding[axis] >= kernel[axis]) {
                    return Err(Error::argument(
                        $op,
                        format!("padding {padding:?} must be smaller than the kernel {kernel:?}"),
                    ));
                }
                Ok(Self(self.0.padding(padding)))
            }
        }

        impl Module for $name {
            fn visit(&self, _: &mut Visitor) {}
        }

        impl Layer for $name {
            fn forward(&self, x: &Tensor) -> Result<Tensor> {
                x.$method(&self.0)
            }
        }
    )*};
}
pools! {
    /// The largest element of each window: `[n, c, h, w]` becomes `[n, c, oh, ow]` with
    /// `oh = (h + 2·padding - kernel)/stride + 1`.
    ///
    /// ```
    /// use wgrad_core::{Device, Tensor};
    /// use wgrad_nn::{Layer, MaxPool2d};
    /// let x = Tensor::ones([2, 3, 8, 8], &Device::cpu())?;
    /// assert_eq!(MaxPool2d::new(2)?.forward(&x)?.shape(), [2, 3, 4, 4]);
    /// assert_eq!(MaxPool2d::new(3)?.stride(2)?.padding(1)?.forward(&x)?.shape(), [2, 3, 4, 4]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    MaxPool2d "max_pool2d" max_pool2d(impl Into<Pair>);

    /// The mean of each window: `[n, c, h, w]` becomes `[n, c, oh, ow]` with
    /// `oh = (h + 2·padding - kernel)/stride + 1`. Padding counts as zeros unless it is told not to.
    ///
    /// ```
    /// use wgrad_core::{Device, Tensor};
    /// use wgrad_nn::{AvgPool2d, Layer};
    /// let x = Tensor::ones([1, 1, 2, 2], &Device::cpu())?;
    /// let pool = AvgPool2d::new(2)?.padding(1)?;
    /// assert_eq!(pool.forward(&x)?.to_vec::<f32>()?, [0.25; 4]);
    /// assert_eq!(pool.count_include_pad(false).forward(&x)?.to_vec::<f32>()?, [1.0; 4]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    AvgPool2d "avg_pool2d" avg_pool2d(impl Into<Pair>);

    /// The largest element of each window: `[n, c, length]` becomes `[n, c, out]` with
    /// `out = (length + 2·padding - kernel)/stride + 1`.
    ///
    /// ```
    /// use wgrad_core::{Device, Tensor};
    /// use wgrad_nn::{Layer, MaxPool1d};
    /// let x = Tensor::ones([2, 3, 8], &Device::cpu())?;
    /// assert_eq!(MaxPool1d::new(2)?.forward(&x)?.shape(), [2, 3, 4]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    MaxPool1d "max_pool1d" max_pool1d(usize);

    /// The mean of each window: `[n, c, length]` becomes `[n, c, out]` with
    /// `out = (length + 2·padding - kernel)/stride + 1`. Padding counts as zeros unless it is told not to.
    ///
    /// ```
    /// use wgrad_core::{Device, Tensor};
    /// use wgrad_nn::{AvgPool1d, Layer};
    /// let x = Tensor::ones([2, 3, 8], &Device::cpu())?;
    /// assert_eq!(AvgPool1d::new(2)?.forward(&x)?.shape(), [2, 3, 4]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    AvgPool1d "avg_pool1d" avg_pool1d(usize);
}

impl AvgPool2d {
    /// Whether a mean divides by the whole window, padding included.
    #[must_use]
    pub fn count_include_pad(self, counted: bool) -> Self {
        Self(self.0.count_include_pad(counted))
    }
}

impl AvgPool1d {
    /// Whether a mean divides by the whole window, padding included.
    #[must_use]
    pub fn count_include_pad(self, counted: bool) -> Self {
        Self(self.0.count_include_pad(counted))
    }
}

/// Means over as many windows as asked for, which cover the input evenly: `[n, c, h, w]` becomes
/// `[n, c, oh, ow]` whatever h and w are.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{AdaptiveAvgPool2d, Layer};
/// let x = Tensor::ones([2, 3, 7, 9], &Device::cpu())?;
/// assert_eq!(AdaptiveAvgPool2d::new(1)?.forward(&x)?.shape(), [2, 3, 1, 1]);
/// assert_eq!(AdaptiveAvgPool2d::new([3, 4])?.forward(&x)?.shape(), [2, 3, 3, 4]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool2d([usize; 2]);

impl AdaptiveAvgPool2d {
    /// An output of this height and width, at least 1.
    #[track_caller]
    pub fn new(output: impl Into<Pair>) -> Result<Self> {
        Ok(Self(at_least_one("adaptive_avg_pool2d", "output", output)?.0))
    }
}

impl Module for AdaptiveAvgPool2d {
    fn visit(&self, _: &mut Visitor) {}
}

impl Layer for AdaptiveAvgPool2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.adaptive_avg_pool2d(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_core::ErrorKind;

    #[test]
    fn bad_windows_are_refused_at_once() -> Result<()> {
        let kind = |layer: Result<MaxPool2d>| layer.err().map(|e| e.kind());
        let bad = Some(ErrorKind::Argument);
        assert_eq!(kind(MaxPool2d::new([2, 0])), bad);
        assert_eq!(kind(MaxPool2d::new(2)?.stride(0)), bad);
        assert_eq!(kind(MaxPool2d::new([3, 2])?.padding(2)), bad);
        assert_eq!(AdaptiveAvgPool2d::new([0, 2]).err().map(|e| e.kind()), bad);
        Ok(())
    }
}
