//! The operations, one file per family: public methods, shapes, what backward needs, gradient.

pub mod adjust;
pub mod arg_reduce;
pub mod assign;
pub mod attention;
pub mod batch_norm;
pub mod binary;
pub mod cast;
pub mod compare;
pub mod concat;
pub mod copy;
pub mod create;
pub mod cross_entropy;
pub mod dropout;
pub mod gather;
pub mod linear;
pub mod losses;
pub mod masked_softmax;
pub mod matmul;
pub mod norm;
pub mod operators;
pub mod optimizer;
pub mod pad;
pub mod random;
pub mod reduce;
pub mod select;
pub mod softmax;
pub mod split;
pub mod statistics;
pub mod unary;
pub mod view;

pub mod conv;
pub mod pool;
pub mod window;

use crate::{DType, Error, Meta, Result};

/// An error unless the type is floating-point.
#[track_caller]
pub(crate) fn need_float(op: &'static str, x: &Meta) -> Result<()> {
    if x.dtype.is_float() {
        return Ok(());
    }
    Err(Error::dtype(op, format!("needs a floating-point tensor, got {}; cast it first", x.dtype)))
}

/// An error unless the type is a number.
#[track_caller]
pub(crate) fn need_number(op: &'static str, x: &Meta) -> Result<()> {
    if x.dtype == DType::Bool {
        return Err(Error::dtype(op, "needs numbers, got bool; cast it first"));
    }
    Ok(())
}

/// An error unless both types are equal: nothing is promoted silently.
#[track_caller]
pub(crate) fn need_same(op: &'static str, a: &Meta, b: &Meta) -> Result<()> {
    if a.dtype == b.dtype {
        return Ok(());
    }
    Err(Error::dtype(
        op,
        format!("operands are {} and {}; nothing is promoted silently, cast one", a.dtype, b.dtype),
    ))
}

/// An error unless the type can index rows.
#[track_caller]
pub(crate) fn need_index(op: &'static str, x: &Meta) -> Result<()> {
    if matches!(x.dtype, DType::I32 | DType::U32) {
        return Ok(());
    }
    Err(Error::dtype(op, format!("indices are i32 or u32, got {}; cast them", x.dtype)))
}
