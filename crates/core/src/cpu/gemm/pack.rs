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

/// The panels of all rows from `first` on that `panels` has room for.
#[inline(always)]
pub(super) fn pack_group<T: Float, const W: usize>(
    x: Matrix<'_, T>,
    first: usize,
    slice: Range<usize>,
    panels: &mut [[T; W]],
) {
    let depth = slice.len();
    let count = panels.len() / depth;
    if x.row_step != 1 || first + count * W > x.rows {
        for (i, panel) in panels.chunks_exact_mut(depth).enumerate() {
            pack(x, first + i * W, x.rows, slice.clone(), panel);
        }
        return;
    }
    for p in 0..depth {
        let from = &x.data[first + (slice.start + p) * x.column_step..][..count * W];
        for (i, from) in from.as_chunks::<W>().0.iter().enumerate() {
            panels[i * depth + p] = *from;
        }
    }
}

/// Rows that lie in one piece each: a transposition, in squares of 4 by 4.
#[inline(always)]
fn along_rows<T: Float, const W: usize>(
    data: &[T],
    step: usize,
    rows: usize,
    panel: &mut [[T; W]],
) {
    let depth = panel.len();
    let row = |i: usize| data.get(i * step..i * step + depth).unwrap_or(&[]);
    let fours = rows / 4 * 4;
    for top in (0..fours).step_by(4) {
        let from = [row(top), row(top + 1), row(top + 2), row(top + 3)];
        let [(a, _), (b, _), (c, _), (d, _)] = from.map(<[T]>::as_chunks::<4>);
        let (squares, rest) = panel.as_chunks_mut::<4>();
        for (((a, b), (c, d)), square) in a.iter().zip(b).zip(c.iter().zip(d)).zip(squares) {
            // Written out: as a loop, the columns would go through memory once more.
            let [to_w, to_x, to_y, to_z] = square.each_mut().map(|to| &mut to[top..top + 4]);
            let [w, x, y, z] = T::transpose4([*a, *b, *c, *d]);
            to_w.copy_from_slice(&w);
            to_x.copy_from_slice(&x);
            to_y.copy_from_slice(&y);
            to_z.copy_from_slice(&z);
        }
        for (p, to) in (depth / 4 * 4..depth).zip(rest) {
            to[top..top + 4].copy_from_slice(&from.map(|row| row[p]));
        }
    }
    for i in fours..rows {
        panel.iter_mut().zip(row(i)).for_each(|(to, &x)| to[i] = x);
    }
}
