//! Softmax over what a row sees, and its gradient.

use super::{
    lanes::{largest, total},
    number::{Float, Number, for_float},
    operand::{Dst, In, Out, Src, each, select_axes},
    parallel,
    simd::for_levels,
};
use crate::{
    Layout, Result,
    ops::masked_softmax::{MaskedSoftmax, MaskedSoftmaxBackward},
};
use std::borrow::Cow;

pub(super) fn forward(
    op: &MaskedSoftmax,
    x: &In<'_>,
    mask: Option<&In<'_>>,
    y: &mut Out<'_>,
) -> Result<()> {
    let shape = y.layout.shape;
    let last = shape.rank() - 1;
    let (queries, keys) = (shape[last - 1], shape[last]);
    let mask = mask.map(|mask| Src { layout: mask.layout.stretched(shape), ..mask.of::<u32>() });
    for_float!(x.dtype, "masked_softmax", T => {
        let x = x.of::<T>();
        let scale = T::from_f64(op.scale);
        let starts = starts([x.layout, mask.map_or(x.layout, |mask| mask.layout)]);
        rows(y.of(), |row, y| {
            let [at, mask_at] = starts[row];
            let (near, far) = y.split_at_mut(op.reach(row % queries, queries, keys));
            far.fill(0.0);
            let reach = near.len();
            let mask = mask.map(|mask| along(mask, mask_at, reach));
            let x = along(x, at, reach);
            match &mask {
                None => take_all(&x, scale, near),
                Some(mask) => take_seen(&x, mask, scale, near),
            }
            let top = share(near);
            if !top.is_finite() {
                // NaN only where the row sees something.
                for (j, y) in near.iter_mut().enumerate() {
                    if mask.as_ref().is_some_and(|mask| mask[j] == 0) {
                        *y = 0.0;
                    }
                }
            }
        });
    });
    Ok(())
}

for_levels! {
    fn take_all<T: Float>(x: &[T], scale: T, y: &mut [T]) {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = x * scale);
    }
}

for_levels! {
    /// `x · scale` where the mask is not 0, and −∞ elsewhere.
    fn take_seen<T: Float>(x: &[T], mask: &[u32], scale: T, y: &mut [T]) {
        for (y, (&x, &seen)) in y.iter_mut().zip(x.iter().zip(mask)) {
            let scaled = x * scale;
            *y = if seen == 0 { T::LOWEST } else { scaled };
        }
    }
}

for_levels! {
    /// The softmax of a row in place, and what was its largest element; of only −∞ it is 0 everywhere.
    fn share<T: Float>(y: &mut [T]) -> T {
        let top = largest(y);
        if top == T::LOWEST {
            y.fill(T::ZERO);
            return top;
        }
        y.iter_mut().for_each(|y| *y = (*y - top).exp());
        let inverse = T::from_f64(1.0 / total(y, y, |&y, _| y));
        y.iter_mut().for_each(|y| *y = *y * inverse);
        top
    }
}

pub(super) fn backward(
    op: &MaskedSoftmaxBackward,
    y: &In<'_>,
    dy: &In<'_>,
    dx: &mut Out<'_>,
) -> Result<()> {
    for_float!(y.dtype, "masked_softmax", T => {
        let (y, dy) = (y.of::<T>(), dy.of::<T>());
        let starts = starts([y.layout, dy.layout]);
        let scale = T::from_f64(op.scale);
        rows(dx.of(), |row, dx| {
            let [y_at, dy_at] = starts[row];
            let (y, dy) = (along(y, y_at, dx.len()), along(dy, dy_at, dx.len()));
            backward_row(scale, &y, &dy, dx);
        });
    });
    Ok(())
}

for_levels! {
    /// What has no weight is left out rather than multiplied: `dy` may be NaN there.
    fn backward_row<T: Float>(scale: T, y: &[T], dy: &[T], dx: &mut [T]) {
        let unless_masked = |y: T, x: T| if y == T::ZERO { T::ZERO } else { x };
        let sum = T::from_f64(total(y, dy, |&y, &dy| unless_masked(y, y * dy)));
        for (dx, (&y, &dy)) in dx.iter_mut().zip(y.iter().zip(dy)) {
            *dx = unless_masked(y, scale * y * (dy - sum));
        }
    }
}

/// Elements along the last axis from place `at` on; copied only where they do not lie side by side.
fn along<T: Copy>(x: Src<'_, T>, at: usize, count: usize) -> Cow<'_, [T]> {
    match x.layout.strides.last() {
        Some(1) => Cow::Borrowed(&x.data[at..at + count]),
        step => {
            let step = step.copied().unwrap_or(0);
            Cow::Owned((0..count).map(|j| x.data[at + j * step]).collect())
        }
    }
}

/// Where the rows of views of equal shape begin, in row-major order.
fn starts<const N: usize>(views: [Layout; N]) -> Vec<[usize; N]> {
    let mut all = Vec::new();
    each(views.map(|view| select_axes(&view, |axis| axis + 1 < view.shape.rank())), |at| {
        all.push(at);
    });
    all
}

/// Calls `work` with the number of each row and the row, on several threads where that pays.
fn rows<T: Float>(y: Dst<'_, T>, work: impl Fn(usize, &mut [T]) + Sync) {
    let whole = y.layout;
    let Some((&cols, _)) = whole.shape.split_last() else { return };
    if whole.numel() == 0 {
        return;
    }
    if whole.is_contiguous() {
        let threads = parallel::threads(whole.numel());
        let height = (whole.numel() / cols).div_ceil(threads * 4);
        let end = whole.offset + whole.numel();
        let data = y.data.get_mut(whole.offset..end).unwrap_or(&mut []);
        let parts = data.chunks_mut(height * cols).enumerate().collect();
        return parallel::run(threads, parts, |(part, data)| {
            for (i, row) in data.chunks_exact_mut(cols).enumerate() {
                work(part * height + i, row);
            }
        });
    }
    let mut row = vec![T::ZERO; cols];
    let step = whole.strides[whole.shape.rank() - 1];
    for (i, [at]) in starts([whole]).into_iter().enumerate() {
        work(i, &mut row);
        for (j, &value) in row.iter().enumerate() {
            y.data[at + j * step] = value;
        }
    }
}
