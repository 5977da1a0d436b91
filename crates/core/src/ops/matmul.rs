//! Matrix product, with batches, transposed views and vectors, as in NumPy.

use super::{need_float, need_same};
use crate::{
    Error, Grad, MAX_RANK, Meta, Precision, Result, Shape, Tensor,
    op::{Family, Saves},
};

/// `[.., m, k] · [.., k, n] -> [.., m, n]`; equal batch sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul;

impl Family for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }
    fn precision(&self) -> Precision {
        Precision::Half
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let (a, b) = (&ins[0], &ins[1]);
        need_float("matmul", a)?;
        need_same("matmul", a, b)?;
        let rank = a.shape.rank();
        if rank < 2 || rank != b.shape.rank() || a.shape[..rank - 2] != b.shape[..rank - 2] {
            return Err(Error::shape(
                "matmul",
                format!("batch sizes differ, {:?} x {:?}", a.shape, b.shape),
            ));
        }
        if a.shape[rank - 1] != b.shape[rank - 2] {
            return Err(Error::shape(
                "matmul",
                format!("inner sizes differ, {:?} x {:?}", a.shape, b.shape),
            ));
        }
        Ok(vec![Meta { shape: a.shape.with(rank - 1, b.shape[rank - 1]), dtype: a.dtype }])
    }
    fn saves(&self) -> Saves {
        Saves::inputs(0b11)
    }
    /// dA = dY·Bᵀ, dB = Aᵀ·dY
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let dy = g.cotangent()?;
        g.each(|i| match i {
            0 => g.last(0, MatMul, &[dy, &g.input(1)?.t()?]),
            _ => g.last(1, MatMul, &[&g.input(0)?.t()?, dy]),
        })
    }
}

impl Tensor {
    /// Matrix product. Operands have rank 1 or more; a vector counts as a row on the left and as a
    /// column on the right; leading (batch) sizes broadcast. Views are multiplied as they are: a
    /// transposed operand is not copied.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let a = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], [2, 2], &cpu)?;
    /// let v = Tensor::from_vec([1.0f32, 10.0], [2], &cpu)?;
    /// assert_eq!(a.matmul(&v)?.to_vec::<f32>()?, [21.0, 43.0]);
    /// assert_eq!(v.matmul(&a)?.to_vec::<f32>()?, [31.0, 42.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        self.storage()?;
        other.storage()?;
        // Before operands are spread over batches: a cast copy holds each element once.
        if let Some([a, b]) = crate::autocast::cast(&MatMul.into(), &[self, other])?.as_deref() {
            return a.matmul(b);
        }
        let (ra, rb) = (self.rank(), other.rank());
        if ra == 0 || rb == 0 {
            return Err(Error::rank(
                "matmul",
                format!(
                    "needs rank 1 or more, {:?} x {:?}; multiply by a scalar with *",
                    self.shape(),
                    other.shape()
                ),
            ));
        }
        let inner = (self.shape()[ra - 1], other.shape()[rb.saturating_sub(2)]);
        if inner.0 != inner.1 {
            return Err(Error::shape(
                "matmul",
                format!("inner sizes differ, {:?} x {:?}", self.shape(), other.shape()),
            ));
        }
        let a = if ra == 1 { self.unsqueeze(0)? } else { self.clone() };
        let b = if rb == 1 { other.unsqueeze(1)? } else { other.clone() };
        let (a_batch, b_batch) = (&a.shape()[..a.rank() - 2], &b.shape()[..b.rank() - 2]);
        let Ok(batch) = Shape::broadcast("matmul", a_batch, b_batch) else {
            return Err(Error::shape(
                "matmul",
                format!("batch sizes differ, {:?} x {:?}", self.shape(), other.shape()),
            ));
        };
        let spread = |x: &Tensor| -> Result<Tensor> {
            let (batches, matrix) = x.shape().split_at(x.rank() - 2);
            if *batches == *batch {
                return Ok(x.clone());
            }
            let mut sizes = batch.to_vec();
            sizes.extend_from_slice(matrix);
            debug_assert!(sizes.len() <= MAX_RANK);
            x.broadcast_to(sizes)
        };
        let y = Tensor::run(MatMul, &[&spread(&a)?, &spread(&b)?])?;
        let y = if ra == 1 { y.squeeze(-2)? } else { y };
        if rb == 1 { y.squeeze(-1) } else { Ok(y) }
    }
}
