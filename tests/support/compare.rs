//! Comparison that fails on NaN, and says how much is wrong and where.

use std::fmt::Write;

/// Why a row failed: wrong values, or anything else (which no sabotage may hide behind).
#[derive(Clone, Debug)]
pub enum Failure {
    /// Values, shapes or bits differ.
    Mismatch(String),
    /// An error, a wrong kernel, a read where none should be.
    Broken(String),
}

impl Failure {
    pub fn text(self) -> String {
        match self {
            Failure::Mismatch(text) | Failure::Broken(text) => text,
        }
    }

    /// The same failure with a place in front.
    pub fn at(self, place: &str) -> Failure {
        match self {
            Failure::Mismatch(text) => Failure::Mismatch(format!("{place}: {text}")),
            Failure::Broken(text) => Failure::Broken(format!("{place}: {text}")),
        }
    }
}

impl From<wgrad_core::Error> for Failure {
    fn from(error: wgrad_core::Error) -> Failure {
        Failure::Broken(format!("{error:?}"))
    }
}

/// Whether both values are the same number; NaN equals NaN, and the sign of zero is not looked at.
fn same(got: f64, want: f64) -> bool {
    got == want || (got.is_nan() && want.is_nan())
}

/// An error unless every element lies within its bound. NaN only fits NaN, infinity only itself.
pub fn close(
    what: &str,
    shape: &[usize],
    got: &[f64],
    want: &[f64],
    bound: impl Fn(usize) -> f64,
) -> Result<(), Failure> {
    if got.len() != want.len() {
        return Err(Failure::Mismatch(format!(
            "{what}: {} elements, expected {} of shape {shape:?}",
            got.len(),
            want.len()
        )));
    }
    let (mut wrong, mut worst, mut worst_by) = (0, 0, -1.0);
    for i in 0..got.len() {
        let (g, w) = (got[i], want[i]);
        // Written so that a NaN anywhere counts as wrong.
        let fits = same(g, w) || (w.is_finite() && (g - w).abs() <= bound(i));
        if !fits {
            wrong += 1;
            let by = if g.is_finite() && w.is_finite() {
                (g - w).abs() / bound(i)
            } else {
                f64::INFINITY
            };
            if by > worst_by {
                (worst, worst_by) = (i, by);
            }
        }
    }
    if wrong == 0 {
        return Ok(());
    }
    let mut text =
        format!("{what}: {wrong} of {} elements of shape {shape:?} are wrong", got.len());
    let _ = write!(
        text,
        "; worst at {:?}: got {:?}, want {:?}, bound {:e}",
        coordinates(worst, shape),
        got[worst],
        want[worst],
        bound(worst)
    );
    Err(Failure::Mismatch(text))
}

/// An error unless both have the same bits.
pub fn bits(what: &str, shape: &[usize], got: &[f64], want: &[f64]) -> Result<(), Failure> {
    let wrong: Vec<usize> = (0..got.len().max(want.len()))
        .filter(|&i| got.get(i).map(|x| x.to_bits()) != want.get(i).map(|x| x.to_bits()))
        .collect();
    let Some(&first) = wrong.first() else { return Ok(()) };
    Err(Failure::Mismatch(format!(
        "{what}: {} of {} elements of shape {shape:?} differ in their bits; first at {:?}: {:?} and {:?}",
        wrong.len(),
        want.len(),
        coordinates(first, shape),
        got.get(first),
        want.get(first)
    )))
}

/// A flat index as one index per axis.
fn coordinates(flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = flat;
    let mut at = vec![0; shape.len()];
    for (i, &size) in shape.iter().enumerate().rev() {
        at[i] = rest % size.max(1);
        rest /= size.max(1);
    }
    at
}
