//! Panels: rows of a matrix side by side, so that a tile reads them in one stream.

use super::Matrix;
use crate::cpu::number::Float;
use std::ops::Range;

/// `panel[p][i] = x[first + i][slice.start + p]`, and 0 for rows from `end` on.
#[inline(always)]
pub(super) fn pack<T: Float, const W: usize>(
    x: Matrix<'_, T>,
    first: usize,
    end: usize,
    slice: Range<usize>,
    panel: &mut [[T; W]],
) {
    let rows = W.min(end.saturating_sub(first));
    let at = first * x.row_step + slice.start * x.column_step;
    let data = x.data.get(at..).unwrap_or(&[]);
    if rows < W {
        panel.fill([T::ZERO; W]);
    }
    if x.row_step == 1 && rows == W {
        for (p, to) in panel.iter_mut().enumerate() {
            if let Some(from) = data.get(p * x.column_step..).and_then(|d| d.first_chunk::<W>()) {
                *to = *from;
            }
        }
    } else if x.column_step == 1 {
        along_rows(data, x.row_step, rows, panel);
    } else {
        for (p, to) in panel.iter_mut().enumerate() {
            for (i, to) in to[..rows].iter_mut().enumerate() {
                *to = data[i * x.row_step + p * x.column_step];
            }
        }
    }
}

/// Rows that lie in one piece each: a transposition, a few elements of each row at a time.
#[inline(always)]
fn along_rows<T: Float, const W: usize>(
    data: &[T],
    step: usize,
    rows: usize,
    panel: &mut [[T; W]],
) {
    const AT_ONCE: usize = 8;
    let depth = panel.len();
    let row = |i: usize| &data[i * step..i * step + depth];
    let mut from: [&[T]; W] = [&[]; W];
    for (i, from) in from[..rows].iter_mut().enumerate() {
        *from = row(i);
    }
    let mut first = 0;
    while first < depth {
        let count = AT_ONCE.min(depth - first);
        let to = &mut panel[first..first + count];
        match <&mut [[T; W]; AT_ONCE]>::try_from(&mut *to) {
            Ok(to) => {
                for i in 0..rows {
                    let Some(from) = from[i][first..].first_chunk::<AT_ONCE>() else { continue };
                    for p in 0..AT_ONCE {
                        to[p][i] = from[p];
                    }
                }
            }
            Err(_) => {
                for i in 0..rows {
                    for (to, &x) in to.iter_mut().zip(&from[i][first..]) {
                        to[i] = x;
                    }
                }
            }
        }
        first += count;
    }
}
