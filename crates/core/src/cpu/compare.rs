//! Comparisons, to bool.

use super::{
    number::{Number, for_number, wrapping},
    operand::{Dst, In, Out, Src, map1, map2},
};
use crate::{
    DType, Result,
    ops::compare::{Compare, CompareScalar},
};

pub(super) fn compare(op: Compare, a: &In<'_>, b: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    // A bool is stored as a u32 of 0 or 1.
    let dtype = if a.dtype == DType::Bool { DType::U32 } else { a.dtype };
    let dtype = if matches!(op, Compare::Eq | Compare::Ne) { wrapping(dtype) } else { dtype };
    for_number!(dtype, op.label(), T => both::<T>(op, a.of(), b.of(), y.of()));
    Ok(())
}

fn both<T: Number>(op: Compare, a: Src<'_, T>, b: Src<'_, T>, y: Dst<'_, u32>) {
    match op {
        Compare::Eq => map2(a, b, y, |a, b| u32::from(a == b)),
        Compare::Ne => map2(a, b, y, |a, b| u32::from(a != b)),
        Compare::Lt => map2(a, b, y, |a, b| u32::from(a < b)),
        Compare::Le => map2(a, b, y, |a, b| u32::from(a <= b)),
        Compare::Gt => both(Compare::Lt, b, a, y),
        Compare::Ge => both(Compare::Le, b, a, y),
    }
}

pub(super) fn compare_scalar(op: &CompareScalar, x: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    for_number!(x.dtype, op.op.label(), T => with_number::<T>(op, x.of(), y.of()));
    Ok(())
}

fn with_number<T: Number>(op: &CompareScalar, x: Src<'_, T>, y: Dst<'_, u32>) {
    let c = T::from_f64(op.value);
    match op.op {
        Compare::Eq => map1(x, y, move |x| u32::from(x == c)),
        Compare::Ne => map1(x, y, move |x| u32::from(x != c)),
        Compare::Lt => map1(x, y, move |x| u32::from(x < c)),
        Compare::Le => map1(x, y, move |x| u32::from(x <= c)),
        Compare::Gt => map1(x, y, move |x| u32::from(x > c)),
        Compare::Ge => map1(x, y, move |x| u32::from(x >= c)),
    }
}
