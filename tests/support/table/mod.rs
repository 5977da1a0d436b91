//! The table: one row per operation and form. `tests/registry.rs` demands that none is missing.

mod binary;
mod unary;

use super::row::Row;

/// All rows.
pub fn rows() -> Vec<Row> {
    [unary::rows(), binary::rows()].into_iter().flatten().collect()
}
