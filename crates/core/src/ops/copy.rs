//! A contiguous copy of a view.

use crate::{Grad, Meta, Result, Tensor, op::Family};

/// The same elements, one after the other in new memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy;

impl Family for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![ins[0]])
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        g.each(|_| Ok(g.cotangent()?.clone()))
    }
}

impl Tensor {
    /// This tensor if its elements lie one after the other already, else a copy in which they do.
    #[track_caller]
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.layout().is_contiguous() { Ok(self.clone()) } else { Tensor::run(Copy, &[self]) }
    }
}
