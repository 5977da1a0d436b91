//! The table: one row per operation and form. `tests/registry.rs` demands that none is missing.

mod attention;
mod batch_norm;
mod binary;
mod create;
mod dropout;
mod half;
mod index;
mod losses;
mod matmul;
mod norm;
mod optimizer;
mod random;
mod reduce;
mod shape;
mod softmax;
mod step;
pub mod unary;

mod conv;
mod pool;

use super::{
    inputs::{Input, Lie},
    row::Row,
};

/// All rows.
pub fn rows() -> Vec<Row> {
    let families = [
        unary::rows(),
        binary::rows(),
        reduce::rows(),
        matmul::rows(),
        softmax::rows(),
        attention::rows(),
        index::rows(),
        shape::rows(),
        create::rows(),
        optimizer::rows(),
        half::rows(),
        random::rows(),
        step::rows(),
        conv::rows(),
        pool::rows(),
        norm::rows(),
        batch_norm::rows(),
        dropout::rows(),
        losses::rows(),
    ];
    families.into_iter().flatten().collect()
}

/// One element more than a grid of 65535 workgroups of 64 threads reaches without stepping.
const BEYOND_ONE_GRID: usize = 65_535 * 64 + 1;

/// Every way to lie that a tensor of rank 2 or more has.
const LIES: [Lie; 7] = [
    Lie::Transposed,
    Lie::Permuted,
    Lie::Offset,
    Lie::Rows,
    Lie::Stepped,
    Lie::Spread,
    Lie::SpreadInner,
];

/// An input in every way it can lie.
fn in_every_lie(input: Input) -> impl Iterator<Item = Input> {
    LIES.into_iter().map(move |lie| input.clone().lie(lie))
}
