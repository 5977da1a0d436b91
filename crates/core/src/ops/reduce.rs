//! Sum, mean, maximum and minimum over axes.

use super::need_number;
use crate::{
    DType, Error, Grad, Meta, Precision, Result, Tensor,
    op::{Family, Saves},
    ops::{arg_reduce::ArgReduce, select::Mask},
};

/// Which reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceOp {
    /// Sum; of nothing it is 0. Integers wrap.
    Sum,
    /// Mean; of nothing it is NaN.
    Mean,
    /// Maximum; NaN if any is.
    Max,
    /// Minimum; NaN if any is.
    Min,
}

/// A reduction over a set of axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// Which reduction.
    pub op: ReduceOp,
    /// The axes, as a bit set.
    pub axes: u8,
    /// Whether reduced axes stay, with size 1.
    pub keep: bool,
}

impl Reduce {
    pub(crate) fn sum(axes: &[usize], keep: bool) -> Reduce {
        Reduce { op: ReduceOp::Sum, axes: bits(axes), keep }
    }

    /// Whether `axis` is reduced.
    pub fn has(&self, axis: usize) -> bool {
        self.axes >> axis & 1 == 1
    }
}

pub(crate) fn bits(axes: &[usize]) -> u8 {
    axes.iter().fold(0, |bits, axis| bits | 1 << axis)
}

impl Family for Reduce {
    fn name(&self) -> &'static str {
        match self.op {
            ReduceOp::Sum => "sum",
            ReduceOp::Mean => "mean",
            ReduceOp::Max => "max",
            ReduceOp::Min => "min",
        }
    }
    fn precision(&self) -> Precision {
        match self.op {
            ReduceOp::Sum | ReduceOp::Mean => Precision::Wide,
            ReduceOp::Max | ReduceOp::Min => Precision::Meet,
        }
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let x = &ins[0];
        need_number(self.name(), x)?;
        if self.op == ReduceOp::Mean {
            super::need_float("mean", x)?;
        }
        let mut sizes = Vec::with_capacity(x.shape.rank());
        for (axis, &size) in x.shape.iter().enumerate() {
            if !self.has(axis) {
                sizes.push(size);
                continue;
            }
            if size == 0 && matches!(self.op, ReduceOp::Max | ReduceOp::Min) {
                return Err(Error::empty(
                    self.name(),
                    format!(
                        "axis {axis} of {:?} is empty, and {} has no identity",
                        x.shape,
                        self.name()
                    ),
                ));
            }
            if self.keep {
                sizes.push(1);
            }
        }
        Ok(vec![Meta { shape: crate::Shape::new(self.name(), &sizes)?, dtype: x.dtype }])
    }
    fn saves(&self) -> Saves {
        match self.op {
            ReduceOp::Max | ReduceOp::Min => Saves::inputs(1),
            _ => Saves::NONE,
        }
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        g.each(|_| {
            let Meta { shape, .. } = g.input_meta(0);
            let mut kept = shape;
            for axis in 0..shape.rank() {
                if self.has(axis) {
                    kept = kept.with(axis, 1);
                }
            }
            let dy = g.cotangent()?.reshape(kept)?;
            match self.op {
                ReduceOp::Sum => dy.broadcast_to(shape),
                ReduceOp::Mean => {
                    let count = shape.numel() / kept.numel().max(1);
                    dy.try_div(count as f64)?.broadcast_to(shape)
                }
                ReduceOp::Max | ReduceOp::Min => {
                    // The gradient goes to the first of equal extremes: the one the position names.
                    let x = g.input(0)?;
                    let arg = ArgReduce { max: self.op == ReduceOp::Max, axes: self.axes };
                    let position = Tensor::run(arg, &[x])?.reshape(kept)?;
                    let mut reduced = shape;
                    for axis in 0..shape.rank() {
                        if !self.has(axis) {
                            reduced = reduced.with(axis, 1);
                        }
                    }
                    let count = i32::try_from(reduced.numel()).map_err(|_| {
                        Error::size(self.name(), "more than 2^31 elements reduced into one")
                    })?;
                    let counted =
                        Tensor::arange(0.0, f64::from(count), 1.0, DType::I32, x.device())?;
                    let here = counted.reshape(reduced)?.try_eq(&position)?;
                    Tensor::run(Mask { keep: true }, &[&here, &dy])
                }
            }
        })
    }
}

impl Tensor {
    #[track_caller]
    pub(crate) fn axes(&self, op: &'static str, axes: &[isize]) -> Result<u8> {
        let mut set = 0u8;
        for &axis in axes {
            let index = self.axis(op, axis)?;
            if set >> index & 1 == 1 {
                return Err(Error::axis(
                    op,
                    format!("axis {axis} is named twice in {axes:?} for rank {}", self.rank()),
                ));
            }
            set |= 1 << index;
        }
        Ok(set)
    }

    pub(crate) fn all_axes(&self) -> u8 {
        ((1u16 << self.rank()) - 1) as u8
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $keep:ident $all:ident, $op:ident, $example:literal;)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                /// Over the given axes, which may count from the end and are dropped from the shape.
                ///
                /// ```
                /// # use wgrad_core::{Device, Tensor};
                /// let x = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], [2, 2], &Device::cpu())?;
                #[doc = $example]
                /// # Ok::<(), wgrad_core::Error>(())
                /// ```
                #[track_caller]
                pub fn $name(&self, axes: impl AsRef<[isize]>) -> Result<Tensor> {
                    let axes = self.axes(stringify!($name), axes.as_ref())?;
                    Tensor::run(Reduce { op: ReduceOp::$op, axes, keep: false }, &[self])
                }

                $(#[$doc])*
                /// As the method without `_keep`, but the axes stay in the shape with size 1.
                #[track_caller]
                pub fn $keep(&self, axes: impl AsRef<[isize]>) -> Result<Tensor> {
                    let axes = self.axes(stringify!($name), axes.as_ref())?;
                    Tensor::run(Reduce { op: ReduceOp::$op, axes, keep: true }, &[self])
                }

                $(#[$doc])*
                /// Over all elements; the result has rank 0.
                #[track_caller]
                pub fn $all(&self) -> Result<Tensor> {
                    Tensor::run(Reduce { op: ReduceOp::$op, axes: self.all_axes(), keep: false }, &[self])
                }
            )*
        }
    };
}

methods! {
    /// Sum; of nothing it is 0. Integers wrap.
    sum sum_keep sum_all, Sum, "assert_eq!(x.sum([0])?.to_vec::<f32>()?, [4.0, 6.0]);";
    /// Mean; of nothing it is NaN.
    mean mean_keep mean_all, Mean, "assert_eq!(x.mean([-1])?.to_vec::<f32>()?, [1.5, 3.5]);";
    /// Maximum; NaN if any element is. The gradient goes to the first of equals. An empty axis is an error.
    max max_keep max_all, Max, "assert_eq!(x.max([0])?.to_vec::<f32>()?, [3.0, 4.0]);";
    /// Minimum; NaN if any element is. The gradient goes to the first of equals. An empty axis is an error.
    min min_keep min_all, Min, "assert_eq!(x.min([1])?.to_vec::<f32>()?, [1.0, 3.0]);";
}
