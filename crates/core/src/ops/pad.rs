//! Zeros around a slice: what slicing is undone by.

use crate::{Grad, Meta, Result, Tensor, op::Family};

/// The operand placed at `start, start+step, ..` along an axis of `size`; zeros elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pad {
    /// The axis.
    pub axis: usize,
    /// Where the first element goes.
    pub start: usize,
    /// The distance between elements.
    pub step: usize,
    /// The new size of the axis.
    pub size: usize,
}

impl Family for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![Meta { shape: ins[0].shape.with(self.axis, self.size), dtype: ins[0].dtype }])
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let count = g.input_meta(0).shape[self.axis];
        let end = (self.start + count * self.step).min(self.size);
        g.each(|_| {
            g.cotangent()?.slice_step(self.axis as isize, self.start.min(end)..end, self.step)
        })
    }
}

impl Tensor {
    /// Zeros before and after along `axis`.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([1i32, 2], [2], &Device::cpu())?;
    /// assert_eq!(x.pad(0, 1, 2)?.to_vec::<i32>()?, [0, 1, 2, 0, 0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn pad(&self, axis: isize, before: usize, after: usize) -> Result<Tensor> {
        let axis = self.axis("pad", axis)?;
        let size = self.shape()[axis].saturating_add(before).saturating_add(after);
        crate::Shape::new("pad", &self.shape_inline().with(axis, size))?;
        Tensor::run(Pad { axis, start: before, step: 1, size }, &[self])
    }
}
