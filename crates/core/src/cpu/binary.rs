//! Element-wise operations on two tensors, or on a tensor and a number.

use super::{
    number::{Float, Number, for_float, for_number, wrapping},
    operand::{Dst, In, Out, Src, map1, map2},
};
use crate::{
    Result,
    ops::binary::{Binary, Scalar},
};

pub(super) fn binary(op: Binary, a: &In<'_>, b: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    if op == Binary::Pow {
        for_float!(a.dtype, "pow", T => map2(a.of(), b.of(), y.of(), T::powf));
        return Ok(());
    }
    let dtype = match op {
        Binary::Add | Binary::Sub | Binary::Mul => wrapping(a.dtype),
        _ => a.dtype,
    };
    for_number!(dtype, op.label(), T => both::<T>(op, a.of(), b.of(), y.of()));
    Ok(())
}

fn both<T: Number>(op: Binary, a: Src<'_, T>, b: Src<'_, T>, y: Dst<'_, T>) {
    match op {
        Binary::Add => map2(a, b, y, T::plus),
        Binary::Sub => map2(a, b, y, T::minus),
        Binary::Mul => map2(a, b, y, T::times),
        Binary::Div => map2(a, b, y, T::over),
        Binary::Max => map2(a, b, y, T::larger),
        Binary::Min => map2(a, b, y, T::smaller),
        Binary::Pow => {} // floats only, above
    }
}

/// The largest exponent that is taken by multiplication.
const SMALL_POWER: f64 = 16.0;

pub(super) fn scalar(op: &Scalar, x: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    if op.op == Binary::Pow {
        for_float!(x.dtype, "pow", T => power::<T>(op, x.of(), y.of()));
        return Ok(());
    }
    for_number!(x.dtype, op.op.label(), T => with_number::<T>(op, x.of(), y.of()));
    Ok(())
}

fn power<T: Float>(op: &Scalar, x: Src<'_, T>, y: Dst<'_, T>) {
    let value = T::from_f64(op.value);
    if op.left {
        map1(x, y, move |x| value.powf(x));
    } else if op.value.fract() == 0.0 && (0.0..=SMALL_POWER).contains(&op.value) {
        let exponent = op.value as u32;
        map1(x, y, move |x| x.powi(exponent));
    } else {
        map1(x, y, move |x| x.powf(value));
    }
}

fn with_number<T: Number>(op: &Scalar, x: Src<'_, T>, y: Dst<'_, T>) {
    let c = T::from_f64(op.value);
    // x - c is x + (-c), to the bit.
    let subtracts = op.op == Binary::Sub && !op.left;
    let c = if subtracts { c.negated() } else { c };
    match (op.op, op.left) {
        (Binary::Add, _) | (Binary::Sub, false) => map1(x, y, move |x| x.plus(c)),
        (Binary::Sub, true) => map1(x, y, move |x| c.minus(x)),
        (Binary::Mul, _) => map1(x, y, move |x| x.times(c)),
        (Binary::Div, false) => map1(x, y, move |x| x.over(c)),
        (Binary::Div, true) => map1(x, y, move |x| c.over(x)),
        (Binary::Max, _) => map1(x, y, move |x| x.larger(c)),
        (Binary::Min, _) => map1(x, y, move |x| x.smaller(c)),
        (Binary::Pow, _) => {} // floats only, above
    }
}
