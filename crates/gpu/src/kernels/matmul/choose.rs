//! Which variant for which product: one table.

use super::{MatMulVariant, Tile};
use crate::Caps;

/// A product's sizes, as far as the choice of a kernel depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Inner size.
    pub k: usize,
    /// How many products.
    pub batches: usize,
    /// Whether both operands can be read four elements at a time.
    pub aligned: bool,
}

/// The table: which variant for a product of these sizes on this adapter.
pub fn choose(s: &Sizes, caps: &Caps) -> MatMulVariant {
    if let Some(forced) = caps.force_matmul {
        return forced;
    }
    let tiles = |rows: usize, cols: usize| s.m.div_ceil(rows) * s.n.div_ceil(cols) * s.batches;
    if caps.software {
        let shuffle = caps.subgroups == Some((8, 8));
        let threads = caps.threads as usize;
        let work = (s.m * s.n * s.batches).saturating_mul(s.k);
        // Few tiles, since each costs 0.1 to 0.4 s to compile at its first use (benches/LOG.md).
        let (rows, cols4) = match (shuffle, s.aligned) {
            (true, true) if work >= 1 << 27 && tiles(32, 64) >= 4 * threads => (32, 2),
            (true, true) if work >= 1 << 22 && tiles(16, 64) < threads => (8, 1),
            (true, true) => (16, 2),
            (true, false) => (16, 1),
            (false, _) => (8, 1),
        };
        return MatMulVariant::Lanes { rows, cols4, shuffle };
    }
    // The largest tile of which there are enough to fill a large GPU, else a smaller one.
    let tile = if tiles(128, 128) >= 128 {
        Tile::Large
    } else if tiles(64, 64) >= 64 {
        Tile::Medium
    } else {
        Tile::Small
    };
    MatMulVariant::Registers(tile)
}
