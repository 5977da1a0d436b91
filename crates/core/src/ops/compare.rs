//! Comparisons, element by element, to bool.

use super::{need_number, need_same};
use crate::{DType, Meta, Operand, Result, Shape, Tensor, op::Family, ops::binary::Scalar};

/// Which comparison. With NaN every one is false but `Ne`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// a = b
    Eq,
    /// a ≠ b
    Ne,
    /// a < b
    Lt,
    /// a ≤ b
    Le,
    /// a > b
    Gt,
    /// a ≥ b
    Ge,
}

impl Compare {
    /// One of each.
    pub const ALL: [Compare; 6] =
        [Compare::Eq, Compare::Ne, Compare::Lt, Compare::Le, Compare::Gt, Compare::Ge];

    /// The name of the operation.
    pub fn label(self) -> &'static str {
        match self {
            Compare::Eq => "eq",
            Compare::Ne => "ne",
            Compare::Lt => "lt",
            Compare::Le => "le",
            Compare::Gt => "gt",
            Compare::Ge => "ge",
        }
    }
}

const NO_GRADIENT: Option<&str> = Some("a comparison is constant almost everywhere");

impl Family for Compare {
    fn name(&self) -> &'static str {
        self.label()
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        need_same(self.label(), &ins[0], &ins[1])?;
        let shape = Shape::broadcast(self.label(), &ins[0].shape, &ins[1].shape)?;
        Ok(vec![Meta { shape, dtype: DType::Bool }])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        NO_GRADIENT
    }
}

/// Comparison of a tensor with a number of the tensor's type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompareScalar {
    /// Which comparison; the tensor is on the left.
    pub op: Compare,
    /// The number.
    pub value: f64,
}

impl Family for CompareScalar {
    fn name(&self) -> &'static str {
        self.op.label()
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        need_number(self.name(), &ins[0])?;
        // The same rule for numbers as in arithmetic: they must be of the tensor's type.
        Scalar { op: crate::ops::binary::Binary::Add, value: self.value, left: false }
            .outputs(ins)?;
        Ok(vec![Meta { dtype: DType::Bool, ..ins[0] }])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        NO_GRADIENT
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident, $op:ident, $result:literal;)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                /// The other operand broadcasts, or is a number; the result is bool.
                ///
                /// ```
                /// # use wgrad_core::{Device, Tensor};
                /// let x = Tensor::from_vec([1.0f32, 2.0, 3.0], [3], &Device::cpu())?;
                #[doc = $result]
                /// # Ok::<(), wgrad_core::Error>(())
                /// ```
                #[track_caller]
                pub fn $name<'a>(&self, other: impl Into<Operand<'a>>) -> Result<Tensor> {
                    match other.into() {
                        Operand::Tensor(other) => Tensor::run(Compare::$op, &[self, other]),
                        Operand::Number(value) => {
                            Tensor::run(CompareScalar { op: Compare::$op, value }, &[self])
                        }
                    }
                }
            )*
        }
    };
}

methods! {
    /// `self = other`.
    try_eq, Eq, "assert_eq!(x.try_eq(2.0)?.to_vec::<bool>()?, [false, true, false]);";
    /// `self ≠ other`; true with NaN.
    try_ne, Ne, "assert_eq!(x.try_ne(2.0)?.to_vec::<bool>()?, [true, false, true]);";
    /// `self < other`.
    try_lt, Lt, "assert_eq!(x.try_lt(2.0)?.to_vec::<bool>()?, [true, false, false]);";
    /// `self ≤ other`.
    try_le, Le, "assert_eq!(x.try_le(2.0)?.to_vec::<bool>()?, [true, true, false]);";
    /// `self > other`.
    try_gt, Gt, "assert_eq!(x.try_gt(2.0)?.to_vec::<bool>()?, [false, false, true]);";
    /// `self ≥ other`.
    try_ge, Ge, "assert_eq!(x.try_ge(2.0)?.to_vec::<bool>()?, [false, true, true]);";
}
