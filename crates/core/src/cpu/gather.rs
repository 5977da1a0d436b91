//! Rows by index, sums of rows by index, one-hot rows. Indices are checked before anything is written.

use super::{
    number::{Number, for_number, for_word},
    operand::{In, Out, each, runs, select_axes},
};
use crate::{DType, Error, Layout, Result, bad_index};

/// All indices in row-major order, each known to lie in `0..limit`.
fn checked_indices(op: &'static str, index: &In<'_>, limit: usize) -> Result<Vec<usize>> {
    Ok(counted_indices(op, index, limit, None)?.into_iter().flatten().collect())
}

/// The same, with `None` in the place of those that do not count, which may be any number.
pub(super) fn counted_indices(
    op: &'static str,
    index: &In<'_>,
    limit: usize,
    ignored: Option<i32>,
) -> Result<Vec<Option<usize>>> {
    let values: Vec<i64> = match index.dtype {
        DType::I32 => index.of::<i32>().elements().iter().map(|&i| i.into()).collect(),
        DType::U32 => index.of::<u32>().elements().iter().map(|&i| i.into()).collect(),
        other => return Err(super::unsupported(op, other)),
    };
    let check = |(position, value): (usize, i64)| match usize::try_from(value) {
        _ if ignored.is_some_and(|ignored| value == i64::from(ignored)) => Ok(None),
        Ok(index) if index < limit => Ok(Some(index)),
        _ => Err(bad_index(op, value, position, limit)),
    };
    values.into_iter().enumerate().map(check).collect()
}

/// Splits a layout into its first `lead` axes and the rest, the rest starting at 0.
fn split(layout: &Layout, lead: usize) -> (Layout, Layout) {
    let rest = select_axes(layout, |axis| axis >= lead);
    (select_axes(layout, |axis| axis < lead), Layout { offset: 0, ..rest })
}

pub(super) fn gather(table: &In<'_>, index: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    let Some(&limit) = table.layout.shape.first() else {
        return Err(Error::internal("gather", "a table without rows"));
    };
    let mut indices = checked_indices("gather", index, limit)?.into_iter();
    for_word!(table.dtype, "gather", T => {
        let (table, y) = (table.of::<T>(), y.of::<T>());
        let (places, out_row) = split(&y.layout, index.layout.shape.rank());
        let (_, row) = split(&table.layout, 1);
        let (start, step) = (table.layout.offset, table.layout.strides[0]);
        each([places], |[to]| {
            let from = start + indices.next().unwrap_or(0) * step;
            runs([row, out_row], |[i, o], steps, n| {
                let (i, o) = (from + i, to + o);
                match steps {
                    [1, 1] => y.data[o..o + n].copy_from_slice(&table.data[i..i + n]),
                    [si, so] => {
                        for j in 0..n {
                            y.data[o + j * so] = table.data[i + j * si];
                        }
                    }
                }
            });
        });
    });
    Ok(())
}

pub(super) fn scatter_rows(rows: usize, x: &In<'_>, index: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    let indices = checked_indices("scatter_rows", index, rows)?;
    // Positions by row, in the order of the indices within each: a counting sort.
    let mut starts = vec![0; rows + 1];
    for &row in &indices {
        starts[row + 1] += 1;
    }
    for row in 0..rows {
        starts[row + 1] += starts[row];
    }
    let (mut sorted, mut next) = (vec![0; indices.len()], starts.clone());
    for (position, &row) in indices.iter().enumerate() {
        sorted[next[row]] = position;
        next[row] += 1;
    }
    for_number!(x.dtype, "scatter_rows", T => {
        let (x, y) = (x.of::<T>(), y.of::<T>());
        let (places, row) = split(&x.layout, index.layout.shape.rank());
        let (_, out_row) = split(&y.layout, 1);
        let mut from = Vec::with_capacity(indices.len());
        each([places], |[at]| from.push(at));
        let mut sums = vec![T::NO_SUM; row.numel()];
        for target in 0..rows {
            sums.fill(T::NO_SUM);
            for &position in &sorted[starts[target]..starts[target + 1]] {
                let mut sums = sums.iter_mut();
                each([row], |[at]| {
                    if let Some(sum) = sums.next() {
                        *sum = T::sum(*sum, x.data[from[position] + at]);
                    }
                });
            }
            let to = y.layout.offset + target * y.layout.strides[0];
            let mut sums = sums.iter();
            each([out_row], |[at]| {
                if let Some(&sum) = sums.next() {
                    y.data[to + at] = T::total(sum);
                }
            });
        }
    });
    Ok(())
}

pub(super) fn one_hot(classes: usize, index: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    let mut indices = checked_indices("one_hot", index, classes)?.into_iter();
    let lead = index.layout.shape.rank();
    let mut y = y.of::<f32>();
    y.fill(0.0);
    let step = y.layout.strides[lead];
    each([select_axes(&y.layout, |axis| axis < lead)], |[at]| {
        y.data[at + indices.next().unwrap_or(0) * step] = 1.0;
    });
    Ok(())
}
