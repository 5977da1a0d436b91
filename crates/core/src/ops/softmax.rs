//! Softmax and its logarithm along one axis.

use super::{need_float, need_same};
use crate::{
    Error, Grad, Meta, Precision, Result, Tensor,
    op::{Family, Saves},
};

/// `exp(x - max x) / sum` along one axis, so large inputs do not overflow; or its logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The axis that sums to 1.
    pub axis: usize,
    /// Whether the logarithm is wanted.
    pub log: bool,
}

impl Family for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }
    fn precision(&self) -> Precision {
        Precision::Wide
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        need_float(self.name(), &ins[0])?;
        Ok(vec![ins[0]])
    }
    fn saves(&self) -> Saves {
        Saves::outputs(1)
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let op = SoftmaxBackward { axis: self.axis, log: self.log };
        g.each(|i| g.last(i, op, &[g.output(0)?, g.cotangent()?]))
    }
}

/// From the output y and the cotangent dy: `y (dy - Σ y dy)`, or for the logarithm `dy - eʸ Σ dy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftmaxBackward {
    /// The axis that sums to 1.
    pub axis: usize,
    /// Whether y is the logarithm.
    pub log: bool,
}

impl Family for SoftmaxBackward {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax_backward" } else { "softmax_backward" }
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        need_same(self.name(), &ins[0], &ins[1])?;
        if ins[0].shape != ins[1].shape {
            return Err(Error::shape(
                self.name(),
                format!("output {:?} and cotangent {:?} differ", ins[0].shape, ins[1].shape),
            ));
        }
        Ok(vec![ins[0]])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("second derivatives are not offered")
    }
}

impl Tensor {
    /// Softmax along `axis`: `exp(x - max x) / sum`. Right for any finite input; −∞ gets weight 0, a
    /// row of only −∞ gives NaN, and so does a row with NaN or +∞. Other rows are unharmed.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([1e4f32, 1e4, -1e4], [3], &Device::cpu())?;
    /// assert_eq!(x.softmax(-1)?.to_vec::<f32>()?, [0.5, 0.5, 0.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Result<Tensor> {
        Tensor::run(Softmax { axis: self.axis("softmax", axis)?, log: false }, &[self])
    }

    /// Logarithm of softmax along `axis`, without the detour over tiny probabilities.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([0.0f32, 1000.0], [2], &Device::cpu())?;
    /// assert_eq!(x.log_softmax(0)?.to_vec::<f32>()?, [-1000.0, 0.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Result<Tensor> {
        Tensor::run(Softmax { axis: self.axis("log_softmax", axis)?, log: true }, &[self])
    }
}
