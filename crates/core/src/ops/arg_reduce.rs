//! Where the maximum or minimum is.

use super::need_number;
use crate::{DType, Meta, Result, Tensor, op::Family, ops::reduce::Reduce, ops::reduce::ReduceOp};

/// Position of the extreme among the elements reduced into one, row-major over the reduced axes; of
/// equals the first, NaN before all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgReduce {
    /// Maximum, else minimum.
    pub max: bool,
    /// The axes, as a bit set.
    pub axes: u8,
}

impl ArgReduce {
    /// The reduction that finds the value at this position.
    pub fn value(&self) -> Reduce {
        let op = if self.max { ReduceOp::Max } else { ReduceOp::Min };
        Reduce { op, axes: self.axes, keep: false }
    }
}

impl Family for ArgReduce {
    fn name(&self) -> &'static str {
        if self.max { "argmax" } else { "argmin" }
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        need_number(self.name(), &ins[0])?;
        let outs = self
            .value()
            .outputs(ins)
            .map_err(|e| crate::Error::new(e.kind(), self.name(), e.message().to_owned()))?;
        Ok(outs.into_iter().map(|out| Meta { dtype: DType::I32, ..out }).collect())
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("a position is constant almost everywhere")
    }
}

impl Tensor {
    /// Position (i32) of the maximum along `axis`: of equals the first, NaN before all.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([1.0f32, 5.0, 3.0, 4.0], [2, 2], &Device::cpu())?;
    /// assert_eq!(x.argmax(-1)?.to_vec::<i32>()?, [1, 1]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> Result<Tensor> {
        let axes = self.axes("argmax", &[axis])?;
        Tensor::run(ArgReduce { max: true, axes }, &[self])
    }

    /// Position (i32) of the minimum along `axis`: of equals the first, NaN before all.
    #[track_caller]
    pub fn argmin(&self, axis: isize) -> Result<Tensor> {
        let axes = self.axes("argmin", &[axis])?;
        Tensor::run(ArgReduce { max: false, axes }, &[self])
    }
}
