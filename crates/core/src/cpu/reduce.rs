//! Reductions over axes, and positions of extremes.
//!
//! Element i of those reduced into one always goes to lane i mod 8, and the lanes are joined as a tree:
//! the order of a sum depends on shapes only, so a view gives the same bits as its copy.

use super::{
    number::{Number, for_float, for_number, wrapping},
    operand::{Dst, In, Out, Src, runs, runs_of_collapsed, select_axes},
    simd::vectorized,
};
use crate::{
    Error, Layout, Result,
    ops::{
        arg_reduce::ArgReduce,
        reduce::{Reduce, ReduceOp},
    },
};
use bytemuck::Pod;

pub(super) fn reduce(op: &Reduce, x: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    let name = "reduce";
    match op.op {
        ReduceOp::Sum => for_number!(wrapping(x.dtype), name, T => {
            sum::<T>(op, x.of(), y.of(), &T::total);
        }),
        ReduceOp::Mean => for_float!(x.dtype, name, T => {
            let x = x.of::<T>();
            let count = reduced(op, &x.layout).numel() as f64;
            sum::<T>(op, x, y.of(), &|sum| T::total(sum / count));
        }),
        ReduceOp::Max => for_number!(x.dtype, name, T => {
            fold(op, x.of(), y.of(), T::LOWEST, |m, x: T, _| m.larger(x), T::larger, |m| m);
        }),
        ReduceOp::Min => for_number!(x.dtype, name, T => {
            fold(op, x.of(), y.of(), T::HIGHEST, |m, x: T, _| m.smaller(x), T::smaller, |m| m);
        }),
    }
    Ok(())
}

/// A sum and what it is for: compiled once for both.
fn sum<T: Number>(op: &Reduce, x: Src<'_, T>, y: Dst<'_, T>, finish: &dyn Fn(T::Sum) -> T) {
    fold(op, x, y, T::NO_SUM, |s, x: T, _| T::sum(s, x), T::join, finish);
}

pub(super) fn arg_reduce(op: &ArgReduce, x: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    let axes = op.value();
    let name = if op.max { "argmax" } else { "argmin" };
    if i32::try_from(reduced(&axes, &x.layout).numel()).is_err() {
        return Err(Error::size(name, "more than 2^31 elements reduced into one"));
    }
    for_number!(x.dtype, name, T => {
        // The best so far, and where it was; of equals the first, and NaN before all.
        type Best = Option<(T, usize)>;
        let better = |a: T, b: T| {
            !b.is_nan() && (a.is_nan() || if op.max { a > b } else { a < b })
        };
        let take = |best: Best, new: Best| match (best, new) {
            (Some((b, at)), Some((x, i))) => {
                let tie = !better(b, x) && i < at;
                if better(x, b) || tie { new } else { best }
            }
            (best, new) => best.or(new),
        };
        let position = |best: Best| best.map_or(0, |(_, i)| i as i32);
        fold(&axes, x.of(), y.of(), None, |b, x: T, i| take(b, Some((x, i))), take, position);
    });
    Ok(())
}

fn reduced(op: &Reduce, x: &Layout) -> Layout {
    select_axes(x, |axis| op.has(axis))
}

const LANES: usize = 8;

/// Outputs whose lanes are kept at once where neighbours in memory belong to different outputs.
const COLUMNS: usize = 256;

fn fold<T: Pod, A: Copy, Y: Pod>(
    op: &Reduce,
    x: Src<'_, T>,
    y: Dst<'_, Y>,
    start: A,
    step: impl Fn(A, T, usize) -> A,
    join: impl Fn(A, A) -> A,
    finish: impl Fn(A) -> Y,
) {
    let inner = Layout { offset: 0, ..reduced(op, &x.layout) }.collapse();
    let kept = select_axes(&x.layout, |axis| !op.has(axis));
    let out = if op.keep { select_axes(&y.layout, |axis| !op.has(axis)) } else { y.layout };
    let tree = |l: [A; LANES]| {
        finish(join(
            join(join(l[0], l[1]), join(l[2], l[3])),
            join(join(l[4], l[5]), join(l[6], l[7])),
        ))
    };
    // Whether reduced elements lie side by side, so that walking along them is best.
    let rows = inner.strides.last().is_none_or(|&stride| stride == 1);
    let mut block: Vec<[A; COLUMNS]> = Vec::new();
    runs([kept, out], |[ix, iy], [sx, sy], n| {
        if rows || sx != 1 || n < LANES {
            for j in 0..n {
                let mut lanes = [start; LANES];
                let mut i = 0;
                runs_of_collapsed(&[inner], |[at], [stride], len| {
                    along(&mut lanes, &x.data[ix + j * sx + at..], stride, len, i, &step);
                    i += len;
                });
                y.data[iy + j * sy] = tree(lanes);
            }
            return;
        }
        for first in (0..n).step_by(COLUMNS) {
            let width = COLUMNS.min(n - first);
            block.clear();
            block.resize(LANES, [start; COLUMNS]);
            let mut i = 0;
            runs_of_collapsed(&[inner], |[at], [stride], len| {
                for k in 0..len {
                    let from = ix + first + at + k * stride;
                    let lane = &mut block[i % LANES][..width];
                    let x = &x.data[from..from + width];
                    vectorized(|| {
                        lane.iter_mut().zip(x).for_each(|(acc, &x)| *acc = step(*acc, x, i));
                    });
                    i += 1;
                }
            });
            (0..width).for_each(|j| {
                y.data[iy + (first + j) * sy] = tree(std::array::from_fn(|lane| block[lane][j]));
            });
        }
    });
}

/// Adds `len` elements to the lanes; the first of them is number `first`.
fn along<T: Copy, A: Copy>(
    lanes: &mut [A; LANES],
    data: &[T],
    stride: usize,
    len: usize,
    first: usize,
    step: &impl Fn(A, T, usize) -> A,
) {
    let mut i = first;
    if stride == 1 && first.is_multiple_of(LANES) {
        let (chunks, rest) = data[..len].as_chunks::<LANES>();
        for chunk in chunks {
            for (lane, (acc, &x)) in lanes.iter_mut().zip(chunk).enumerate() {
                *acc = step(*acc, x, i + lane);
            }
            i += LANES;
        }
        for (lane, (acc, &x)) in lanes.iter_mut().zip(rest).enumerate() {
            *acc = step(*acc, x, i + lane);
        }
        return;
    }
    for j in 0..len {
        let acc = &mut lanes[i % LANES];
        *acc = step(*acc, data[j * stride], i);
        i += 1;
    }
}
