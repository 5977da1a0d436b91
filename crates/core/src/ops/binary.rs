//! Element-wise operations on two tensors, with broadcasting, or on a tensor and a number.

use super::{need_number, need_same};
use crate::{
    DType, Error, Grad, Meta, Operand, Precision, Result, Shape, Tensor,
    op::{Family, Saves},
    ops::compare::Compare,
    ops::select::Mask,
    ops::unary::Unary,
};

/// An element-wise operation on two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// a + b
    Add,
    /// a − b
    Sub,
    /// a · b
    Mul,
    /// a / b; integers: rounded towards zero, and a where b is 0
    Div,
    /// the larger; NaN if either is, the gradient of a tie goes to the first
    Max,
    /// the smaller; NaN if either is, the gradient of a tie goes to the first
    Min,
    /// aᵇ
    Pow,
}

impl Binary {
    /// One of each.
    pub const ALL: [Binary; 7] =
        [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min, Binary::Pow];

    /// The name of the operation.
    pub fn label(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Max => "maximum",
            Binary::Min => "minimum",
            Binary::Pow => "pow",
        }
    }
}

impl Family for Binary {
    fn name(&self) -> &'static str {
        self.label()
    }
    fn precision(&self) -> Precision {
        if *self == Binary::Pow { Precision::Wide } else { Precision::Meet }
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        need_number(self.label(), &ins[0])?;
        need_same(self.label(), &ins[0], &ins[1])?;
        if *self == Binary::Pow {
            super::need_float("pow", &ins[0])?;
        }
        let shape = Shape::broadcast(self.label(), &ins[0].shape, &ins[1].shape)?;
        Ok(vec![Meta { shape, dtype: ins[0].dtype }])
    }
    fn saves(&self) -> Saves {
        match self {
            Binary::Add | Binary::Sub => Saves::NONE,
            Binary::Mul | Binary::Max | Binary::Min => Saves::inputs(0b11),
            Binary::Div => Saves::inputs(0b10).and(Saves::outputs(1)),
            Binary::Pow => Saves::inputs(0b11).and(Saves::outputs(1)),
        }
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let dy = g.cotangent()?;
        g.each(|i| match (self, i) {
            (Binary::Add, _) | (Binary::Sub, 0) => Ok(dy.clone()),
            (Binary::Sub, _) => dy.neg(),
            (Binary::Mul, _) => g.last(i, Binary::Mul, &[dy, g.input(1 - i)?]),
            (Binary::Div, 0) => g.last(i, Binary::Div, &[dy, g.input(1)?]),
            (Binary::Div, _) => dy.try_mul(g.output(0)?)?.try_div(g.input(1)?)?.neg(),
            (Binary::Max | Binary::Min, _) => {
                let first = if *self == Binary::Max { Compare::Ge } else { Compare::Le };
                let wins = Tensor::run(first, &[g.input(0)?, g.input(1)?])?;
                Tensor::run(Mask { keep: i == 0 }, &[&wins, dy])
            }
            (Binary::Pow, 0) => {
                // b·aᵇ⁻¹, and 0 where b = 0, so that 0⁰ has gradient 0 rather than NaN.
                let (a, b) = (g.input(0)?, g.input(1)?);
                let slope = b.try_mul(&a.try_pow(&b.try_sub(1.0)?)?)?;
                Tensor::run(Mask { keep: true }, &[&b.try_ne(0.0)?, &slope])?.try_mul(dy)
            }
            (Binary::Pow, _) => {
                // aᵇ·ln a, and 0 where a ≤ 0.
                let a = g.input(0)?;
                let slope = g.output(0)?.try_mul(&a.log()?)?;
                Tensor::run(Mask { keep: true }, &[&a.try_gt(0.0)?, &slope])?.try_mul(dy)
            }
        })
    }
}

/// An element-wise operation of a tensor and a number of the tensor's type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scalar {
    /// Which operation.
    pub op: Binary,
    /// The number.
    pub value: f64,
    /// Whether the number is the left operand.
    pub left: bool,
}

impl Family for Scalar {
    fn name(&self) -> &'static str {
        self.op.label()
    }
    fn precision(&self) -> Precision {
        if self.op == Binary::Pow { Precision::Wide } else { Precision::Meet }
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        self.op.outputs(&[ins[0], ins[0]])?;
        let exact = match ins[0].dtype {
            DType::I32 => f64::from(self.value as i32) == self.value,
            DType::U32 => f64::from(self.value as u32) == self.value,
            _ => true,
        };
        if !exact {
            return Err(Error::dtype(
                self.name(),
                format!("the number {} is no {}; cast the tensor first", self.value, ins[0].dtype),
            ));
        }
        Ok(vec![ins[0]])
    }
    fn saves(&self) -> Saves {
        match (self.op, self.left) {
            (Binary::Add | Binary::Sub | Binary::Mul, _) | (Binary::Div, false) => Saves::NONE,
            (Binary::Div, true) => Saves::inputs(1).and(Saves::outputs(1)),
            (Binary::Pow, true) => Saves::outputs(1),
            (Binary::Max | Binary::Min | Binary::Pow, _) => Saves::inputs(1),
        }
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let (dy, c) = (g.cotangent()?, self.value);
        g.each(|i| match (self.op, self.left) {
            (Binary::Add, _) | (Binary::Sub, false) => Ok(dy.clone()),
            (Binary::Sub, true) => g.last(i, Unary::Neg, &[dy]),
            (Binary::Mul, _) | (Binary::Div, false) => g.last(i, *self, &[dy]),
            (Binary::Div, true) => dy.try_mul(g.output(0)?)?.try_div(g.input(0)?)?.neg(),
            (Binary::Max | Binary::Min, left) => {
                // Ties go to the first operand, wherever the number stands.
                let x = g.input(0)?;
                let wins = match (self.op, left) {
                    (Binary::Max, false) => x.try_ge(c),
                    (Binary::Max, true) => x.try_gt(c),
                    (_, false) => x.try_le(c),
                    (_, true) => x.try_lt(c),
                }?;
                g.last(i, Mask { keep: true }, &[&wins, dy])
            }
            (Binary::Pow, false) if c == 0.0 => dy.try_mul(0.0),
            (Binary::Pow, false) => {
                let slope = g.input(0)?.try_pow(c - 1.0)?.try_mul(c)?;
                g.last(i, Binary::Mul, &[&slope, dy])
            }
            (Binary::Pow, true) if c <= 0.0 => dy.try_mul(0.0),
            (Binary::Pow, true) => dy.try_mul(g.output(0)?)?.try_mul(c.ln()),
        })
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident, $op:ident, $example:literal;)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                /// The other operand is a tensor whose shape broadcasts with this one (aligned at the
                /// right, sizes equal or 1) and of the same type, or a number.
                ///
                /// ```
                /// # use wgrad_core::{Device, Tensor};
                /// let cpu = Device::cpu();
                /// let a = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], [2, 2], &cpu)?;
                /// let b = Tensor::from_vec([2.0f32, 3.0], [2], &cpu)?;
                #[doc = $example]
                /// # Ok::<(), wgrad_core::Error>(())
                /// ```
                #[track_caller]
                pub fn $name<'a>(&self, other: impl Into<Operand<'a>>) -> Result<Tensor> {
                    match other.into() {
                        Operand::Tensor(other) => Tensor::run(Binary::$op, &[self, other]),
                        Operand::Number(value) => {
                            Tensor::run(Scalar { op: Binary::$op, value, left: false }, &[self])
                        }
                    }
                }
            )*
        }
    };
}

methods! {
    /// Sum, element by element; `a + b` with an error instead of a panic.
    try_add, Add, "assert_eq!(a.try_add(&b)?.to_vec::<f32>()?, [3.0, 5.0, 5.0, 7.0]);";
    /// Difference, element by element; `a - b` with an error instead of a panic.
    try_sub, Sub, "assert_eq!(a.try_sub(1.0)?.to_vec::<f32>()?, [0.0, 1.0, 2.0, 3.0]);";
    /// Product, element by element; `a * b` with an error instead of a panic.
    try_mul, Mul, "assert_eq!(a.try_mul(&b)?.to_vec::<f32>()?, [2.0, 6.0, 6.0, 12.0]);";
    /// Quotient, element by element; `a / b` with an error instead of a panic. Integers are rounded
    /// towards zero, and division by 0 gives the dividend.
    try_div, Div, "assert_eq!(a.try_div(2.0)?.to_vec::<f32>()?, [0.5, 1.0, 1.5, 2.0]);";
    /// The larger, element by element; NaN if either is. The gradient of a tie goes to the first.
    maximum, Max, "assert_eq!(a.maximum(&b)?.to_vec::<f32>()?, [2.0, 3.0, 3.0, 4.0]);";
    /// The smaller, element by element; NaN if either is. The gradient of a tie goes to the first.
    minimum, Min, "assert_eq!(a.minimum(2.0)?.to_vec::<f32>()?, [1.0, 2.0, 2.0, 2.0]);";
    /// Power, element by element; floating-point only. `x⁰` is 1, also for `x = 0`. Negative bases
    /// take whole exponents.
    try_pow, Pow, "assert_eq!(a.try_pow(2.0)?.to_vec::<f32>()?, [1.0, 4.0, 9.0, 16.0]);";
}

impl Tensor {
    /// Powers of a number: `baseˣ`, element by element; floating-point only.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([0.0f32, 1.0, 3.0], [3], &Device::cpu())?;
    /// let y = x.powers_of(2.0)?.to_vec::<f32>()?;
    /// assert!((y[2] - 8.0).abs() < 1e-5);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn powers_of(&self, base: f64) -> Result<Tensor> {
        Tensor::run(Scalar { op: Binary::Pow, value: base, left: true }, &[self])
    }
}
