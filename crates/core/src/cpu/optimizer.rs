//! One step of an optimizer, in place, in f32. What a step changes arrives as contiguous outputs.

use super::{
    operand::{Dst, In, Out},
    parallel,
    simd::vectorized,
};
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
    let mut v = v.map(Out::of::<f32>);
    let nesterov = op.nesterov;
    match v.as_mut().map(Dst::elements_mut) {
        None => pieces([p.elements_mut()], &g, |[p], g| {
            p.iter_mut().zip(g).for_each(|(p, &g)| *p -= rate * (g + decay * *p));
        }),
        Some(v) => pieces([p.elements_mut(), v], &g, |[p, v], g| {
            for ((p, &g), v) in p.iter_mut().zip(g).zip(v) {
                let g = g + decay * *p;
                *v = momentum * *v + g;
                *p -= rate * if nesterov { g + momentum * *v } else { *v };
            }
        }),
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
    let decoupled = op.decoupled;
    let changed = [p.elements_mut(), m.elements_mut(), v.elements_mut()];
    pieces(changed, &g, |[p, m, v], g| {
        for ((p, &g), (m, v)) in p.iter_mut().zip(g).zip(m.iter_mut().zip(v)) {
            let g = if decoupled {
                *p -= rate * decay * *p;
                g
            } else {
                g + decay * *p
            };
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * (g * g);
            *p -= rate * (*m / correction1) / ((*v / correction2).sqrt() + eps);
        }
    });
    Ok(())
}

/// Elements that a thread takes at once.
const PIECE: usize = 1 << 16;

/// Does something with lists of equal length, piece by piece.
fn pieces<const N: usize>(
    mut changed: [&mut [f32]; N],
    g: &[f32],
    work: impl Fn([&mut [f32]; N], &[f32]) + Sync,
) {
    let tasks = g.chunks(PIECE).map(|g| {
        let piece = changed.each_mut().map(|x| x.split_off_mut(..g.len()).unwrap_or_default());
        (piece, g)
    });
    let tasks = tasks.collect();
    parallel::run(parallel::threads(g.len()), tasks, |(changed, g)| {
        vectorized(|| work(changed, g));
    });
}

#[cfg(test)]
mod tests {
    use super::pieces;

    /// About one piece, several, and so many that threads share them.
    #[test]
    fn pieces_meet_each_element_once_beside_its_neighbours() {
        for count in [0, 1, 65_535, 65_536, 65_537, 131_071, 600_011] {
            let g: Vec<f32> = (0..count).map(|i| i as f32).collect();
            let (mut p, mut v) = (vec![1.0; count], g.clone());
            pieces([&mut p, &mut v], &g, |[p, v], g| {
                for ((p, v), g) in p.iter_mut().zip(v).zip(g) {
                    *p += g;
                    *v -= g;
                }
            });
            let right = p.iter().zip(&g).all(|(p, g)| *p == 1.0 + g);
            assert!(right && v.iter().all(|v| *v == 0.0), "{count}");
        }
    }
}
