//! Matrix products. Views go in as they are: any strides, 0 too, so no operand is ever copied whole.

use super::{
    gemm::{self, Finish, Matrix, Product, Tiled},
    memory::Memory,
    number::{Float, for_float},
    operand::{Dst, In, Out, Src, each, select_axes},
    parallel, simd, unary,
};
use crate::{
    Error, Result,
    ops::linear::{FusedActivation, Linear},
};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) fn matmul(memory: &Arc<Memory>, a: &In<'_>, b: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    for_float!(a.dtype, "matmul", T => product::<T>(memory, "matmul", a.of(), b.of(), y.of(), None))
}

/// `x Wᵀ`, then bias and activation on the rounded product, while its rows are still in the cache.
pub(super) fn linear(
    op: &Linear,
    memory: &Arc<Memory>,
    x: &In<'_>,
    w: &In<'_>,
    bias: Option<&In<'_>>,
    y: &mut Out<'_>,
) -> Result<()> {
    let w = In { layout: w.layout.permute(&[1, 0]), ..*w };
    for_float!(x.dtype, "linear", T => {
        let bias = bias.map(|bias| bias.of::<T>().elements());
        let bias = bias.as_deref();
        let (x, w, y) = (x.of::<T>(), w.of::<T>(), y.of::<T>());
        let run = |finish: Option<Finish<'_, T>>| product::<T>(memory, "linear", x, w, y, finish);
        match op.activation {
            None if bias.is_none() => run(None),
            None => run(Some(&|first, row| add_bias(bias, first, row, |z| z))),
            Some(FusedActivation::Relu) => {
                run(Some(&|first, row| add_bias(bias, first, row, unary::relu)))
            }
            Some(FusedActivation::Sigmoid) => {
                run(Some(&|first, row| add_bias(bias, first, row, unary::sigmoid)))
            }
            Some(FusedActivation::Tanh) => {
                run(Some(&|first, row| add_bias(bias, first, row, T::tanh)))
            }
        }
    })
}

fn add_bias<T: Float>(bias: Option<&[T]>, first: usize, row: &mut [T], f: impl Fn(T) -> T) {
    match bias {
        None => row.iter_mut().for_each(|y| *y = f(*y)),
        Some(bias) => row.iter_mut().zip(&bias[first..]).for_each(|(y, &b)| *y = f(*y + b)),
    }
}

/// The last two axes of an operand, from the element `start` on.
fn matrix<T>(x: Src<'_, T>, start: usize) -> Matrix<'_, T> {
    let axis = x.layout.shape.rank() - 2;
    Matrix {
        data: x.data.get(start..).unwrap_or(&[]),
        rows: x.layout.shape[axis],
        columns: x.layout.shape[axis + 1],
        row_step: x.layout.strides[axis],
        column_step: x.layout.strides[axis + 1],
    }
}

/// Products for each thread, from which on a thread does whole ones.
const WHOLE: usize = 4;

fn product<T: Tiled>(
    memory: &Arc<Memory>,
    op: &'static str,
    a: Src<'_, T>,
    b: Src<'_, T>,
    mut y: Dst<'_, T>,
    finish: Option<Finish<'_, T>>,
) -> Result<()> {
    let Some(batch) = y.layout.shape.rank().checked_sub(2) else {
        return Err(Error::internal(op, "a product of less than matrices"));
    };
    let [m, n] = [y.layout.shape[batch], y.layout.shape[batch + 1]];
    let k = a.layout.shape[batch + 1];
    let mut starts = Vec::new();
    let batches = [a.layout, b.layout].map(|x| select_axes(&x, |axis| axis < batch));
    each(batches, |[a, b]| starts.push((a, b)));
    // Many products are shared out as wholes, few large ones within themselves.
    let work = m.saturating_mul(n).saturating_mul(k);
    let whole = gemm::threads(work.saturating_mul(starts.len()));
    let within = gemm::threads(work);
    let (whole, within) =
        if within == 1 || starts.len() >= WHOLE * whole { (whole, 1) } else { (1, within) };
    let tasks = starts.into_iter().zip(y.elements_mut().chunks_exact_mut((m * n).max(1))).collect();
    let (level, failed) = (simd::level(), Mutex::new(None));
    parallel::run(whole, tasks, |((ia, ib), c)| {
        let (a, b) = (matrix(a, ia), matrix(b, ib));
        let done = T::product(level, memory, Product { a, b, c, finish, threads: within });
        if let Err(error) = done {
            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
