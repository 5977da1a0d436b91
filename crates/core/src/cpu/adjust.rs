//! Work on flat buffers between backward and an optimizer's step.

use super::{
    operand::{In, Out, elements},
    simd::vectorized,
};
use crate::{
    Error, Result,
    ops::adjust::{AdaptScale, Adjust, VectorNorm},
};

fn wrong(op: &'static str) -> Error {
    Error::internal(op, "other operands than the operation has")
}

pub(super) fn adjust(op: &Adjust, ins: &[In<'_>], outs: &mut [Out<'_>]) -> Result<()> {
    match (op, ins, outs) {
        (&Adjust::Mix { keep, add }, [_, y], [x]) => {
            let y = y.of::<f32>().elements();
            let x = elements(x);
            vectorized(|| {
                if keep == 0.0 {
                    x.iter_mut().zip(&*y).for_each(|(x, y)| *x = add * y);
                } else {
                    x.iter_mut().zip(&*y).for_each(|(x, y)| *x = keep * *x + add * y);
                }
            });
        }
        (&Adjust::ClipNorm { max }, [_, norm], [x]) => {
            let norm = norm.of::<f32>().elements().first().copied().unwrap_or(0.0);
            if norm.is_finite() && norm > max {
                // In f64, since the factor may be too small for f32 where the result is not.
                let factor = f64::from(max) / f64::from(norm);
                let x = elements::<f32>(x);
                vectorized(|| {
                    x.iter_mut().for_each(|x| *x = (f64::from(*x) * factor) as f32);
                });
            }
        }
        (&Adjust::ClipValue { max }, [_], [x]) => {
            let clip = |x: &mut f32| {
                if *x > max {
                    *x = max;
                } else if *x < -max {
                    *x = -max;
                }
            };
            elements(x).iter_mut().for_each(clip);
        }
        (Adjust::Unscale, [_, scale, _], [x, flags]) => {
            let inverse = scale.of::<f32>().elements().get(1).copied().unwrap_or(1.0);
            let mut found = 0;
            for x in elements::<f32>(x) {
                found |= u32::from(x.is_infinite()) | u32::from(x.is_nan()) << 1;
                *x *= inverse;
            }
            if let Some(first) = elements::<u32>(flags).first_mut() {
                *first |= found;
            }
        }
        _ => return Err(wrong("adjust")),
    }
    Ok(())
}

pub(super) fn norm(_: &VectorNorm, x: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    // In f64 no square of an f32 overflows.
    let square = |x: &f32| f64::from(*x) * f64::from(*x);
    let parts: Vec<f64> =
        x.of::<f32>().elements().chunks(1024).map(|part| part.iter().map(square).sum()).collect();
    if let Some(y) = elements(y).first_mut() {
        *y = parts.iter().sum::<f64>().sqrt() as f32;
    }
    Ok(())
}

pub(super) fn adapt_scale(op: &AdaptScale, scale: &mut Out<'_>, flags: &mut Out<'_>) -> Result<()> {
    let [scale, inverse, good, skipped, with_nan, at_floor, ..] = elements::<f32>(scale) else {
        return Err(wrong("adapt_scale"));
    };
    let Some(found) = elements::<u32>(flags).first_mut() else { return Err(wrong("adapt_scale")) };
    if *found == 0 {
        *good += 1.0;
        if *good >= op.interval as f32 {
            *good = 0.0;
            if *scale < AdaptScale::CEILING {
                *scale *= 2.0;
                *inverse *= 0.5;
            }
        }
    } else {
        *good = 0.0;
        *skipped += 1.0;
        *with_nan += if *found & 2 != 0 { 1.0 } else { 0.0 };
        if *scale > op.floor {
            *scale *= 0.5;
            *inverse *= 2.0;
        } else {
            *at_floor += 1.0;
        }
    }
    *found = 0;
    Ok(())
}
