//! Variance and standard deviation, composed of other operations.

use crate::{Error, Result, Tensor};

impl Tensor {
    /// Variance over `axes`, which stay in the shape with size 1: squared distances from the mean,
    /// summed and divided by `count - ddof`. Two passes, never `E[x²] − E[x]²`.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([1.0f32, 2.0, 3.0, 6.0], [1, 4], &Device::cpu())?;
    /// assert_eq!(x.var_keep([1], 0)?.to_vec::<f32>()?, [3.5]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn var_keep(&self, axes: impl AsRef<[isize]>, ddof: usize) -> Result<Tensor> {
        let axes = axes.as_ref();
        let set = self.axes("var", axes)?;
        let count: usize = self
            .shape()
            .iter()
            .enumerate()
            .filter(|(i, _)| set >> i & 1 == 1)
            .map(|(_, n)| n)
            .product();
        if ddof >= count {
            return Err(Error::argument(
                "var",
                format!("ddof {ddof} leaves nothing of {count} elements; it must be smaller"),
            ));
        }
        let mean = self.mean_keep(axes)?;
        self.try_sub(&mean)?.square()?.sum_keep(axes)?.try_div((count - ddof) as f64)
    }

    /// Variance over `axes`, which are dropped from the shape; see [`Tensor::var_keep`].
    #[track_caller]
    pub fn var(&self, axes: impl AsRef<[isize]>, ddof: usize) -> Result<Tensor> {
        let axes = axes.as_ref();
        let set = self.axes("var", axes)?;
        let sizes: Vec<usize> = self
            .shape()
            .iter()
            .enumerate()
            .filter(|(i, _)| set >> i & 1 == 0)
            .map(|(_, &n)| n)
            .collect();
        self.var_keep(axes, ddof)?.reshape(sizes)
    }
}
