//! Softmax and its logarithm along one axis.

use super::{
    lanes::{largest, total},
    number::{Float, Number, for_float},
    operand::{Dst, In, Out, Src, each, select_axes},
    parallel,
    simd::{for_levels, vectorized},
};
use crate::{
    Layout, Result,
    ops::softmax::{Softmax, SoftmaxBackward},
};

pub(super) fn forward(op: &Softmax, x: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    for_float!(x.dtype, "softmax", T => rows::<T, 1>(op.axis, [x.of()], y.of(), |[x], y| {
        let (max, sum) = exp_row(x, y);
        if op.log {
            // ln Σ eˣ = max + ln sum; the two parts are taken off one by one to keep their digits.
            let rest = T::from_f64(sum.ln());
            vectorized(|| y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - max) - rest));
        } else {
            let inverse = T::from_f64(1.0 / sum);
            vectorized(|| scale(y, inverse));
        }
    }));
    Ok(())
}

#[inline(always)]
fn scale<T: Float>(y: &mut [T], factor: T) {
    y.iter_mut().for_each(|y| *y = *y * factor);
}

for_levels! {
    /// `y = exp(x - max x)`; returns the maximum and the sum. A row with NaN, with +∞ or of only −∞ has
    /// the sum NaN.
    pub(super) fn exp_row<T: Float>(x: &[T], y: &mut [T]) -> (T, f64) {
        let max = largest(x);
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - max).exp());
        (max, total(y, y, |&y, _| y))
    }
}

pub(super) fn backward(
    op: &SoftmaxBackward,
    y: &In<'_>,
    dy: &In<'_>,
    dx: &mut Out<'_>,
) -> Result<()> {
    for_float!(y.dtype, "softmax", T => {
        rows::<T, 2>(op.axis, [y.of(), dy.of()], dx.of(), |[y, dy], dx| {
            match op.log {
                true => log_backward_row(y, dy, dx),
                false => backward_row(y, dy, dx),
            }
        });
    });
    Ok(())
}

for_levels! {
    fn backward_row<T: Float>(y: &[T], dy: &[T], dx: &mut [T]) {
        let sum = T::from_f64(total(y, dy, |&y, &dy| y * dy));
        dx.iter_mut().zip(y.iter().zip(dy)).for_each(|(dx, (&y, &dy))| *dx = y * (dy - sum));
    }
}

for_levels! {
    fn log_backward_row<T: Float>(y: &[T], dy: &[T], dx: &mut [T]) {
        let sum = T::from_f64(total(dy, dy, |&dy, _| dy));
        dx.iter_mut().zip(y.iter().zip(dy)).for_each(|(dx, (y, &dy))| *dx = dy - Float::exp(*y) * sum);
    }
}

/// Calls `f` for each row along `axis`, on several threads where that pays.
fn rows<T: Float, const N: usize>(
    axis: usize,
    ins: [Src<'_, T>; N],
    out: Dst<'_, T>,
    f: impl Fn([&[T]; N], &mut [T]) + Sync,
) {
    let whole = out.layout;
    let threads = parallel::threads(whole.numel());
    if threads == 1 || axis == 0 || !whole.is_contiguous() {
        return rows_here(axis, ins, out, f);
    }
    let size = whole.shape[0];
    let height = size.div_ceil(threads * 4);
    let data = out.data.get_mut(whole.offset..).unwrap_or(&mut []);
    let parts = data.chunks_mut(height * (whole.numel() / size)).zip((0..size).step_by(height));
    let tasks = parts.map(|(data, first)| {
        let part = |layout: Layout| layout.slice(0, first..size.min(first + height), 1);
        let ins = ins.map(|x| Src { layout: part(x.layout), ..x });
        (ins, Dst { data, layout: Layout { offset: 0, ..part(whole) } })
    });
    parallel::run(threads, tasks.collect(), |(ins, out)| rows_here(axis, ins, out, &f));
}

/// The same on this thread; rows that do not lie in one piece are gathered and put back.
fn rows_here<T: Float, const N: usize>(
    axis: usize,
    ins: [Src<'_, T>; N],
    out: Dst<'_, T>,
    f: impl Fn([&[T]; N], &mut [T]),
) {
    let n = out.layout.shape[axis];
    let steps = ins.map(|x| x.layout.strides[axis]);
    let step = out.layout.strides[axis];
    let mut gathered: [Vec<T>; N] = std::array::from_fn(|_| Vec::new());
    let mut result = vec![T::ZERO; n];
    let rest = |x: &Layout| select_axes(x, |a| a != axis);
    let [first, last] = [ins[0], ins[N - 1]].map(|x| rest(&x.layout)); // N is 1 or 2
    each([rest(&out.layout), first, last], |[at, first, last]| {
        let base = |v: usize| if v == 0 { first } else { last };
        for (v, row) in gathered.iter_mut().enumerate().filter(|(v, _)| steps[*v] != 1) {
            row.clear();
            row.extend((0..n).map(|j| ins[v].data[base(v) + j * steps[v]]));
        }
        let row = std::array::from_fn(|v| match steps[v] {
            1 => &ins[v].data[base(v)..base(v) + n],
            _ => &gathered[v][..],
        });
        if step == 1 {
            f(row, &mut out.data[at..at + n]);
        } else {
            f(row, &mut result);
            (0..n).for_each(|j| out.data[at + j * step] = result[j]);
        }
    });
}
