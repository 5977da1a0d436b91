//! An operand as kernels read it: which direction is contiguous, and whether four at a time.

use wgrad_core::Layout;

/// An operand as the kernel reads it.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub layout: &'static str,
    pub vec4: bool,
    pub offset: usize,
    pub row: usize,
    pub col: usize,
    pub batch: [usize; 4],
}

pub(super) fn side(x: &Layout) -> Side {
    let rank = x.shape.rank();
    let (row, col) = (x.strides[rank - 2], x.strides[rank - 1]);
    let mut batch = [0; 4];
    for (to, &stride) in batch.iter_mut().rev().zip(x.strides[..rank - 2].iter().rev()) {
        *to = stride;
    }
    // A side of size 1 has no stride of its own: it counts as contiguous either way.
    let unit_row = row == 1 && col != 1;
    let by_four = |stride: usize| {
        x.offset.is_multiple_of(4)
            && stride.is_multiple_of(4)
            && batch.iter().all(|s| s.is_multiple_of(4))
    };
    let (layout, vec4) = if col == 1 && row != 1 && by_four(row) {
        ("row", true)
    } else if row == 1 && col != 1 && by_four(col) {
        ("col", true)
    } else {
        (if unit_row { "col" } else { "row" }, false)
    };
    Side { layout, vec4, offset: x.offset, row, col, batch }
}
