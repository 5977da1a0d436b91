//! Layer norm and RMS norm along the last axis, their gradients; everything in f64, rounded once.

use super::{
    number::{Float, Number, for_float},
    operand::{In, Out},
    parallel,
    simd::vectorized,
};
use crate::{
    Result,
    ops::norm::{Norm, NormBackward, NormSums},
};

/// Running sums side by side, so that none waits for the one before.
const LANES: usize = 16;

/// Σ f(a, b) over two rows of equal length.
#[inline(always)]
fn total<T: Float>(a: &[T], b: &[T], f: impl Fn(f64, f64) -> f64) -> f64 {
    let of = |a: &T, b: &T| f(a.to_f64(), b.to_f64());
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *sum += of(a, b);
        }
    }
    let rest = rest_a.iter().zip(rest_b).map(|(a, b)| of(a, b));
    lanes.iter().sum::<f64>() + rest.sum::<f64>()
}

/// What is taken off an element beside the distance of the mean: the row's first element, if centred.
fn pivot<T: Float>(x: &[T], centred: bool) -> f64 {
    if centred { x.first().map_or(0.0, |x| x.to_f64()) } else { 0.0 }
}

/// Element `i` of a vector, or `other` if there is none.
fn at<T: Float>(v: Option<&[T]>, i: usize, other: f64) -> f64 {
    v.and_then(|v| v.get(i)).map_or(other, |v| v.to_f64())
}

pub(super) fn forward(
    op: &Norm,
    ins: &[In<'_>],
    y: &mut Out<'_>,
    statistics: &mut Out<'_>,
) -> Result<()> {
    let [x, vectors @ ..] = ins else { return Ok(()) };
    let cols = x.layout.shape.last().copied().unwrap_or(1).max(1);
    for_float!(x.dtype, "norm", T => {
        let x = x.of::<T>().elements();
        let mut vectors = vectors.iter().map(|v| v.of::<T>().elements());
        let gamma = if op.scaled { vectors.next() } else { None };
        let beta = if op.shifted { vectors.next() } else { None };
        let (gamma, beta) = (gamma.as_deref(), beta.as_deref());
        let (mut y, mut statistics) = (y.of::<T>(), statistics.of::<T>());
        let rows = y.elements_mut().chunks_mut(cols).zip(statistics.elements_mut().chunks_mut(2));
        let tasks: Vec<_> = x.chunks(cols).zip(rows).collect();
        parallel::run(parallel::threads(x.len()), tasks, |(x, (y, statistics))| {
            vectorized(|| {
                let base = pivot(x, op.centred);
                let count = cols as f64;
                // Rounded before they are used, so that backward sees the same.
                let shift = match op.centred {
                    true => T::from_f64(total(x, x, |x, _| x - base) / count).to_f64(),
                    false => 0.0,
                };
                let square = |x: f64, _| ((x - base) - shift) * ((x - base) - shift);
                let variance = total(x, x, square) / count;
                let scale = T::from_f64(1.0 / (variance + op.eps).sqrt());
                for (j, (y, x)) in y.iter_mut().zip(x).enumerate() {
                    let normal = (x.to_f64() - base - shift) * scale.to_f64();
                    *y = T::from_f64(normal * at(gamma, j, 1.0) + at(beta, j, 0.0));
                }
                statistics.iter_mut().zip([T::from_f64(shift), scale]).for_each(|(s, x)| *s = x);
            });
        });
    });
    Ok(())
}

pub(super) fn backward(
    op: &NormBackward,
    [dy, x, statistics]: [&In<'_>; 3],
    gamma: Option<&In<'_>>,
    dx: &mut Out<'_>,
) -> Result<()> {
    let cols = x.layout.shape.last().copied().unwrap_or(1).max(1);
    for_float!(x.dtype, "norm", T => {
        let (dy, x) = (dy.of::<T>().elements(), x.of::<T>().elements());
        let statistics = statistics.of::<T>().elements();
        let gamma = gamma.map(|v| v.of::<T>().elements());
        let gamma = gamma.as_deref();
        let mut dx = dx.of::<T>();
        let rows = x.chunks(cols).zip(dy.chunks(cols)).zip(statistics.chunks(2));
        let tasks: Vec<_> = rows.zip(dx.elements_mut().chunks_mut(cols)).collect();
        parallel::run(parallel::threads(x.len()), tasks, |(((x, dy), statistics), dx)| {
            let base = pivot(x, op.centred);
            let (shift, scale) = (at(Some(statistics), 0, 0.0), at(Some(statistics), 1, 0.0));
            let normal = |x: f64| (x - base - shift) * scale;
            let (mut mean, mut along) = (0.0, 0.0);
            for (j, (x, dy)) in x.iter().zip(dy).enumerate() {
                let g = dy.to_f64() * at(gamma, j, 1.0);
                mean += g;
                along += g * normal(x.to_f64());
            }
            let count = cols as f64;
            let (mean, along) = (if op.centred { mean / count } else { 0.0 }, along / count);
            for (j, (dx, (x, dy))) in dx.iter_mut().zip(x.iter().zip(dy)).enumerate() {
                let g = dy.to_f64() * at(gamma, j, 1.0);
                *dx = T::from_f64(scale * (g - mean - normal(x.to_f64()) * along));
            }
        });
    });
    Ok(())
}

/// Columns that a thread sums at once.
const STRIP: usize = 64;

pub(super) fn sums(
    op: &NormSums,
    [dy, x, statistics]: [&In<'_>; 3],
    out: &mut Out<'_>,
) -> Result<()> {
    let cols = x.layout.shape.last().copied().unwrap_or(1).max(1);
    for_float!(x.dtype, "norm", T => {
        let (dy, x) = (dy.of::<T>().elements(), x.of::<T>().elements());
        let statistics = statistics.of::<T>().elements();
        let mut out = out.of::<T>();
        let (gamma, beta) = out.elements_mut().split_at_mut(cols);
        let strips = gamma.chunks_mut(STRIP).zip(beta.chunks_mut(STRIP));
        let tasks: Vec<_> = (0..cols).step_by(STRIP).zip(strips).collect();
        parallel::run(parallel::threads(x.len()), tasks, |(first, (gamma, beta))| {
            let mut sums = [[0.0; STRIP]; 2];
            let rows = x.chunks(cols).zip(dy.chunks(cols)).zip(statistics.chunks(2));
            for ((x, dy), statistics) in rows {
                let base = pivot(x, op.centred);
                let (shift, scale) = (at(Some(statistics), 0, 0.0), at(Some(statistics), 1, 0.0));
                let strip = first..cols.min(first + STRIP);
                let (x, dy) = (&x[strip.clone()], &dy[strip]);
                let [along, plain] = &mut sums;
                for ((along, plain), (x, dy)) in along.iter_mut().zip(plain).zip(x.iter().zip(dy)) {
                    *along += dy.to_f64() * (x.to_f64() - base - shift) * scale;
                    *plain += dy.to_f64();
                }
            }
            let [along, plain] = sums;
            gamma.iter_mut().zip(along).for_each(|(to, sum)| *to = T::from_f64(sum));
            beta.iter_mut().zip(plain).for_each(|(to, sum)| *to = T::from_f64(sum));
        });
    });
    Ok(())
}
