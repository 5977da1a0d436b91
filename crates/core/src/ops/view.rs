//! Views: another look at the same memory, free of any kernel.

use crate::{
    Error, Grad, Meta, Result, Shape, Tensor,
    op::Family,
    ops::{copy::Copy, pad::Pad},
};
use std::ops::Range;

/// How the look changed; the new layout is the tensor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewOp {
    /// Other sizes, same elements in the same order.
    Reshape,
    /// Axes in another order: the new axis i is the old axis `axes[i]`.
    Permute([u8; crate::MAX_RANK]),
    /// Some elements along an axis.
    Slice {
        /// The axis.
        axis: usize,
        /// The first element.
        start: usize,
        /// The distance between elements.
        step: usize,
    },
    /// Repeated along new axes or axes of size 1.
    Broadcast,
    /// Pieces along an axis, each an output.
    Split {
        /// The axis.
        axis: usize,
        /// Elements of a piece along it.
        size: usize,
    },
}

impl Family for ViewOp {
    fn name(&self) -> &'static str {
        match self {
            ViewOp::Reshape => "reshape",
            ViewOp::Permute(_) => "permute",
            ViewOp::Slice { .. } => "slice",
            ViewOp::Broadcast => "broadcast_to",
            ViewOp::Split { .. } => "split",
        }
    }
    fn outputs(&self, _: &[Meta]) -> Result<Vec<Meta>> {
        Err(Error::internal(self.name(), "a view is not run"))
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        if let &ViewOp::Split { axis, size } = self {
            return super::split::gradient(axis, size, g);
        }
        let (dy, shape) = (g.cotangent()?, g.input_meta(0).shape);
        g.each(|i| match self {
            ViewOp::Reshape => dy.reshape(shape),
            ViewOp::Permute(axes) => {
                let mut inverse = vec![0; shape.rank()];
                for (to, &from) in axes.iter().enumerate().take(shape.rank()) {
                    inverse[usize::from(from)] = to as isize;
                }
                dy.permute(inverse)
            }
            &ViewOp::Slice { axis, start, step } => {
                let op = Pad { axis, start, step, size: shape[axis] };
                g.last(i, op, &[dy])
            }
            // The walk sums over what was stretched.
            ViewOp::Broadcast | ViewOp::Split { .. } => Ok(dy.clone()),
        })
    }
}

impl Tensor {
    /// The same elements in another shape; free where the memory allows, else one copy.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::zeros([2, 6], &Device::cpu())?;
    /// assert_eq!(x.reshape([3, 4])?.shape(), [3, 4]);
    /// assert!(x.reshape([5]).is_err());
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn reshape(&self, shape: impl AsRef<[usize]>) -> Result<Tensor> {
        self.storage()?;
        let shape = Shape::new("reshape", shape.as_ref())?;
        if shape.numel() != self.numel() {
            return Err(Error::shape(
                "reshape",
                format!(
                    "{:?} has {} elements, {shape:?} has {}",
                    self.shape(),
                    self.numel(),
                    shape.numel()
                ),
            ));
        }
        if shape == self.shape_inline() {
            return Ok(self.clone());
        }
        match self.layout().reshape(shape) {
            Some(layout) => self.look(ViewOp::Reshape, layout),
            None => Tensor::run(Copy, &[self])?.reshape(shape),
        }
    }

    /// As [`reshape`](Tensor::reshape), with one size given as -1 and worked out from the rest.
    #[track_caller]
    pub fn reshape_infer(&self, shape: impl AsRef<[isize]>) -> Result<Tensor> {
        let shape = shape.as_ref();
        let at = std::panic::Location::caller();
        let wrong = |why: &str| {
            let text = format!("{why} in {shape:?} for {:?}", self.shape());
            Error::argument("reshape", text).at(at)
        };
        let mut known: usize = 1;
        let mut open = None;
        for (i, &size) in shape.iter().enumerate() {
            match usize::try_from(size) {
                Ok(size) => {
                    known = known.checked_mul(size).ok_or_else(|| wrong("sizes overflow"))?;
                }
                Err(_) if size == -1 && open.is_none() => open = Some(i),
                Err(_) => return Err(wrong("one size may be -1, the others are 0 or more;")),
            }
        }
        let mut sizes: Vec<usize> =
            shape.iter().map(|&s| usize::try_from(s).unwrap_or(0)).collect();
        if let Some(i) = open {
            if known == 0 {
                return Err(wrong("-1 cannot be worked out beside a 0"));
            }
            if !self.numel().is_multiple_of(known) {
                return Err(Error::shape(
                    "reshape",
                    format!(
                        "{} elements of {:?} do not divide into {shape:?}",
                        self.numel(),
                        self.shape()
                    ),
                ));
            }
            sizes[i] = self.numel() / known;
        }
        self.reshape(sizes)
    }

    /// Axes in another order: the new axis i is the old axis `axes[i]`. Free.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::zeros([2, 3, 4], &Device::cpu())?;
    /// assert_eq!(x.permute([2, 0, 1])?.shape(), [4, 2, 3]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn permute(&self, axes: impl AsRef<[isize]>) -> Result<Tensor> {
        let axes = axes.as_ref();
        let mut order = Vec::with_capacity(axes.len());
        for &axis in axes {
            order.push(self.axis("permute", axis)?);
        }
        let mut seen: Vec<usize> = order.clone();
        seen.sort_unstable();
        if seen != (0..self.rank()).collect::<Vec<_>>() {
            return Err(Error::argument(
                "permute",
                format!(
                    "{axes:?} must name each of the {} axes of {:?} once",
                    self.rank(),
                    self.shape()
                ),
            ));
        }
        let mut stored = [0; crate::MAX_RANK];
        for (to, &from) in stored.iter_mut().zip(&order) {
            *to = from as u8;
        }
        self.look(ViewOp::Permute(stored), self.layout().permute(&order))
    }

    /// Two axes exchanged. Free.
    #[track_caller]
    pub fn transpose(&self, a: isize, b: isize) -> Result<Tensor> {
        let (a, b) = (self.axis("transpose", a)?, self.axis("transpose", b)?);
        let mut axes: Vec<isize> = (0..self.rank() as isize).collect();
        axes.swap(a, b);
        self.permute(axes)
    }

    /// The last two axes exchanged: the transposed matrix. Free.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu())?;
    /// assert_eq!(x.t()?.to_vec::<f32>()?, [1.0, 3.0, 2.0, 4.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn t(&self) -> Result<Tensor> {
        if self.rank() < 2 {
            return Err(Error::rank(
                "t",
                format!("needs a matrix, the shape is {:?}", self.shape()),
            ));
        }
        self.transpose(-2, -1)
    }

    /// Elements `range` along `axis`. Free.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([1i32, 2, 3, 4], [4], &Device::cpu())?;
    /// assert_eq!(x.slice(0, 1..3)?.to_vec::<i32>()?, [2, 3]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn slice(&self, axis: isize, range: Range<usize>) -> Result<Tensor> {
        self.slice_step(axis, range, 1)
    }

    /// Every `step`-th element of `range` along `axis`. Free.
    #[track_caller]
    pub fn slice_step(&self, axis: isize, range: Range<usize>, step: usize) -> Result<Tensor> {
        let axis = self.axis("slice", axis)?;
        if step == 0 {
            return Err(Error::argument("slice", "step 0; the smallest step is 1"));
        }
        let size = self.shape()[axis];
        if range.start > range.end || range.end > size {
            return Err(Error::range(
                "slice",
                format!(
                    "{range:?} lies outside axis {axis} of {:?}, which has {size} elements",
                    self.shape()
                ),
            ));
        }
        // A longer step shows the same single element, and cannot overflow.
        let step = step.min(size.max(1));
        let op = ViewOp::Slice { axis, start: range.start, step };
        self.look(op, self.layout().slice(axis, range, step))
    }

    /// Repeated to `shape`, which must follow the broadcasting rule. Free: repeats have stride 0.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([1i32, 2], [2], &Device::cpu())?;
    /// assert_eq!(x.broadcast_to([2, 2])?.to_vec::<i32>()?, [1, 2, 1, 2]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl AsRef<[usize]>) -> Result<Tensor> {
        let shape = Shape::new("broadcast_to", shape.as_ref())?;
        if Shape::broadcast("broadcast_to", self.shape(), &shape)? != shape {
            return Err(Error::shape(
                "broadcast_to",
                format!("{:?} does not stretch to {shape:?}; only sizes of 1 do", self.shape()),
            ));
        }
        if shape == self.shape_inline() {
            return Ok(self.clone());
        }
        self.look(ViewOp::Broadcast, self.layout().stretched(shape))
    }

    /// A new axis of size 1 before `axis`, which may be one past the last. Free.
    #[track_caller]
    pub fn unsqueeze(&self, axis: isize) -> Result<Tensor> {
        let axis = crate::shape::axis_index("unsqueeze", axis, self.rank() + 1)?;
        let mut sizes = self.shape().to_vec();
        sizes.insert(axis, 1);
        self.reshape(sizes)
    }

    /// Drops an axis of size 1. Free.
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Result<Tensor> {
        let axis = self.axis("squeeze", axis)?;
        if self.shape()[axis] != 1 {
            return Err(Error::shape(
                "squeeze",
                format!("axis {axis} of {:?} has a size other than 1", self.shape()),
            ));
        }
        let mut sizes = self.shape().to_vec();
        sizes.remove(axis);
        self.reshape(sizes)
    }
}
