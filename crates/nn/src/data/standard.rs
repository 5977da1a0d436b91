//! `Standard`: columns with mean 0 and deviation 1.

use super::Array;
use wgrad_core::{Error, Result};

/// Mean and standard deviation of each column of a table, taken from its training part and applied to all of
/// it: a column x becomes (x − mean)/deviation.
///
/// ```
/// use wgrad_nn::{Array, Standard};
/// let train = Array::f32([2, 2], vec![1.0, 10.0, 3.0, 30.0])?;
/// let standard = Standard::of(&train)?;
/// assert_eq!(standard.mean(), [2.0, 20.0]);
/// assert_eq!(standard.apply(&train)?.as_f32()?, [-1.0, -1.0, 1.0, 1.0]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Standard {
    /// Of an array `[rows, columns]` of floats with at least one row. The deviation is that of the rows
    /// themselves (divided by n); a column that never changes keeps the deviation 1.
    #[track_caller]
    pub fn of(rows: &Array) -> Result<Self> {
        let width = width(rows, None)?;
        let values = rows.as_f32()?;
        let count = rows.rows() as f64;
        if values.is_empty() {
            return Err(Error::empty("standard", format!("no numbers in {:?}", rows.shape())));
        }
        if let Some(at) = rows.first_not_finite() {
            let (row, column) = (at / width, at % width);
            return Err(Error::data(
                "standard",
                format!("row {row}, column {column} is not finite"),
            ));
        }
        let mut mean = vec![0.0; width];
        for row in values.chunks_exact(width) {
            row.iter().zip(&mut mean).for_each(|(&x, mean)| *mean += f64::from(x) / count);
        }
        // Twice over the rows: the difference of two large sums would lose digits.
        let mut square = vec![0.0; width];
        for row in values.chunks_exact(width) {
            for ((&x, mean), square) in row.iter().zip(&mean).zip(&mut square) {
                *square += (f64::from(x) - mean).powi(2) / count;
            }
        }
        // Not by the squares: the mean of equal numbers is rounded, and their distance from it is then not 0.
        let first = &values[..width];
        let same = |i: usize| values.chunks_exact(width).all(|row| row[i] == first[i]);
        let deviation = |(i, square): (usize, &f64)| match square.sqrt() as f32 {
            deviation if deviation > 0.0 && !same(i) => deviation,
            _ => 1.0,
        };
        Ok(Self {
            deviation: square.iter().enumerate().map(deviation).collect(),
            mean: mean.into_iter().map(|x| x as f32).collect(),
        })
    }

    /// Of each column.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Of each column.
    pub fn deviation(&self) -> &[f32] {
        &self.deviation
    }

    /// An array `[rows, columns]` with as many columns, made standard.
    #[track_caller]
    pub fn apply(&self, rows: &Array) -> Result<Array> {
        self.each(rows, |x, mean, deviation| (x - mean) / deviation)
    }

    /// The way back: predictions in the units of the data.
    #[track_caller]
    pub fn undo(&self, rows: &Array) -> Result<Array> {
        self.each(rows, |x, mean, deviation| x * deviation + mean)
    }

    #[track_caller]
    fn each(&self, rows: &Array, f: impl Fn(f32, f32, f32) -> f32) -> Result<Array> {
        let width = width(rows, Some(self.mean.len()))?;
        let mut values = Vec::with_capacity(rows.numel());
        for row in rows.as_f32()?.chunks_exact(width) {
            let columns = self.mean.iter().zip(&self.deviation);
            values.extend(row.iter().zip(columns).map(|(&x, (&mean, &by))| f(x, mean, by)));
        }
        Array::f32(rows.shape(), values)
    }
}

#[track_caller]
fn width(rows: &Array, want: Option<usize>) -> Result<usize> {
    match *rows.shape() {
        [_, width] if width > 0 && want.is_none_or(|want| want == width) => Ok(width),
        _ => Err(Error::shape(
            "standard",
            match want {
                None => format!("the shape {:?}; it must be [rows, columns]", rows.shape()),
                Some(want) => format!("the shape {:?}; it must be [rows, {want}]", rows.shape()),
            },
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_never_changes_keeps_the_deviation_one() -> Result<()> {
        for n in 1..50 {
            let rows = Array::f32(
                [n, 2],
                (0..2 * n).map(|i| if i % 2 == 0 { 0.1 } else { i as f32 }).collect(),
            )?;
            let standard = Standard::of(&rows)?;
            assert_eq!(standard.deviation()[0], 1.0, "{n} rows");
            assert_eq!(n > 2, standard.deviation()[1] != 1.0, "{n} rows");
        }
        Ok(())
    }
}
