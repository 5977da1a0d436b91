//! Windows that slide over height and width: how many fit, and the two numbers that describe them.

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
