//! Losses that are composed of other operations.

use crate::{Error, Result, Tensor, autocast};

impl Tensor {
    /// Mean squared error against `target` of the same shape: losses do not broadcast silently.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let y = Tensor::from_vec([1.0f32, 2.0], [2], &cpu)?;
    /// let target = Tensor::from_vec([1.0f32, 4.0], [2], &cpu)?;
    /// assert_eq!(y.mse(&target)?.item::<f32>()?, 2.0);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn mse(&self, target: &Tensor) -> Result<Tensor> {
        self.storage()?;
        target.storage()?;
        if self.shape() != target.shape() {
            return Err(Error::shape(
                "mse",
                format!(
                    "prediction {:?} and target {:?} must have the same shape; losses do not broadcast",
                    self.shape(),
                    target.shape()
                ),
            ));
        }
        let (y, target) = (autocast::widened(self)?, autocast::widened(target)?);
        y.try_sub(&target)?.square()?.mean_all()
    }
}
