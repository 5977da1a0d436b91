//! Operands of kernels, and the walk over strided views of equal shape.

use crate::{DType, Layout, MAX_RANK, Shape, collapse_together};
use bytemuck::Pod;
use std::borrow::Cow;

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

/// `y = f(x)`, element by element; x broadcasts. Let `f` own what it captures: a copy of it within the
/// loop then keeps its numbers in registers, which writing to y could change otherwise.
pub(super) fn map1<A: Pod, Y: Pod>(x: Src<'_, A>, y: Dst<'_, Y>, f: impl Fn(A) -> Y + Copy) {
    let views = [x.layout.stretched(y.layout.shape), y.layout];
    runs(views, |[i, o], [si, so], n| {
        let own = f;
        match (si, so) {
            (1, 1) => {
                for (y, &x) in y.data[o..o + n].iter_mut().zip(&x.data[i..i + n]) {
                    *y = own(x);
                }
            }
            (0, 1) => y.data[o..o + n].fill(own(x.data[i])),
            _ => {
                for j in 0..n {
                    y.data[o + j * so] = own(x.data[i + j * si]);
                }
            }
        }
    });
}

/// `y = f(a, b)`, element by element; a and b broadcast.
pub(super) fn map2<A: Pod, B: Pod, Y: Pod>(
    a: Src<'_, A>,
    b: Src<'_, B>,
    y: Dst<'_, Y>,
    f: impl Fn(A, B) -> Y + Copy,
) {
    let shape = y.layout.shape;
    let views = [a.layout.stretched(shape), b.layout.stretched(shape), y.layout];
    runs(views, |[i, k, o], steps, n| {
        let own = f;
        match steps {
            [1, 1, 1] => {
                let ins = a.data[i..i + n].iter().zip(&b.data[k..k + n]);
                for (y, (&a, &b)) in y.data[o..o + n].iter_mut().zip(ins) {
                    *y = own(a, b);
                }
            }
            [1, 0, 1] => {
                let b = b.data[k];
                for (y, &a) in y.data[o..o + n].iter_mut().zip(&a.data[i..i + n]) {
                    *y = own(a, b);
                }
            }
            [0, 1, 1] => {
                let a = a.data[i];
                for (y, &b) in y.data[o..o + n].iter_mut().zip(&b.data[k..k + n]) {
                    *y = own(a, b);
                }
            }
            [si, sk, so] => {
                for j in 0..n {
                    y.data[o + j * so] = own(a.data[i + j * si], b.data[k + j * sk]);
                }
            }
        }
    });
}
