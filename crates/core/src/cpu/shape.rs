//! Elements moved, converted, or made from nothing.

use super::{
    number::{Number, for_number, for_word},
    operand::{Dst, In, Out, Src, map1, runs},
};
use crate::{
    DType, Error, Result,
    ops::{
        cast::Cast,
        create::{Arange, Fill},
        pad::Pad,
    },
};

pub(super) fn copy(op: &'static str, x: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    for_word!(y.dtype, op, T => move_words::<T>(x.of(), y.of()));
    Ok(())
}

fn move_words<T: bytemuck::Pod>(x: Src<'_, T>, y: Dst<'_, T>) {
    runs([x.layout, y.layout], |[i, o], steps, n| match steps {
        [1, 1] => y.data[o..o + n].copy_from_slice(&x.data[i..i + n]),
        [si, so] => {
            for j in 0..n {
                y.data[o + j * so] = x.data[i + j * si];
            }
        }
    });
}

pub(super) fn concat(axis: usize, xs: &[In<'_>], y: &mut Out<'_>) -> Result<()> {
    let (whole, dtype) = (y.layout, y.dtype);
    let mut start = 0;
    for x in xs {
        let end = start + x.layout.shape[axis];
        let layout = whole.slice(axis, start..end, 1);
        copy("concat", x, &mut Out { words: y.words, layout, dtype })?;
        start = end;
    }
    Ok(())
}

pub(super) fn pad(op: &Pad, x: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    let (whole, dtype) = (y.layout, y.dtype);
    for_word!(dtype, "pad", T => y.of::<T>().fill(0));
    let count = x.layout.shape[op.axis];
    if x.layout.numel() == 0 {
        return Ok(());
    }
    let end = op.start + (count - 1) * op.step + 1;
    if end > op.size {
        return Err(Error::internal("pad", format!("{count} elements reach past {op:?}")));
    }
    let layout = whole.slice(op.axis, op.start..end, op.step);
    copy("pad", x, &mut Out { words: y.words, layout, dtype })
}

pub(super) fn cast(op: Cast, x: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    if op.0 == DType::F16 && x.dtype == DType::F64 {
        map1(x.of(), y.of(), to_odd);
        return Ok(());
    }
    match (x.dtype, y.dtype) {
        (DType::I32, DType::U32) | (DType::U32, DType::I32) => copy("cast", x, y)?, // wraps
        (from, DType::Bool) if from != DType::Bool => {
            for_number!(from, "cast", T => map1(x.of(), y.of(), |x: T| u32::from(x != T::ZERO)));
        }
        (DType::Bool, DType::Bool) => copy("cast", x, y)?,
        (from, to) => {
            let from = if from == DType::Bool { DType::U32 } else { from };
            for_number!(from, "cast", A => for_number!(to, "cast", Y => {
                map1(x.of(), y.of(), |x: A| Y::from_f64(x.to_f64())); // every element fits f64
            }));
        }
    }
    Ok(())
}

/// To f32 by rounding to odd, so that rounding the result to f16 rounds correctly: with one rounding
/// to nearest before another, a value just beside a tie would become the tie (Boldo and Melquiond 2008).
fn to_odd(x: f64) -> f32 {
    let near = x as f32;
    let exact = f64::from(near) == x || !near.is_finite();
    if exact || near.to_bits() & 1 == 1 {
        return near;
    }
    // The neighbour on the other side of x has an odd last bit.
    if f64::from(near.abs()) < x.abs() {
        f32::from_bits(near.to_bits() + 1)
    } else {
        f32::from_bits(near.to_bits() - 1)
    }
}

/// A number as an element of a tensor of type `op`, for operations that make their elements.
fn make<T: Number>(f16: bool, value: f64) -> T {
    if f16 { T::from_f64(to_odd(value).into()) } else { T::from_f64(value) }
}

pub(super) fn fill(op: &Fill, y: &mut Out<'_>) -> Result<()> {
    if op.dtype == DType::Bool {
        y.of::<u32>().fill(u32::from(op.value != 0.0));
        return Ok(());
    }
    for_number!(y.dtype, "fill", T => y.of().fill(make::<T>(op.dtype == DType::F16, op.value)));
    Ok(())
}

pub(super) fn arange(op: &Arange, y: &mut Out<'_>) -> Result<()> {
    let value = |i: usize| op.start + i as f64 * op.step;
    for_number!(y.dtype, "arange", T => {
        let (y, mut i) = (y.of::<T>(), 0);
        runs([y.layout], |[at], [step], n| {
            for j in 0..n {
                y.data[at + j * step] = make(op.dtype == DType::F16, value(i));
                i += 1;
            }
        });
    });
    Ok(())
}
