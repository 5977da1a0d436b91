//! One step of an optimizer, in place, in f32. What a step changes arrives as contiguous outputs.

use super::operand::{In, Out};
use crate::{
    Error, Result,
    ops::optimizer::{Adam, Sgd},
};

/// `hyper = [rate, momentum, decay]`
pub(super) fn sgd(
    op: &Sgd,
    g: &In<'_>,
    hyper: &In<'_>,
    p: &mut Out<'_>,
    v: Option<&mut Out<'_>>,
) -> Result<()> {
    let (g, hyper) = (g.of::<f32>().elements(), hyper.of::<f32>().elements());
    let &[rate, momentum, decay] = &hyper[..] else {
        return Err(Error::internal("sgd", "takes three numbers"));
    };
    let mut p = p.of::<f32>();
    let pairs = p.elements_mut().iter_mut().zip(&*g);
    match v {
        None => pairs.for_each(|(p, &g)| *p -= rate * (g + decay * *p)),
        Some(v) => {
            let mut v = v.of::<f32>();
            for ((p, &g), v) in pairs.zip(v.elements_mut()) {
                let g = g + decay * *p;
                *v = momentum * *v + g;
                *p -= rate * if op.nesterov { g + momentum * *v } else { *v };
            }
        }
    }
    Ok(())
}

/// `hyper = [rate, β₁, β₂, ε, decay, t, 1−β₁, 1−β₂, ln β₁, ln β₂]`
pub(super) fn adam(
    op: &Adam,
    g: &In<'_>,
    hyper: &mut Out<'_>,
    p: &mut Out<'_>,
    m: &mut Out<'_>,
    v: &mut Out<'_>,
) -> Result<()> {
    let mut hyper = hyper.of::<f32>();
    let &mut [rate, beta1, beta2, eps, decay, ref mut t, rest1, rest2, ln1, ln2] =
        hyper.elements_mut()
    else {
        return Err(Error::internal("adam", "takes ten numbers"));
    };
    *t += 1.0;
    // 1 - βᵗ, which rounding would spoil for small t.
    let correction = |ln: f32| -f64::exp_m1(f64::from(*t) * f64::from(ln)) as f32;
    let (correction1, correction2) = (correction(ln1), correction(ln2));
    let g = g.of::<f32>().elements();
    let (mut p, mut m, mut v) = (p.of::<f32>(), m.of::<f32>(), v.of::<f32>());
    let moments = m.elements_mut().iter_mut().zip(v.elements_mut());
    for ((p, &g), (m, v)) in p.elements_mut().iter_mut().zip(&*g).zip(moments) {
        let g = if op.decoupled {
            *p -= rate * decay * *p;
            g
        } else {
            g + decay * *p
        };
        *m = beta1 * *m + rest1 * g;
        *v = beta2 * *v + rest2 * (g * g);
        *p -= rate * (*m / correction1) / ((*v / correction2).sqrt() + eps);
    }
    Ok(())
}
