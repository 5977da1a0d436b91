//! A tensor in pieces along an axis: views, whose gradients are joined again in one go.

use super::{concat::Concat, view::ViewOp};
use crate::{Error, Grad, Result, Shape, Tensor, graph::Node};
use std::panic::Location;

/// The gradient of all pieces together; pieces that the loss does not depend on count as 0.
pub(super) fn gradient(axis: usize, size: usize, g: &Grad) -> Result<Vec<Option<Tensor>>> {
    let whole = g.input_meta(0);
    let count = whole.shape[axis].div_ceil(size.max(1));
    let given = g.cotangents();
    let Some(like) = given.iter().flatten().next() else {
        return Err(Error::internal("split", "no cotangent for any piece"));
    };
    let mut pieces = Vec::with_capacity(count);
    for i in 0..count {
        pieces.push(match given.get(i) {
            Some(Some(piece)) => piece.clone(),
            _ => {
                let rest = whole.shape[axis] - i * size;
                let shape = whole.shape.with(axis, size.min(rest));
                Tensor::full(shape, 0.0, whole.dtype, like.device())?
            }
        });
    }
    let pieces: Vec<&Tensor> = pieces.iter().collect();
    g.each(|i| g.last(i, Concat { axis }, &pieces))
}

impl Tensor {
    /// Pieces of `size` along `axis`, the last one smaller if the size does not divide. Free; the gradients of all
    /// pieces are joined in one operation, where those of single slices would each be padded to the whole.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([1i32, 2, 3, 4, 5], [5], &Device::cpu())?;
    /// let pieces = x.split(0, 2)?;
    /// assert_eq!(pieces.len(), 3);
    /// assert_eq!(pieces[1].to_vec::<i32>()?, [3, 4]);
    /// assert_eq!(pieces[2].to_vec::<i32>()?, [5]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn split(&self, axis: isize, size: usize) -> Result<Vec<Tensor>> {
        self.storage()?;
        let axis = self.axis("split", axis)?;
        if size == 0 {
            return Err(Error::argument("split", "pieces of size 0; the smallest size is 1"));
        }
        let whole = self.shape()[axis];
        let pieces = (0..whole).step_by(size).map(|start| {
            let range = start..whole.min(start.saturating_add(size));
            self.with_layout(self.layout().slice(axis, range, 1))
        });
        let pieces: Vec<Tensor> = pieces.collect();
        Ok(Node::record(&ViewOp::Split { axis, size }.into(), &[self], pieces, Location::caller()))
    }

    /// The parts along `axis` without that axis: `[t, ..]` becomes t tensors `[..]`. Free, as [`split`](Tensor::split).
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([1i32, 2, 3, 4], [2, 2], &Device::cpu())?;
    /// assert_eq!(x.unbind(1)?[0].to_vec::<i32>()?, [1, 3]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn unbind(&self, axis: isize) -> Result<Vec<Tensor>> {
        let axis = self.axis("unbind", axis)?;
        let mut sizes = self.shape().to_vec();
        sizes.remove(axis);
        let shape = Shape::from_checked(&sizes);
        let mut parts = self.split(axis as isize, 1)?;
        for part in &mut parts {
            *part = part.reshape(shape)?;
        }
        Ok(parts)
    }

    /// Tensors of equal shape along a new axis before `axis`.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([1i32, 2], [2], &Device::cpu())?;
    /// assert_eq!(Tensor::stack(&[&x, &x, &x], 0)?.shape(), [3, 2]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn stack(tensors: &[&Tensor], axis: isize) -> Result<Tensor> {
        let mut parts = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            parts.push(tensor.unsqueeze(axis)?);
        }
        let Some(first) = parts.first() else {
            return Err(Error::argument("stack", "an empty list; give at least one tensor"));
        };
        let axis = crate::shape::axis_index("stack", axis, first.rank())?;
        Tensor::concat(&parts.iter().collect::<Vec<_>>(), axis as isize)
    }
}
