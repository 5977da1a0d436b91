//! Matrix products, through ndarray's `general_mat_mul` (the matrixmultiply crate, threaded). Views go
//! in as they are: any strides, 0 too, so no operand is ever copied.

use super::{
    number::{Float, for_float},
    operand::{Dst, In, Out, Src, each, select_axes},
    unary,
};
use crate::{
    Error, Result,
    ops::linear::{FusedActivation, Linear},
};
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder, linalg::general_mat_mul};

pub(super) fn matmul(a: &In<'_>, b: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    for_float!(a.dtype, "matmul", T => product::<T>("matmul", a.of(), b.of(), y.of()))
}

/// `x Wᵀ`, then bias and activation on the rounded product.
pub(super) fn linear(
    op: &Linear,
    x: &In<'_>,
    w: &In<'_>,
    bias: Option<&In<'_>>,
    y: &mut Out<'_>,
) -> Result<()> {
    let w = In { layout: w.layout.permute(&[1, 0]), ..*w };
    for_float!(x.dtype, "linear", T => {
        product::<T>("linear", x.of(), w.of(), y.of())?;
        epilogue::<T>(op.activation, bias.map(In::of), y.of());
    });
    Ok(())
}

fn epilogue<T: Float>(act: Option<FusedActivation>, bias: Option<Src<'_, T>>, mut y: Dst<'_, T>) {
    match act {
        None if bias.is_none() => {}
        None => add_bias(bias, &mut y, |z| z),
        Some(FusedActivation::Relu) => add_bias(bias, &mut y, unary::relu),
        Some(FusedActivation::Sigmoid) => add_bias(bias, &mut y, unary::sigmoid),
        Some(FusedActivation::Tanh) => add_bias(bias, &mut y, T::tanh),
    }
}

fn add_bias<T: Float>(bias: Option<Src<'_, T>>, y: &mut Dst<'_, T>, f: impl Fn(T) -> T) {
    let layout = y.layout;
    match bias {
        None => each([layout], |[at]| y.data[at] = f(y.data[at])),
        Some(bias) => {
            let rows = bias.layout.stretched(layout.shape);
            each([layout, rows], |[at, b]| y.data[at] = f(y.data[at] + bias.data[b]));
        }
    }
}

fn product<T: Float>(
    op: &'static str,
    a: Src<'_, T>,
    b: Src<'_, T>,
    mut y: Dst<'_, T>,
) -> Result<()> {
    let Some(batch) = y.layout.shape.rank().checked_sub(2) else {
        return Err(Error::internal(op, "a product of less than matrices"));
    };
    let [m, n] = [y.layout.shape[batch], y.layout.shape[batch + 1]];
    let k = a.layout.shape[batch + 1];
    if k == 0 {
        y.fill(T::ZERO);
        return Ok(());
    }
    let matrix = |s: &crate::Shape| (s[batch], s[batch + 1]);
    let [sa, sb, sy] = [a.layout, b.layout, y.layout].map(|x| matrix(&x.strides));
    let batches = [a.layout, b.layout, y.layout].map(|x| select_axes(&x, |axis| axis < batch));
    let mut result = Ok(());
    each(batches, |[ia, ib, iy]| {
        let views = (
            ArrayView2::from_shape((m, k).strides(sa), &a.data[ia..]),
            ArrayView2::from_shape((k, n).strides(sb), &b.data[ib..]),
            ArrayViewMut2::from_shape((m, n).strides(sy), &mut y.data[iy..]),
        );
        match views {
            (Ok(a), Ok(b), Ok(mut y)) => general_mat_mul(T::ONE, &a, &b, T::ZERO, &mut y),
            (a, b, y) => {
                let why = a.err().or(b.err()).or(y.err()).map_or(String::new(), |e| e.to_string());
                result = Err(Error::internal(op, format!("a view of another extent: {why}")));
            }
        }
    });
    result
}
