//! Sums and maxima of rows, side by side in lanes so that they go through vector registers. Which element
//! meets which is settled by the length of a row alone.

use super::number::Float;

/// Running sums side by side, so that none waits for the one before.
const LANES: usize = 32;
/// Elements after which sums go on in f64: f32 alone would lose digits in long rows.
const PIECE: usize = 32 * LANES;

/// Σ f(a, b) over two rows of equal length; within a piece in the type that `f` gives.
#[inline(always)]
pub(super) fn total<A, S: Float>(a: &[A], b: &[A], f: impl Fn(&A, &A) -> S) -> f64 {
    let mut sum = 0.0;
    for (a, b) in a.chunks(PIECE).zip(b.chunks(PIECE)) {
        let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        let mut lanes = [S::ZERO; LANES];
        for (a, b) in a.iter().zip(b) {
            for (sum, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *sum = *sum + f(a, b);
            }
        }
        for (sum, (a, b)) in lanes.iter_mut().zip(rest_a.iter().zip(rest_b)) {
            *sum = *sum + f(a, b);
        }
        sum += joined(lanes, |a, b| a + b).to_f64();
    }
    sum
}

/// The largest element, or NaN if there is one; −∞ of none.
#[inline(always)]
pub(super) fn largest<T: Float>(x: &[T]) -> T {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [T::LOWEST; LANES];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(max, &x)| *max = max.larger(x));
    }
    lanes.iter_mut().zip(rest).for_each(|(max, &x)| *max = max.larger(x));
    joined(lanes, T::larger)
}

/// The lanes as one, as a tree: one after the other they would wait for each other.
#[inline(always)]
fn joined<T: Copy>(mut lanes: [T; LANES], join: impl Fn(T, T) -> T) -> T {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        let (low, high) = lanes.split_at_mut(width);
        low.iter_mut().zip(high).for_each(|(a, b)| *a = join(*a, *b));
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::{LANES, PIECE, largest, total};

    #[test]
    fn rows_of_any_length_are_summed_whole() {
        for n in [0, 1, 31, 32, 33, 63, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 40] {
            let x: Vec<f32> = (0..n).map(|i| (i % 7) as f32).collect();
            let want: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
            assert_eq!(total(&x, &x, |a, b| a * b), want, "{n}");
            for at in [0, n / 2, n.saturating_sub(1)] {
                let mut x = x.clone();
                let Some(here) = x.get_mut(at) else { continue };
                *here = 9.0;
                assert_eq!(largest(&x), 9.0, "{n} {at}");
                x[at] = f32::NAN;
                assert!(largest(&x).is_nan(), "{n} {at}");
            }
        }
        assert_eq!(largest::<f32>(&[]), f32::NEG_INFINITY);
    }

    /// In f32 alone the ones would vanish beside 2^24: here only those in its lane and its piece do.
    #[test]
    fn long_rows_keep_their_digits() {
        let mut x = vec![1.0f32; 1 << 16];
        x[0] = 16_777_216.0;
        let lost = (PIECE / LANES - 1) as f64;
        assert_eq!(total(&x, &x, |a, _| *a), 16_777_216.0 + 65_535.0 - lost);
    }
}
