//! `+ - * /` and negation. They panic for mistakes that are visible on the host; other faults give a
//! tensor in a failed state, and the next fallible call on it returns the error.

use crate::{
    Error, ErrorKind, Result, Tensor,
    ops::binary::{Binary, Scalar},
};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// The right operand of an element-wise operation: a tensor or a number.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// A tensor, which broadcasts.
    Tensor(&'a Tensor),
    /// A number of the other operand's type.
    Number(f64),
}

impl<'a> From<&'a Tensor> for Operand<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Operand::Tensor(tensor)
    }
}

macro_rules! numbers {
    ($($t:ty)*) => {$(
        impl From<$t> for Operand<'_> {
            fn from(number: $t) -> Self {
                Operand::Number(f64::from(number))
            }
        }
    )*};
}
numbers! { f32 f64 i32 u32 }

/// The operators' documented panic, or a failed tensor.
#[track_caller]
#[allow(
    clippy::panic,
    reason = "an operator cannot return a Result: this documented panic is for mistakes in the program \
              (shape, type, device), never for data or a device's state; try_add and so on return them"
)]
fn settle(result: Result<Tensor>, like: &Tensor) -> Tensor {
    let visible_on_host = |error: &Error| {
        matches!(
            error.kind(),
            ErrorKind::Shape | ErrorKind::Rank | ErrorKind::DType | ErrorKind::Device
        )
    };
    match result {
        Ok(tensor) => tensor,
        Err(error) if visible_on_host(&error) => panic!("{error}"),
        Err(error) => Tensor::failed(error, like),
    }
}

macro_rules! operator {
    ($($trait:ident $method:ident $op:ident $try:ident;)*) => {$(
        impl $trait<&Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                settle(self.$try(other), self)
            }
        }
        impl $trait<Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                settle(self.$try(&other), &self)
            }
        }
        impl $trait<&Tensor> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                settle(self.$try(other), &self)
            }
        }
        impl $trait<Tensor> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                settle(self.$try(&other), self)
            }
        }
        impl $trait<f32> for &Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: f32) -> Tensor {
                settle(self.$try(other), self)
            }
        }
        impl $trait<f32> for Tensor {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: f32) -> Tensor {
                settle(self.$try(other), &self)
            }
        }
        impl $trait<&Tensor> for f32 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: &Tensor) -> Tensor {
                let op = Scalar { op: Binary::$op, value: f64::from(self), left: true };
                settle(Tensor::run(op, &[other]), other)
            }
        }
        impl $trait<Tensor> for f32 {
            type Output = Tensor;
            #[track_caller]
            fn $method(self, other: Tensor) -> Tensor {
                self.$method(&other)
            }
        }
    )*};
}
operator! {
    Add add Add try_add;
    Sub sub Sub try_sub;
    Mul mul Mul try_mul;
    Div div Div try_div;
}

impl Neg for &Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        settle(Tensor::neg(self), self)
    }
}

impl Neg for Tensor {
    type Output = Tensor;
    #[track_caller]
    fn neg(self) -> Tensor {
        settle(Tensor::neg(&self), &self)
    }
}
