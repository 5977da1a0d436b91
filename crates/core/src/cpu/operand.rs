//! Operands of kernels, and the walk over strided views of equal shape.

use super::{parallel, simd::vectorized};
use crate::{DType, Layout, MAX_RANK, Shape, collapse_together};
use bytemuck::Pod;
use std::borrow::Cow;

/// What operands consist of.
pub(super) trait Element: Pod + Send + Sync {}
impl<T: Pod + Send + Sync> Element for T {}

/// A tensor that a kernel reads.
#[derive(Clone, Copy)]
pub(super) struct In<'a> {
    pub words: &'a [u64],
    pub layout: Layout,
    pub dtype: DType,
}

/// A tensor that a kernel writes.
pub(super) struct Out<'a> {
    pub words: &'a mut [u64],
    pub layout: Layout,
    pub dtype: DType,
}

/// The same with its element type.
#[derive(Clone, Copy)]
pub(super) struct Src<'a, T> {
    pub data: &'a [T],
    pub layout: Layout,
}

/// The same with its element type.
pub(super) struct Dst<'a, T> {
    pub data: &'a mut [T],
    pub layout: Layout,
}

impl<'a> In<'a> {
    pub fn of<T: Pod>(&self) -> Src<'a, T> {
        Src { data: bytemuck::cast_slice(self.words), layout: self.layout }
    }
}

impl Out<'_> {
    pub fn of<T: Pod>(&mut self) -> Dst<'_, T> {
        Dst { data: bytemuck::cast_slice_mut(self.words), layout: self.layout }
    }
}

impl<'a, T: Pod> Src<'a, T> {
    /// All elements in row-major order; copied only where they do not lie so already.
    pub fn elements(&self) -> Cow<'a, [T]> {
        if self.layout.is_contiguous() {
            let start = self.layout.offset;
            return Cow::Borrowed(self.data.get(start..start + self.layout.numel()).unwrap_or(&[]));
        }
        let mut all = Vec::with_capacity(self.layout.numel());
        each([self.layout], |[at]| all.push(self.data[at]));
        Cow::Owned(all)
    }
}

impl<T: Pod> Dst<'_, T> {
    /// All elements of a view that the backend made contiguous.
    pub fn elements_mut(&mut self) -> &mut [T] {
        let start = self.layout.offset;
        self.data.get_mut(start..start + self.layout.numel()).unwrap_or(&mut [])
    }

    /// One value everywhere.
    pub fn fill(&mut self, value: T) {
        runs([self.layout], |[at], [step], n| match step {
            1 => self.data[at..at + n].fill(value),
            _ => (0..n).for_each(|j| self.data[at + j * step] = value),
        });
    }
}

/// The elements of an output that the backend made contiguous.
pub(super) fn elements<'o, T: Pod>(out: &'o mut Out<'_>) -> &'o mut [T] {
    let Dst { data, layout } = out.of::<T>();
    data.get_mut(layout.offset..layout.offset + layout.numel()).unwrap_or(&mut [])
}

/// The axes of a layout for which `keep` holds.
pub(super) fn select_axes(layout: &Layout, keep: impl Fn(usize) -> bool) -> Layout {
    let pick = |from: &Shape| {
        let mut kept = [0; MAX_RANK];
        let mut rank = 0;
        for (_, &x) in from.iter().enumerate().filter(|(axis, _)| keep(*axis)) {
            kept[rank] = x;
            rank += 1;
        }
        Shape::from_checked(&kept[..rank])
    };
    Layout { shape: pick(&layout.shape), strides: pick(&layout.strides), offset: layout.offset }
}

/// Calls `f(first elements, steps, length)` for each innermost run of views of equal shape, in
/// row-major order. Axes that step as one are merged first, so contiguous views are one run.
pub(super) fn runs<const N: usize>(
    views: [Layout; N],
    f: impl FnMut([usize; N], [usize; N], usize),
) {
    runs_of_collapsed(&collapse_together(views), f);
}

/// The same for views that are collapsed already.
pub(super) fn runs_of_collapsed<const N: usize>(
    views: &[Layout; N],
    mut f: impl FnMut([usize; N], [usize; N], usize),
) {
    walk(views, &mut f);
}

/// Compiled once for each number of views and not for each kernel: several hundred copies of it were a third of a
/// megabyte. A call by address is cheap beside a run.
#[inline(never)]
fn walk<const N: usize>(views: &[Layout; N], f: &mut dyn FnMut([usize; N], [usize; N], usize)) {
    let Some(shape) = views.first().map(|view| view.shape) else { return };
    if shape.numel() == 0 {
        return;
    }
    let mut at: [usize; N] = std::array::from_fn(|v| views[v].offset);
    let Some((&len, outer)) = shape.split_last() else {
        return f(at, [1; N], 1);
    };
    let steps: [usize; N] = std::array::from_fn(|v| views[v].strides[outer.len()]);
    let mut index = [0; MAX_RANK];
    loop {
        f(at, steps, len);
        let mut axis = outer.len();
        loop {
            let Some(next) = axis.checked_sub(1) else { return };
            axis = next;
            index[axis] += 1;
            for (at, view) in at.iter_mut().zip(views) {
                *at += view.strides[axis];
            }
            if index[axis] < outer[axis] {
                break;
            }
            index[axis] = 0;
            for (at, view) in at.iter_mut().zip(views) {
                *at -= view.strides[axis] * outer[axis];
            }
        }
    }
}

/// Calls `f` with the positions of each element of views of equal shape, in row-major order.
pub(super) fn each<const N: usize>(views: [Layout; N], mut f: impl FnMut([usize; N])) {
    runs(views, |at, steps, n| {
        for j in 0..n {
            f(std::array::from_fn(|v| at[v] + j * steps[v]));
        }
    });
}

/// Calls `work` with views that together show all that `views` does, on several threads where that pays.
/// The last view is the output; its elements come as a part of `out`.
pub(super) fn blocks<T: Send, const N: usize>(
    views: [Layout; N],
    out: &mut [T],
    work: &(dyn Fn([Layout; N], &mut [T]) + Sync),
) {
    let views = collapse_together(views);
    let Some(&whole) = views.last() else { return };
    let threads = parallel::threads(whole.numel());
    if threads == 1 || !whole.is_contiguous() {
        return work(views, out);
    }
    let (size, stride) = (whole.shape[0], whole.strides[0]);
    let height = size.div_ceil(threads * 4);
    let out = out.get_mut(whole.offset..).unwrap_or(&mut []);
    let parts = out.chunks_mut(height * stride).zip((0..size).step_by(height));
    let tasks = parts.map(|(out, first)| {
        let mut part = views.map(|view| view.slice(0, first..size.min(first + height), 1));
        if let Some(view) = part.last_mut() {
            view.offset = 0;
        }
        (part, out)
    });
    parallel::run(threads, tasks.collect(), |(part, out)| work(part, out));
}

/// `y = f(x)`, element by element; x broadcasts. Let `f` own what it captures: a copy of it within the
/// loop then keeps its numbers in registers, which writing to y could change otherwise.
pub(super) fn map1<A: Element, Y: Element>(
    x: Src<'_, A>,
    y: Dst<'_, Y>,
    f: impl Fn(A) -> Y + Copy + Sync,
) {
    blocks([x.layout.stretched(y.layout.shape), y.layout], y.data, &|views, out| {
        runs_of_collapsed(&views, |[i, o], [si, so], n| {
            let own = f;
            match (si, so) {
                (1, 1) => {
                    let (x, y) = (&x.data[i..i + n], &mut out[o..o + n]);
                    vectorized(|| y.iter_mut().zip(x).for_each(|(y, &x)| *y = own(x)));
                }
                (0, 1) => out[o..o + n].fill(own(x.data[i])),
                _ => {
                    for j in 0..n {
                        out[o + j * so] = own(x.data[i + j * si]);
                    }
                }
            }
        });
    });
}

/// `y = f(a, b)`, element by element; a and b broadcast.
pub(super) fn map2<A: Element, B: Element, Y: Element>(
    a: Src<'_, A>,
    b: Src<'_, B>,
    y: Dst<'_, Y>,
    f: impl Fn(A, B) -> Y + Copy + Sync,
) {
    let shape = y.layout.shape;
    let views = [a.layout.stretched(shape), b.layout.stretched(shape), y.layout];
    blocks(views, y.data, &|views, out| {
        runs_of_collapsed(&views, |[i, k, o], steps, n| {
            let own = f;
            match steps {
                [1, 1, 1] => {
                    let (a, b, y) = (&a.data[i..i + n], &b.data[k..k + n], &mut out[o..o + n]);
                    let ins = a.iter().zip(b);
                    vectorized(|| {
                        y.iter_mut().zip(ins).for_each(|(y, (&a, &b))| *y = own(a, b));
                    });
                }
                [1, 0, 1] => {
                    let (a, b, y) = (&a.data[i..i + n], b.data[k], &mut out[o..o + n]);
                    vectorized(|| y.iter_mut().zip(a).for_each(|(y, &a)| *y = own(a, b)));
                }
                [0, 1, 1] => {
                    let (a, b, y) = (a.data[i], &b.data[k..k + n], &mut out[o..o + n]);
                    vectorized(|| y.iter_mut().zip(b).for_each(|(y, &b)| *y = own(a, b)));
                }
                [si, sk, so] => {
                    for j in 0..n {
                        out[o + j * so] = own(a.data[i + j * si], b.data[k + j * sk]);
                    }
                }
            }
        });
    });
}
