//! Softmax over what a row sees, and its gradient.

use super::{
    number::{Float, Number, for_float},
    operand::{Dst, In, Out, Src, each, select_axes},
    parallel,
    simd::vectorized,
    softmax::{largest, total},
};
use crate::{
    Layout, Result,
    ops::masked_softmax::{MaskedSoftmax, MaskedSoftmaxBackward},
};

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
            let reach = op.reach(row % queries, queries, keys);
            let seen = |j: usize| {
                let step = |mask: Src<'_, u32>| mask.data[mask_at + j * mask.layout.strides[last]];
                j < reach && mask.is_none_or(|mask| step(mask) != 0)
            };
            let step = x.layout.strides[last];
            match (mask, step) {
                (None, 1) => {
                    let (near, far) = y.split_at_mut(reach);
                    let x = &x.data[at..at + reach];
                    vectorized(|| near.iter_mut().zip(x).for_each(|(y, &x)| *y = x * scale));
                    far.fill(T::LOWEST);
                }
                _ => for (j, y) in y.iter_mut().enumerate() {
                    *y = if seen(j) { x.data[at + j * step] * scale } else { T::LOWEST };
                }
            }
            let top = vectorized(|| largest(y));
            if top == T::LOWEST {
                return y.fill(T::ZERO);
            }
            vectorized(|| {
                y.iter_mut().for_each(|y| *y = (*y - top).exp());
                let sum = T::from_f64(total(y));
                y.iter_mut().for_each(|y| *y /= sum);
            });
            if !top.to_f64().is_finite() {
                // NaN only where the row sees something.
                y.iter_mut().enumerate().filter(|(j, _)| !seen(*j)).for_each(|(_, y)| *y = T::ZERO);
            }
        });
    });
    Ok(())
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
        let last = y.layout.shape.rank() - 1;
        let steps = [y, dy].map(|x| x.layout.strides[last]);
        rows(dx.of(), |row, dx| {
            let [y_at, dy_at] = starts[row];
            let pair = |j: usize| {
                let y = y.data[y_at + j * steps[0]];
                (y != T::ZERO).then(|| (y.to_f64(), dy.data[dy_at + j * steps[1]].to_f64()))
            };
            let sum: f64 = (0..dx.len()).filter_map(pair).map(|(y, dy)| y * dy).sum();
            for (j, dx) in dx.iter_mut().enumerate() {
                *dx = pair(j).map_or(T::ZERO, |(y, dy)| T::from_f64(op.scale * y * (dy - sum)));
            }
        });
    });
    Ok(())
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
