//! Convolutions. In f64 every product of the sum is visited one by one: this says what they mean, and judges.
//! In f32 patches of the input are laid out as columns and multiplied as matrices (`columns`).

mod columns;
#[cfg(test)]
mod tests;

use super::{
    memory::Memory,
    number::{Float, for_float},
    operand::{Dst, In, Out, Src},
};
use crate::{
    DType, Layout, Result,
    ops::conv::{Conv, Conv2dOptions, ConvInput, ConvWeight},
};
use std::sync::Arc;

/// Sizes that all three directions share. x is on the input side of the convolution, y on its output side.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    options: Conv2dOptions,
    n: usize,
    /// Channels of one group on either side.
    c_in: usize,
    c_out: usize,
    input: [usize; 2],
    kernel: [usize; 2],
    output: [usize; 2],
}

impl Geometry {
    fn new(options: Conv2dOptions, x: &Layout, kernel: [usize; 2], y: &Layout) -> Geometry {
        Geometry {
            options,
            n: x.shape[0],
            c_in: x.shape[1] / options.groups,
            c_out: y.shape[1] / options.groups,
            input: [x.shape[2], x.shape[3]],
            kernel,
            output: [y.shape[2], y.shape[3]],
        }
    }

    /// Where tap `k` of window `o` reads along an axis; `None` in the padding.
    fn source(&self, axis: usize, o: usize, k: usize) -> Option<usize> {
        let at = o * self.options.stride[axis] + k * self.options.dilation[axis];
        at.checked_sub(self.options.padding[axis]).filter(|&at| at < self.input[axis])
    }

    /// Weights that meet one element of the output.
    fn taps(&self) -> usize {
        self.c_in * self.kernel[0] * self.kernel[1]
    }

    /// Elements of an output plane.
    fn area(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Multiply-adds of any direction.
    fn work(&self) -> usize {
        let all = [self.n, self.options.groups, self.c_out, self.taps(), self.area()];
        all.into_iter().fold(1, usize::saturating_mul)
    }

    /// Calls `f` with the places in x, w and y of every product that the convolution sums.
    fn products(&self, [x, w, y]: [&Layout; 3], mut f: impl FnMut(usize, usize, usize)) {
        let at = |layout: &Layout, index: [usize; 4]| -> usize {
            layout.offset
                + index.iter().zip(layout.strides.iter()).map(|(i, s)| i * s).sum::<usize>()
        };
        let outer =
            |sizes: [usize; 2]| (0..sizes[0]).flat_map(move |i| (0..sizes[1]).map(move |j| (i, j)));
        for (n, group) in outer([self.n, self.options.groups]) {
            for (o, c) in outer([self.c_out, self.c_in]) {
                for (oy, ox) in outer(self.output) {
                    for (ky, kx) in outer(self.kernel) {
                        let Some(iy) = self.source(0, oy, ky) else { continue };
                        let Some(ix) = self.source(1, ox, kx) else { continue };
                        f(
                            at(x, [n, group * self.c_in + c, iy, ix]),
                            at(w, [group * self.c_out + o, c, ky, kx]),
                            at(y, [n, group * self.c_out + o, oy, ox]),
                        );
                    }
                }
            }
        }
    }
}

pub(super) fn forward(
    op: &Conv,
    memory: &Arc<Memory>,
    x: &In<'_>,
    w: &In<'_>,
    bias: Option<&In<'_>>,
    y: &mut Out<'_>,
) -> Result<()> {
    let kernel = [w.layout.shape[2], w.layout.shape[3]];
    let geometry = Geometry::new(op.options, &x.layout, kernel, &y.layout);
    if x.dtype == DType::F32 {
        columns::forward::<f32>(&geometry, memory, x.of(), w.of(), y.of())?;
    } else {
        for_float!(x.dtype, "conv2d", T => plain_forward::<T>(&geometry, x.of(), w.of(), y.of()));
    }
    for_float!(x.dtype, "conv2d", T => add_bias::<T>(bias, y.of()));
    Ok(())
}

pub(super) fn for_input(
    op: &ConvInput,
    memory: &Arc<Memory>,
    dy: &In<'_>,
    w: &In<'_>,
    bias: Option<&In<'_>>,
    dx: &mut Out<'_>,
) -> Result<()> {
    let kernel = [w.layout.shape[2], w.layout.shape[3]];
    let geometry = Geometry::new(op.options, &dx.layout, kernel, &dy.layout);
    if dy.dtype == DType::F32 {
        columns::for_input::<f32>(&geometry, memory, dy.of(), w.of(), dx.of())?;
    } else {
        for_float!(dy.dtype, "conv_transpose2d", T => {
            plain_for_input::<T>(&geometry, dy.of(), w.of(), dx.of());
        });
    }
    for_float!(dy.dtype, "conv_transpose2d", T => add_bias::<T>(bias, dx.of()));
    Ok(())
}

pub(super) fn for_weight(
    op: &ConvWeight,
    memory: &Arc<Memory>,
    x: &In<'_>,
    dy: &In<'_>,
    dw: &mut Out<'_>,
) -> Result<()> {
    let geometry = Geometry::new(op.options, &x.layout, op.kernel, &dy.layout);
    if x.dtype == DType::F32 {
        return columns::for_weight::<f32>(&geometry, memory, x.of(), dy.of(), dw.of());
    }
    for_float!(x.dtype, "conv2d_weight", T => {
        plain_for_weight::<T>(&geometry, x.of(), dy.of(), dw.of());
    });
    Ok(())
}

fn plain_forward<T: Float>(g: &Geometry, x: Src<'_, T>, w: Src<'_, T>, mut y: Dst<'_, T>) {
    y.fill(T::ZERO);
    let views = [&x.layout, &w.layout, &y.layout];
    g.products(views, |i, k, o| y.data[o] = y.data[o] + x.data[i] * w.data[k]);
}

fn plain_for_input<T: Float>(g: &Geometry, dy: Src<'_, T>, w: Src<'_, T>, mut dx: Dst<'_, T>) {
    dx.fill(T::ZERO);
    let views = [&dx.layout, &w.layout, &dy.layout];
    g.products(views, |i, k, o| dx.data[i] = dx.data[i] + dy.data[o] * w.data[k]);
}

fn plain_for_weight<T: Float>(g: &Geometry, x: Src<'_, T>, dy: Src<'_, T>, mut dw: Dst<'_, T>) {
    dw.fill(T::ZERO);
    let views = [&x.layout, &dw.layout, &dy.layout];
    g.products(views, |i, k, o| dw.data[k] = dw.data[k] + x.data[i] * dy.data[o]);
}

/// Adds a channel's bias to its planes; y is contiguous.
fn add_bias<T: Float>(bias: Option<&In<'_>>, mut y: Dst<'_, T>) {
    let Some(bias) = bias else { return };
    let bias = bias.of::<T>().elements();
    let area = y.layout.shape[2] * y.layout.shape[3];
    let planes = y.elements_mut().chunks_exact_mut(area.max(1));
    for (plane, &b) in planes.zip(bias.iter().cycle()) {
        plane.iter_mut().for_each(|y| *y = *y + b);
    }
}
