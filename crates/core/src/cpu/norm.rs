//! Layer norm and RMS norm along the last axis, their gradients. Each element is computed in its own type,
//! beside the row's first one, so that a common offset costs no digits; squares and long sums in f64.

use super::{
    lanes::total,
    number::{Float, Number, for_float},
    operand::{In, Out, Src},
    parallel,
    simd::for_levels,
};
use crate::{
    Result,
    ops::norm::{Norm, NormBackward, NormSums},
};
use std::borrow::Cow;

/// Elements that a thread takes at once, roughly.
const PIECE: usize = 1 << 14;

/// What normalises a row: `(x - pivot - shift) · scale`.
#[derive(Clone, Copy)]
struct Normal<T> {
    /// The row's first element, or 0 if the mean is not taken off.
    pivot: T,
    shift: T,
    scale: T,
}

impl<T: Float> Normal<T> {
    /// As the statistics of a row say.
    #[inline(always)]
    fn of(x: &[T], statistics: &[T], centred: bool) -> Self {
        let pivot = if centred { first(x) } else { T::ZERO };
        let [shift, scale] = [0, 1].map(|i| statistics.get(i).copied().unwrap_or(T::ZERO));
        Self { pivot, shift, scale }
    }

    #[inline(always)]
    fn at(self, x: T) -> T {
        (x - self.pivot - self.shift) * self.scale
    }
}

#[inline(always)]
fn first<T: Float>(x: &[T]) -> T {
    x.first().copied().unwrap_or(T::ZERO)
}

/// A vector beside the columns; one of `other` if there is none.
fn vector<'a, T: Float>(v: Option<Src<'a, T>>, cols: usize, other: T) -> Cow<'a, [T]> {
    v.map_or_else(|| Cow::Owned(vec![other; cols]), |v| v.elements())
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
        let mut vectors = vectors.iter().map(In::of::<T>);
        let gamma = vector(if op.scaled { vectors.next() } else { None }, cols, 1.0);
        let beta = vector(if op.shifted { vectors.next() } else { None }, cols, 0.0);
        let (mut y, mut statistics) = (y.of::<T>(), statistics.of::<T>());
        let height = (PIECE / cols).max(1);
        let out = y.elements_mut().chunks_mut(cols * height);
        let out = out.zip(statistics.elements_mut().chunks_mut(2 * height));
        let tasks: Vec<_> = x.chunks(cols * height).zip(out).collect();
        parallel::run(parallel::threads(x.len()), tasks, |(x, (y, statistics))| {
            let out = y.chunks_mut(cols).zip(statistics.chunks_mut(2));
            for (x, (y, statistics)) in x.chunks(cols).zip(out) {
                forward_row(op, x, [&gamma, &beta], y, statistics);
            }
        });
    });
    Ok(())
}

for_levels! {
    fn forward_row<T: Float>(
        op: &Norm,
        x: &[T],
        vectors: [&[T]; 2],
        y: &mut [T],
        statistics: &mut [T],
    ) {
        let ([gamma, beta], count) = (vectors, x.len() as f64);
        let mut normal = Normal::of(x, &[], op.centred);
        let pivot = normal.pivot;
        if op.centred {
            // Rounded before it is used, so that backward sees the same.
            normal.shift = T::from_f64(total(x, x, |&x, _| x - pivot) / count);
        }
        let shift = normal.shift;
        let square = |&x: &T, _: &T| {
            let away = (x - pivot - shift).to_f64();
            away * away
        };
        let variance = total(x, x, square) / count;
        normal.scale = T::from_f64(1.0 / (variance + op.eps).sqrt());
        for ((y, &x), (&gamma, &beta)) in y.iter_mut().zip(x).zip(gamma.iter().zip(beta)) {
            *y = normal.at(x) * gamma + beta;
        }
        statistics.iter_mut().zip([normal.shift, normal.scale]).for_each(|(to, x)| *to = x);
    }
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
        let gamma = vector(gamma.map(In::of::<T>), cols, 1.0);
        let mut dx = dx.of::<T>();
        let height = (PIECE / cols).max(1);
        let many = cols * height;
        let ins = x.chunks(many).zip(dy.chunks(many)).zip(statistics.chunks(2 * height));
        let tasks: Vec<_> = ins.zip(dx.elements_mut().chunks_mut(many)).collect();
        parallel::run(parallel::threads(x.len()), tasks, |(((x, dy), statistics), dx)| {
            let rows = x.chunks(cols).zip(dy.chunks(cols)).zip(statistics.chunks(2));
            for (((x, dy), statistics), dx) in rows.zip(dx.chunks_mut(cols)) {
                let normal = Normal::of(x, statistics, op.centred);
                backward_row(normal, op.centred, [x, dy, &gamma], dx);
            }
        });
    });
    Ok(())
}

for_levels! {
    fn backward_row<T: Float>(
        normal: Normal<T>,
        centred: bool,
        ins: [&[T]; 3],
        dx: &mut [T],
    ) {
        let [x, dy, gamma] = ins;
        let count = x.len() as f64;
        // dx holds dy · gamma for now.
        dx.iter_mut().zip(dy.iter().zip(gamma)).for_each(|(g, (&dy, &gamma))| *g = dy * gamma);
        let mean = if centred { total(dx, dx, |&g, _| g) / count } else { 0.0 };
        let along = total(dx, x, |&g, &x| g * normal.at(x)) / count;
        let (mean, along) = (T::from_f64(mean), T::from_f64(along));
        for (dx, &x) in dx.iter_mut().zip(x) {
            *dx = normal.scale * (*dx - mean - normal.at(x) * along);
        }
    }
}

/// Columns that a thread sums at once.
const STRIP: usize = 128;
/// Rows after which sums go on in f64.
const DEPTH: usize = 32;

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
            let strip = first..cols.min(first + STRIP);
            let mut sums = [[0.0; STRIP]; 2];
            let blocks = x.chunks(cols * DEPTH).zip(dy.chunks(cols * DEPTH));
            for ((x, dy), statistics) in blocks.zip(statistics.chunks(2 * DEPTH)) {
                let mut part = [[T::ZERO; STRIP]; 2];
                let rows = x.chunks(cols).zip(dy.chunks(cols)).zip(statistics.chunks(2));
                for ((x, dy), statistics) in rows {
                    let normal = Normal::of(x, statistics, op.centred);
                    let (x, dy) = (&x[strip.clone()], &dy[strip.clone()]);
                    add_row(normal, x, dy, &mut part);
                }
                for (sum, part) in sums.as_flattened_mut().iter_mut().zip(part.as_flattened()) {
                    *sum += Number::to_f64(*part);
                }
            }
            let [along, plain] = sums;
            gamma.iter_mut().zip(along).for_each(|(to, sum)| *to = T::from_f64(sum));
            beta.iter_mut().zip(plain).for_each(|(to, sum)| *to = T::from_f64(sum));
        });
    });
    Ok(())
}

for_levels! {
    /// Adds a row's `dy · normal` and `dy` to the sums of their columns.
    fn add_row<T: Float>(
        normal: Normal<T>,
        x: &[T],
        dy: &[T],
        sums: &mut [[T; STRIP]; 2],
    ) {
        let [along, plain] = sums;
        for ((along, plain), (&x, &dy)) in along.iter_mut().zip(plain).zip(x.iter().zip(dy)) {
            *along = *along + dy * normal.at(x);
            *plain = *plain + dy;
        }
    }
}
