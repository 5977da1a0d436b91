//! Maxima and means of windows over height and width.

use super::{
    number::{Float, Number, for_float},
    operand::{Dst, In, Out, Src},
    parallel,
};
use crate::{
    Layout, Result,
    ops::pool::{Averages, AvgPool, AvgPoolBackward, MaxPool, MaxPoolBackward, Pool2dOptions},
};
use std::ops::Range;

/// The elements of an axis that window `i` shows.
fn window(options: &Pool2dOptions, axis: usize, i: usize, size: usize) -> Range<usize> {
    let start = i * options.stride[axis];
    let end = start + options.kernel[axis];
    let inside = |at: usize| at.saturating_sub(options.padding[axis]).min(size);
    inside(start)..inside(end)
}

/// The same for averages, and what the axis contributes to the divisor.
fn averaged(
    averages: &Averages,
    axis: usize,
    i: usize,
    size: usize,
    of: usize,
) -> (Range<usize>, usize) {
    match averages {
        Averages::Adaptive(_) => {
            let range = i * size / of..((i + 1) * size).div_ceil(of);
            (range.clone(), range.len())
        }
        Averages::Sliding(options) => {
            let range = window(options, axis, i, size);
            let all = options.count_include_pad;
            (range.clone(), if all { options.kernel[axis] } else { range.len() })
        }
    }
}

/// Calls `work(first element of x's plane, plane of y, what lies beside it)` for each image and channel, y being
/// contiguous.
fn planes<T: Send, B: Send>(
    x: &Layout,
    y: &mut [T],
    area: usize,
    mut beside: impl FnMut() -> B,
    work: impl Fn(usize, &mut [T], B) + Sync,
) {
    let channels = x.shape[1];
    let size = x.shape[2] * x.shape[3] + area;
    let parts = y.chunks_exact_mut(area.max(1)).enumerate();
    let tasks: Vec<_> = parts.map(|(i, y)| (i, y, beside())).collect();
    let threads = parallel::threads(size.saturating_mul(tasks.len()));
    parallel::run(threads, tasks, |(i, y, beside)| {
        let (n, c) = (i / channels, i % channels);
        work(x.offset + n * x.strides[0] + c * x.strides[1], y, beside);
    });
}

pub(super) fn max(
    op: &MaxPool,
    x: &In<'_>,
    y: &mut Out<'_>,
    index: Option<&mut Out<'_>>,
) -> Result<()> {
    let mut index = index.map(|index| index.of::<u32>());
    let index = index.as_mut().map(Dst::elements_mut);
    for_float!(x.dtype, "max_pool2d", T => max_of::<T>(&op.options, x.of(), y.of(), index));
    Ok(())
}

fn max_of<T: Float>(
    options: &Pool2dOptions,
    x: Src<'_, T>,
    mut y: Dst<'_, T>,
    index: Option<&mut [u32]>,
) {
    let [h, w] = [x.layout.shape[2], x.layout.shape[3]];
    let [oh, ow] = [y.layout.shape[2], y.layout.shape[3]];
    let [down, across] = [x.layout.strides[2], x.layout.strides[3]];
    let mut index = index.map(|index| index.chunks_exact_mut((oh * ow).max(1)));
    let beside = || index.as_mut().and_then(Iterator::next);
    planes(&x.layout, y.elements_mut(), oh * ow, beside, |start, plane, mut index| {
        for (i, y) in plane.iter_mut().enumerate() {
            let (rows, columns) = (window(options, 0, i / ow, h), window(options, 1, i % ow, w));
            let mut found: Option<(T, usize)> = None;
            for iy in rows {
                for ix in columns.clone() {
                    let value = x.data[start + iy * down + ix * across];
                    let larger = |most: T| value > most || (value.is_nan() && !most.is_nan());
                    if found.is_none_or(|(most, _)| larger(most)) {
                        found = Some((value, iy * w + ix));
                    }
                }
            }
            let Some((value, place)) = found else { continue };
            *y = value;
            if let Some(index) = index.as_mut().and_then(|index| index.get_mut(i)) {
                *index = place as u32; // a plane has fewer places than u32 counts
            }
        }
    });
}

pub(super) fn max_backward(
    op: &MaxPoolBackward,
    dy: &In<'_>,
    index: &In<'_>,
    dx: &mut Out<'_>,
) -> Result<()> {
    let index = index.of::<u32>().elements();
    for_float!(dy.dtype, "max_pool2d_backward", T => {
        let (dy, mut dx) = (dy.of::<T>().elements(), dx.of::<T>());
        dx.fill(0.0);
        let (area, plane) = (dy.len(), op.size[0] * op.size[1]);
        let planes = dx.elements_mut().chunks_exact_mut(plane.max(1));
        let windows = area / planes.len().max(1);
        for ((dx, dy), index) in planes.zip(dy.chunks(windows.max(1))).zip(index.chunks(windows.max(1))) {
            for (&dy, &at) in dy.iter().zip(index) {
                if let Some(dx) = dx.get_mut(at as usize) {
                    *dx += dy;
                }
            }
        }
    });
    Ok(())
}

pub(super) fn average(op: &AvgPool, x: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    for_float!(x.dtype, "avg_pool2d", T => {
        let (x, mut y) = (x.of::<T>(), y.of::<T>());
        let [h, w] = [x.layout.shape[2], x.layout.shape[3]];
        let [oh, ow] = [y.layout.shape[2], y.layout.shape[3]];
        let [down, across] = [x.layout.strides[2], x.layout.strides[3]];
        planes(&x.layout, y.elements_mut(), oh * ow, || (), |start, plane, ()| {
            for (i, y) in plane.iter_mut().enumerate() {
                let (rows, a) = averaged(&op.0, 0, i / ow, h, oh);
                let (columns, b) = averaged(&op.0, 1, i % ow, w, ow);
                let mut sum = 0.0;
                for iy in rows {
                    for ix in columns.clone() {
                        sum += Number::to_f64(x.data[start + iy * down + ix * across]);
                    }
                }
                *y = (sum / (a * b) as f64) as T;
            }
        });
    });
    Ok(())
}

pub(super) fn average_backward(op: &AvgPoolBackward, dy: &In<'_>, dx: &mut Out<'_>) -> Result<()> {
    for_float!(dy.dtype, "avg_pool2d_backward", T => {
        let (dy, mut dx) = (dy.of::<T>(), dx.of::<T>());
        let ([h, w], [oh, ow]) = (op.size, [dy.layout.shape[2], dy.layout.shape[3]]);
        let [down, across] = [dy.layout.strides[2], dy.layout.strides[3]];
        planes(&dy.layout, dx.elements_mut(), h * w, || (), |start, plane, ()| {
            plane.fill(0.0);
            for o in 0..oh * ow {
                let (rows, a) = averaged(&op.averages, 0, o / ow, h, oh);
                let (columns, b) = averaged(&op.averages, 1, o % ow, w, ow);
                let share = dy.data[start + o / ow * down + o % ow * across] / (a * b) as T;
                for iy in rows {
                    plane[iy * w..][..w][columns.clone()].iter_mut().for_each(|dx| *dx += share);
                }
            }
        });
    });
    Ok(())
}
