//! Convolutions as matrix products: the patches that a group's kernel meets in one image become the columns of a
//! matrix, `[c_in·kh·kw, windows]`, in blocks of rows of windows so that they stay in the cache (Chellapilla et al.
//! 2006). What is cut, and the order of sums, depend on sizes alone.

use super::Geometry;
use crate::{
    Layout, Result,
    cpu::{
        gemm::{self, Matrix, Product, Tiled},
        memory::Memory,
        number::Float,
        operand::{Dst, Src},
        parallel, simd,
    },
};
use std::{ops::Range, sync::Arc};

/// Elements of the columns that are laid out at once, roughly.
const BLOCK: usize = 1 << 18;
/// Parts whose weight gradients are computed side by side and then summed, at most.
const PARTS: usize = 16;
/// Elements of the parts together, at most.
const PARTS_SIZE: usize = 1 << 22;

impl Geometry {
    /// Rows of windows in blocks.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> {
        let rows = self.output[0];
        let height = (BLOCK / (self.taps() * self.output[1]).max(1)).clamp(1, rows.max(1));
        (0..rows).step_by(height).map(move |first| first..rows.min(first + height))
    }

    /// Threads across tasks, and within each product.
    fn threads(&self, tasks: usize) -> (usize, usize) {
        let threads = gemm::threads(self.work());
        if tasks >= threads { (threads, 1) } else { (1, threads) }
    }

    /// The windows of an axis whose tap `k` lies inside the input.
    fn inside(&self, axis: usize, k: usize) -> Range<usize> {
        let (stride, padding) = (self.options.stride[axis], self.options.padding[axis]);
        let at = k * self.options.dilation[axis];
        let first = padding.saturating_sub(at).div_ceil(stride).min(self.output[axis]);
        let end = match (self.input[axis] + padding).checked_sub(at + 1) {
            Some(last) => (last / stride + 1).min(self.output[axis]),
            None => 0,
        };
        first..end.max(first)
    }

    /// Calls `f(row of the columns, first window, places in a plane: first and step, count)` for each run of
    /// windows that read from the input, and with the row's channel.
    fn runs(
        &self,
        rows: Range<usize>,
        [row_step, column_step]: [usize; 2],
        mut f: impl FnMut(usize, usize, usize, [usize; 2], usize),
    ) {
        let width = self.output[1];
        for c in 0..self.c_in {
            for ky in 0..self.kernel[0] {
                for kx in 0..self.kernel[1] {
                    let row = (c * self.kernel[0] + ky) * self.kernel[1] + kx;
                    let across = self.inside(1, kx);
                    if across.is_empty() {
                        continue;
                    }
                    for oy in rows.clone() {
                        let Some(iy) = self.source(0, oy, ky) else { continue };
                        let Some(ix) = self.source(1, across.start, kx) else { continue };
                        let window = (oy - rows.start) * width + across.start;
                        let place = iy * row_step + ix * column_step;
                        let step = self.options.stride[1] * column_step;
                        f(row, c, window, [place, step], across.len());
                    }
                }
            }
        }
    }
}

/// Where a group's channels of an image begin, and the steps of channel, row and column.
fn plane(x: &Layout, n: usize, channel: usize) -> (usize, [usize; 3]) {
    let start = x.offset + n * x.strides[0] + channel * x.strides[1];
    (start, [x.strides[1], x.strides[2], x.strides[3]])
}

/// Lays the patches of a block out as columns.
fn gather<T: Float>(
    g: &Geometry,
    x: Src<'_, T>,
    n: usize,
    group: usize,
    rows: Range<usize>,
    columns: &mut [T],
) {
    let windows = rows.len() * g.output[1];
    let (start, [channel, row_step, column_step]) = plane(&x.layout, n, group * g.c_in);
    columns.fill(T::ZERO);
    g.runs(rows, [row_step, column_step], |row, c, window, [place, step], count| {
        let to = &mut columns[row * windows + window..][..count];
        let from = &x.data[start + c * channel + place..];
        if step == 1 {
            to.copy_from_slice(&from[..count]);
        } else {
            to.iter_mut().enumerate().for_each(|(j, to)| *to = from[j * step]);
        }
    });
}

/// A group's weight as a matrix `[c_out, c_in·kh·kw]`.
fn weights<'a, T>(g: &Geometry, w: &'a [T], group: usize) -> Matrix<'a, T> {
    let taps = g.taps();
    Matrix {
        data: w.get(group * g.c_out * taps..).unwrap_or(&[]),
        rows: g.c_out,
        columns: taps,
        row_step: taps,
        column_step: 1,
    }
}

/// A group's channels of an image as a matrix `[c_out, windows]`, for rows of windows.
fn outputs<'a, T>(g: &Geometry, y: &'a [T], image: usize, rows: &Range<usize>) -> Matrix<'a, T> {
    let start = image * g.c_out * g.area() + rows.start * g.output[1];
    Matrix {
        data: y.get(start..).unwrap_or(&[]),
        rows: g.c_out,
        columns: rows.len() * g.output[1],
        row_step: g.area(),
        column_step: 1,
    }
}

pub(super) fn forward<T: Tiled>(
    g: &Geometry,
    memory: &Arc<Memory>,
    x: Src<'_, T>,
    w: Src<'_, T>,
    mut y: Dst<'_, T>,
) -> Result<()> {
    let (w, level, size) = (w.elements(), simd::level(), (g.c_out * g.area()).max(1));
    let tasks: Vec<_> = y.elements_mut().chunks_exact_mut(size).enumerate().collect();
    let (whole, within) = g.threads(tasks.len());
    parallel::try_run(whole, tasks, |(image, y)| {
        let (n, group) = (image / g.options.groups, image % g.options.groups);
        for rows in g.blocks() {
            let windows = rows.len() * g.output[1];
            let mut space = memory.scratch(g.taps() * windows * size_of::<T>())?;
            let columns = &mut space.of_mut::<T>()[..g.taps() * windows];
            gather(g, x, n, group, rows.clone(), columns);
            let a = weights(g, &w, group);
            let (row_step, column_step) = (windows, 1);
            let b =
                Matrix { data: columns, rows: g.taps(), columns: windows, row_step, column_step };
            if windows == g.area() {
                T::product(level, memory, Product { a, b, c: y, finish: None, threads: within })?;
                continue;
            }
            let mut space = memory.scratch(g.c_out * windows * size_of::<T>())?;
            let part = &mut space.of_mut::<T>()[..g.c_out * windows];
            T::product(level, memory, Product { a, b, c: part, finish: None, threads: within })?;
            let start = rows.start * g.output[1];
            for (to, from) in y.chunks_exact_mut(g.area()).zip(part.chunks_exact(windows)) {
                to[start..start + windows].copy_from_slice(from);
            }
        }
        Ok(())
    })
}

pub(super) fn for_input<T: Tiled>(
    g: &Geometry,
    memory: &Arc<Memory>,
    dy: Src<'_, T>,
    w: Src<'_, T>,
    mut dx: Dst<'_, T>,
) -> Result<()> {
    let (w, dy, level) = (w.elements(), dy.elements(), simd::level());
    let plane = g.input[0] * g.input[1];
    let tasks: Vec<_> =
        dx.elements_mut().chunks_exact_mut((g.c_in * plane).max(1)).enumerate().collect();
    let (whole, within) = g.threads(tasks.len());
    parallel::try_run(whole, tasks, |(image, dx)| {
        dx.fill(T::ZERO);
        for rows in g.blocks() {
            let windows = rows.len() * g.output[1];
            let mut space = memory.scratch(g.taps() * windows * size_of::<T>())?;
            let columns = &mut space.of_mut::<T>()[..g.taps() * windows];
            let w = weights(g, &w, image % g.options.groups);
            let a = Matrix {
                data: w.data,
                rows: w.columns,
                columns: w.rows,
                row_step: 1,
                column_step: w.row_step,
            };
            let b = outputs(g, &dy, image, &rows);
            let c = &mut *columns;
            T::product(level, memory, Product { a, b, c, finish: None, threads: within })?;
            g.runs(rows, [g.input[1], 1], |row, channel, window, [place, step], count| {
                let from = &columns[row * windows + window..][..count];
                let to = &mut dx[channel * plane + place..];
                if step == 1 {
                    to.iter_mut().zip(from).for_each(|(to, &x)| *to = *to + x);
                } else {
                    from.iter().enumerate().for_each(|(j, &x)| to[j * step] = to[j * step] + x);
                }
            });
        }
        Ok(())
    })
}

pub(super) fn for_weight<T: Tiled>(
    g: &Geometry,
    memory: &Arc<Memory>,
    x: Src<'_, T>,
    dy: Src<'_, T>,
    mut dw: Dst<'_, T>,
) -> Result<()> {
    let (dy, level, groups) = (dy.elements(), simd::level(), g.options.groups);
    let size = g.c_out * g.taps();
    let parts = (PARTS_SIZE / (size * groups).max(1)).clamp(1, PARTS).min(g.n.max(1));
    let images = g.n.div_ceil(parts).max(1);
    let mut space = memory.scratch(parts * groups * size * size_of::<T>())?;
    let sums = &mut space.of_mut::<T>()[..parts * groups * size];
    let tasks: Vec<_> = sums.chunks_exact_mut(size.max(1)).enumerate().collect();
    let (whole, within) = g.threads(tasks.len());
    parallel::try_run(whole, tasks, |(task, sum)| {
        let (part, group) = (task / groups, task % groups);
        sum.fill(T::ZERO);
        let mut product = memory.scratch(size * size_of::<T>())?;
        let product = &mut product.of_mut::<T>()[..size];
        for n in part * images..g.n.min((part + 1) * images) {
            for rows in g.blocks() {
                let windows = rows.len() * g.output[1];
                let mut space = memory.scratch(g.taps() * windows * size_of::<T>())?;
                let columns = &mut space.of_mut::<T>()[..g.taps() * windows];
                gather(g, x, n, group, rows.clone(), columns);
                let a = outputs(g, &dy, n * groups + group, &rows);
                let (row_step, column_step) = (1, windows);
                let b = Matrix {
                    data: columns,
                    rows: windows,
                    columns: g.taps(),
                    row_step,
                    column_step,
                };
                let c = &mut *product;
                T::product(level, memory, Product { a, b, c, finish: None, threads: within })?;
                sum.iter_mut().zip(&*product).for_each(|(sum, &x)| *sum = *sum + x);
            }
        }
        Ok(())
    })?;
    let dw = dw.elements_mut();
    dw.fill(T::ZERO);
    for part in sums.chunks_exact((groups * size).max(1)) {
        dw.iter_mut().zip(part).for_each(|(sum, &x)| *sum = *sum + x);
    }
    Ok(())
}
