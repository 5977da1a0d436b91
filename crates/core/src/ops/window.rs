//! Windows that slide over height and width: how many fit, the two numbers that describe them, and what convolutions
//! and poolings ask of their operands.

use crate::{Error, Meta, Result, Tensor};

/// Two numbers, for height and width. One number stands for both.
///
/// ```
/// use wgrad_core::Pair;
/// assert_eq!(Pair::from(3), Pair([3, 3]));
/// assert_eq!(Pair::from([1, 3]), Pair::from((1, 3)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair(pub [usize; 2]);

impl From<usize> for Pair {
    fn from(both: usize) -> Pair {
        Pair([both; 2])
    }
}

impl From<[usize; 2]> for Pair {
    fn from(pair: [usize; 2]) -> Pair {
        Pair(pair)
    }
}

impl From<(usize, usize)> for Pair {
    fn from((height, width): (usize, usize)) -> Pair {
        Pair([height, width])
    }
}

/// Elements that a kernel with gaps reaches over; `None` where that overflows or the kernel is empty.
pub(crate) fn reach(kernel: usize, dilation: usize) -> Option<usize> {
    kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)
}

/// How many windows fit along an axis; `None` where not even one does, or a size overflows.
pub(crate) fn count(
    size: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
) -> Option<usize> {
    let padded = padding.checked_mul(2)?.checked_add(size)?;
    Some(padded.checked_sub(reach(kernel, dilation)?)?.checked_div(stride)? + 1)
}

/// How many windows fit over height and width; `None` where none does, or there is nothing to slide over.
pub(crate) fn counts(
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
) -> Option<[usize; 2]> {
    let along = |i: usize| {
        count(size[i], kernel[i], stride[i], padding[i], dilation[i]).filter(|_| size[i] > 0)
    };
    Some([along(0)?, along(1)?])
}

/// An error unless all numbers of the options of this name are at least 1.
#[track_caller]
pub(crate) fn need_positive(op: &'static str, name: &str, value: [usize; 2]) -> Result<()> {
    if value.contains(&0) {
        return Err(Error::argument(op, format!("{name} {value:?}; it must be at least 1")));
    }
    Ok(())
}

/// The four sizes of an operand, `[n, channels, height, width]` or a weight's; `needs` begins the error.
#[track_caller]
pub(crate) fn four(op: &'static str, needs: &str, x: &Meta) -> Result<[usize; 4]> {
    match x.shape.as_ref().try_into() {
        Ok(sizes) => Ok(sizes),
        Err(_) => {
            let (shape, rank) = (x.shape, x.shape.rank());
            Err(Error::rank(op, format!("{needs}, got {shape:?} of rank {rank}")))
        }
    }
}

/// A sequence `[n, channels, length]` as images of height 1, or a weight likewise; `needs` begins the error.
#[track_caller]
pub(crate) fn as_image(op: &'static str, needs: &str, x: &Tensor) -> Result<Tensor> {
    if x.rank() != 3 {
        let (shape, rank) = (x.shape(), x.rank());
        return Err(Error::rank(op, format!("{needs}, got {shape:?} of rank {rank}")));
    }
    x.unsqueeze(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_right_or_none() {
        assert_eq!(count(28, 3, 1, 1, 1), Some(28));
        assert_eq!(count(7, 3, 2, 0, 1), Some(3));
        assert_eq!(count(7, 3, 2, 0, 3), Some(1));
        assert_eq!(count(7, 7, 1, 0, 1), Some(1));
        for bad in [
            count(6, 7, 1, 0, 1),
            count(6, 3, 1, 0, 3),
            count(6, 0, 1, 0, 1),
            count(6, 3, 0, 0, 1),
            count(6, 3, 1, usize::MAX, 1),
            count(6, usize::MAX, 1, 0, 2),
        ] {
            assert_eq!(bad, None);
        }
    }
}
