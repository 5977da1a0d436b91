//! Joining tensors along an axis.

use crate::{Error, Grad, Meta, Result, Tensor, op::Family};

/// Operands one after the other along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Family for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let first = ins[0];
        let mut size = 0usize;
        for (i, x) in ins.iter().enumerate() {
            if x.dtype != first.dtype {
                return Err(Error::dtype(
                    "concat",
                    format!("operand {i} is {}, operand 0 is {}; cast one", x.dtype, first.dtype),
                ));
            }
            let fits = x.shape.rank() == first.shape.rank()
                && x.shape.with(self.axis, 0) == first.shape.with(self.axis, 0);
            if !fits {
                return Err(Error::shape(
                    "concat",
                    format!(
                        "operand {i} is {:?}, operand 0 is {:?}; they may differ along axis {} only",
                        x.shape, first.shape, self.axis
                    ),
                ));
            }
            size = size.saturating_add(x.shape[self.axis]);
        }
        let shape = crate::Shape::new("concat", &first.shape.with(self.axis, size))?;
        Ok(vec![Meta { shape, dtype: first.dtype }])
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let dy = g.cotangent()?;
        let mut start = 0;
        let mut starts = Vec::with_capacity(g.inputs());
        for i in 0..g.inputs() {
            starts.push(start);
            start += g.input_meta(i).shape[self.axis];
        }
        g.each(|i| {
            let size = g.input_meta(i).shape[self.axis];
            dy.slice(self.axis as isize, starts[i]..starts[i] + size)
        })
    }
}

impl Tensor {
    /// Tensors one after the other along `axis`; all other sizes, and the types, must be equal.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let a = Tensor::from_vec([1i32, 2], [2], &Device::cpu())?;
    /// assert_eq!(Tensor::concat(&[&a, &a], 0)?.to_vec::<i32>()?, [1, 2, 1, 2]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn concat(tensors: &[&Tensor], axis: isize) -> Result<Tensor> {
        let Some(first) = tensors.first() else {
            return Err(Error::argument("concat", "an empty list; give at least one tensor"));
        };
        Tensor::run(Concat { axis: first.axis("concat", axis)? }, tensors)
    }
}
