//! Shapes, and the broadcasting rule.

use crate::{Error, Result};
use std::{fmt, ops::Deref};

/// The largest rank a tensor may have.
pub const MAX_RANK: usize = 6;

/// The sizes of a tensor, outermost first; kept inline, so copying it costs nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    rank: u8,
    dims: [usize; MAX_RANK],
}

impl Shape {
    /// A shape from sizes; more than [`MAX_RANK`] of them, or a product that overflows, is an error.
    #[track_caller]
    pub fn new(op: &'static str, sizes: &[usize]) -> Result<Self> {
        if sizes.len() > MAX_RANK {
            return Err(Error::rank(
                op,
                format!("{sizes:?} has rank {}; tensors have rank at most {MAX_RANK}", sizes.len()),
            ));
        }
        // Elements of size 8 must still be addressable, whatever other sizes are zero.
        let fits = sizes
            .iter()
            .try_fold(8usize, |bytes, &size| bytes.checked_mul(size.max(1)))
            .is_some_and(|bytes| isize::try_from(bytes).is_ok());
        if !fits {
            return Err(Error::size(
                op,
                format!("{sizes:?} has more elements than memory can address; use smaller sizes"),
            ));
        }
        Ok(Self::from_checked(sizes))
    }

    /// A shape, or strides, from numbers already known to be legal: at most [`MAX_RANK`] of them, further
    /// ones are dropped. For backends.
    #[doc(hidden)]
    pub fn from_checked(sizes: &[usize]) -> Self {
        let mut shape = Self { rank: 0, dims: [0; MAX_RANK] };
        for (dim, &size) in shape.dims.iter_mut().zip(sizes) {
            *dim = size;
            shape.rank += 1;
        }
        shape
    }

    /// The shape of a scalar: no dimensions, one element.
    pub fn scalar() -> Self {
        Self::from_checked(&[])
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        usize::from(self.rank)
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.iter().product()
    }

    /// Element strides of a contiguous tensor of this shape.
    pub fn contiguous_strides(&self) -> Shape {
        let mut strides = *self;
        let mut step = 1;
        for axis in (0..self.rank()).rev() {
            strides.dims[axis] = step;
            step *= self.dims[axis].max(1);
        }
        strides
    }

    /// This shape with the size along `axis` replaced.
    pub(crate) fn with(mut self, axis: usize, size: usize) -> Self {
        if let Some(dim) = self.as_mut_slice().get_mut(axis) {
            *dim = size;
        }
        self
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [usize] {
        &mut self.dims[..usize::from(self.rank)]
    }

    /// The shape both operands stretch to: aligned at the right, sizes equal or 1 (NumPy's rule).
    #[track_caller]
    pub(crate) fn broadcast(op: &'static str, a: &[usize], b: &[usize]) -> Result<Shape> {
        let rank = a.len().max(b.len());
        let mut out = [0; MAX_RANK];
        for (axis, size) in out.iter_mut().enumerate().take(rank) {
            let side = |s: &[usize]| (axis + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
            *size = match (side(a), side(b)) {
                (x, y) if x == y => x,
                (1, y) => y,
                (x, 1) => x,
                _ => {
                    return Err(Error::shape(
                        op,
                        format!(
                            "cannot broadcast {a:?} with {b:?}; sizes, aligned at the right, must be equal or 1"
                        ),
                    ));
                }
            };
        }
        Shape::new(op, &out[..rank])
    }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.dims[..usize::from(self.rank)]
    }
}

impl AsRef<[usize]> for Shape {
    fn as_ref(&self) -> &[usize] {
        self
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Turns an axis that may count from the end (-1 is the last) into an index.
#[track_caller]
pub(crate) fn axis_index(op: &'static str, axis: isize, rank: usize) -> Result<usize> {
    let index = if axis < 0 { axis.checked_add_unsigned(rank) } else { Some(axis) };
    match index.and_then(|i| usize::try_from(i).ok()) {
        Some(index) if index < rank => Ok(index),
        _ => Err(Error::axis(op, format!("axis {axis} does not exist in a tensor of rank {rank}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        let b = |a: &[usize], b: &[usize]| Shape::broadcast("add", a, b).map(|s| s.to_vec());
        assert_eq!(b(&[2, 3], &[3]).unwrap(), [2, 3]);
        assert_eq!(b(&[4, 1, 3], &[2, 1]).unwrap(), [4, 2, 3]);
        assert_eq!(b(&[0], &[1]).unwrap(), [0]);
        assert_eq!(b(&[2, 0, 3], &[2, 1, 3]).unwrap(), [2, 0, 3]);
        assert_eq!(b(&[], &[2]).unwrap(), [2]);
        for (x, y) in [(&[2usize, 3][..], &[4usize][..]), (&[2, 3], &[2]), (&[0], &[2])] {
            assert!(b(x, y).is_err(), "{x:?} {y:?}");
        }
    }

    #[test]
    fn overflowing_products_are_refused_without_allocation() {
        assert!(Shape::new("zeros", &[1 << 32, 1 << 32]).is_err());
        assert!(Shape::new("zeros", &[0, 1 << 40, 1 << 40]).is_err());
        assert!(Shape::new("zeros", &[1; 7]).is_err());
    }
}
