//! Where a view's elements lie in its storage: shape, strides, offset.

use crate::{Error, MAX_RANK, Result, Shape};
use std::ops::Range;

/// Shape, strides and offset of a view, in elements. Strides are never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Sizes.
    pub shape: Shape,
    /// Elements between neighbours along each axis; 0 where a size is broadcast.
    pub strides: Shape,
    /// First element.
    pub offset: usize,
}

impl Layout {
    /// Row-major, from the start of the storage.
    pub fn contiguous(shape: Shape) -> Self {
        Self { shape, strides: shape.contiguous_strides(), offset: 0 }
    }

    /// Number of elements the view shows (repeats counted).
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }

    /// Whether the elements lie one after the other, row-major, from `offset` on.
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1;
        for axis in (0..self.shape.rank()).rev() {
            if self.shape[axis] != 1 && self.strides[axis] != step {
                return self.numel() == 0;
            }
            step *= self.shape[axis];
        }
        true
    }

    /// One past the largest element index the view touches; 0 for an empty view.
    pub fn end(&self) -> usize {
        if self.numel() == 0 {
            return 0;
        }
        let last: usize =
            self.shape.iter().zip(self.strides.iter()).map(|(n, s)| (n - 1) * s).sum();
        self.offset + last + 1
    }

    /// The same elements with axes in another order; `axes` must be a permutation.
    pub(crate) fn permute(&self, axes: &[usize]) -> Self {
        let mut out = *self;
        for (to, &from) in axes.iter().enumerate() {
            out.shape.as_mut_slice()[to] = self.shape[from];
            out.strides.as_mut_slice()[to] = self.strides[from];
        }
        out
    }

    /// Repeats the view over `shape`, which must be one it broadcasts to.
    pub fn stretched(&self, shape: Shape) -> Self {
        let mut strides = shape;
        let lead = shape.rank() - self.shape.rank();
        for (axis, stride) in strides.as_mut_slice().iter_mut().enumerate() {
            *stride = match axis.checked_sub(lead) {
                Some(i) if self.shape[i] == shape[axis] => self.strides[i],
                _ => 0,
            };
        }
        Self { shape, strides, offset: self.offset }
    }

    /// Elements `range` in steps of `step` along `axis`.
    pub(crate) fn slice(&self, axis: usize, range: Range<usize>, step: usize) -> Self {
        let mut out = *self;
        let size = range.end.saturating_sub(range.start).div_ceil(step.max(1));
        out.shape.as_mut_slice()[axis] = size;
        if size > 0 {
            out.offset += range.start * self.strides[axis];
        }
        out.strides.as_mut_slice()[axis] = self.strides[axis] * step;
        out
    }

    /// The same elements in another shape, if no copy is needed for that.
    pub(crate) fn reshape(&self, shape: Shape) -> Option<Self> {
        if self.is_contiguous() {
            return Some(Self { shape, strides: shape.contiguous_strides(), offset: self.offset });
        }
        // Split and merge runs of old axes that lie contiguously within themselves.
        let merged = self.collapse();
        let mut strides = shape;
        let (mut old, mut left, mut step) = (merged.shape.rank(), 1, 0);
        for axis in (0..shape.rank()).rev() {
            if shape[axis] == 1 {
                strides.as_mut_slice()[axis] = 0;
                continue;
            }
            if left == 1 {
                old = old.checked_sub(1)?;
                left = merged.shape[old];
                step = merged.strides[old];
            }
            if !left.is_multiple_of(shape[axis]) {
                return None;
            }
            strides.as_mut_slice()[axis] = step;
            step *= shape[axis];
            left /= shape[axis];
        }
        Some(Self { shape, strides, offset: self.offset })
    }

    /// Drops axes of size 1 and merges neighbours that step as one.
    pub fn collapse(&self) -> Self {
        let [out] = collapse_together([*self]);
        out
    }

    /// The layout seen with fewer axes: checks that it stays inside `len` elements of storage.
    pub(crate) fn check(&self, op: &'static str, len: usize) -> Result<()> {
        if self.end() > len {
            return Err(Error::internal(
                op,
                format!("view {self:?} reaches past its storage of {len} elements"),
            ));
        }
        Ok(())
    }
}

/// Collapses views of equal shape in step: an axis pair is merged only where all views allow it.
/// The result has equal shapes again; rank 0 becomes rank 0, an empty view stays empty.
pub fn collapse_together<const N: usize>(mut views: [Layout; N]) -> [Layout; N] {
    collapse_all(&mut views);
    views
}

/// The same for any number of views.
pub(crate) fn collapse_all(views: &mut [Layout]) {
    let Some(first) = views.first() else { return };
    let old = first.shape;
    let mut sizes = [0; MAX_RANK];
    let mut rank = 0;
    for (axis, &size) in old.iter().enumerate() {
        if size == 1 {
            continue;
        }
        let joins = rank > 0
            && (views.iter()).all(|v| v.strides[rank - 1] == v.strides[axis].saturating_mul(size));
        if joins {
            sizes[rank - 1] *= size;
        } else {
            sizes[rank] = size;
            rank += 1;
        }
        // A place that was passed already, since rank - 1 is at most axis.
        for view in &mut *views {
            view.strides.as_mut_slice()[rank - 1] = view.strides[axis];
        }
    }
    for view in views {
        view.shape = Shape::from_checked(&sizes[..rank]);
        view.strides = Shape::from_checked(&view.strides[..rank]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(shape: &[usize], strides: &[usize]) -> Layout {
        Layout {
            shape: Shape::from_checked(shape),
            strides: Shape::from_checked(strides),
            offset: 3,
        }
    }

    #[test]
    fn reshape_keeps_views_where_it_can() {
        let transposed = layout(&[4, 6], &[1, 4]);
        assert!(transposed.reshape(Shape::from_checked(&[24])).is_none());
        let split = transposed.reshape(Shape::from_checked(&[2, 2, 6, 1])).unwrap();
        assert_eq!(&split.strides[..], &[2, 1, 4, 0]);
        let rows = layout(&[4, 6], &[8, 1]);
        assert!(rows.reshape(Shape::from_checked(&[24])).is_none());
        assert_eq!(&rows.reshape(Shape::from_checked(&[4, 3, 2])).unwrap().strides[..], &[8, 2, 1]);
    }

    #[test]
    fn collapsing_merges_only_what_steps_as_one() {
        assert_eq!(layout(&[2, 3, 4], &[12, 4, 1]).collapse(), layout(&[24], &[1]));
        assert_eq!(layout(&[2, 1, 4], &[8, 99, 1]).collapse(), layout(&[2, 4], &[8, 1]));
        let [a, b] = collapse_together([layout(&[2, 3], &[3, 1]), layout(&[2, 3], &[0, 1])]);
        assert_eq!((a, b), (layout(&[2, 3], &[3, 1]), layout(&[2, 3], &[0, 1])));
    }

    #[test]
    fn end_is_one_past_the_last_element() {
        assert_eq!(layout(&[4, 6], &[8, 1]).end(), 3 + 3 * 8 + 5 + 1);
        assert_eq!(layout(&[0, 6], &[8, 1]).end(), 0);
    }
}
