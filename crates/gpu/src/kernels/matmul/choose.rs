//! Which variant for which product: one table.

use super::{MatMulVariant, Square, Tile, thin};
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
    /// Whether the operand with more lines (rows of A, columns of B) is contiguous along k.
    pub along_k: bool,
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
            (true, true) if work >= 1 << 24 && tiles(32, 64) >= 4 * threads => (32, 2),
            (true, true) if work >= 1 << 22 && tiles(16, 64) < threads => (8, 1),
            (true, true) => (16, 2),
            (true, false) => (16, 1),
            (false, _) => (8, 1),
        };
        return MatMulVariant::Lanes { rows, cols4, shuffle };
    }
    for_gpu(s, caps)
}

// The numbers below are estimates for large GPUs and not measured yet (benches/LOG.md). wgpu does not say how
// many processors a GPU has: these are for 64 to 144.

/// Workgroups that fill a large GPU.
const FULL: usize = 128;
/// Workgroups that are aimed at where k is split.
const SPLIT_TO: usize = 256;
/// What a part of k has at least: below that, writing and summing the parts costs more than is won.
const MIN_PART: usize = 256;
/// Most parts of k.
const MAX_PARTS: usize = 16;

/// The table for GPUs, from top to bottom.
///
/// | result                                    | kernel                                                 |
/// |-------------------------------------------|--------------------------------------------------------|
/// | at most 8 rows or columns                 | `Thin`                                                 |
/// | asked for f16, m, n, k >= 64, 32 or more squares | `Cooperative` of 128 if those fill the GPU, else 64 |
/// | enough tiles to fill the GPU, split or not | `Registers` with the largest such tile                |
/// | less                                      | `Registers` with the small tile, split as far as it goes |
///
/// k is split where there are too few workgroups: see [`parts`].
fn for_gpu(s: &Sizes, caps: &Caps) -> MatMulVariant {
    let blocks = |rows: usize, cols: usize| s.m.div_ceil(rows) * s.n.div_ceil(cols) * s.batches;
    let few = s.m.min(s.n);
    if few <= thin::FEW {
        let lines = s.m.max(s.n);
        let groups = lines.div_ceil(thin::lines(s.along_k, s.k)) * s.batches;
        return MatMulVariant::Thin { parts: parts(groups, s, caps) };
    }
    if caps.cooperative.is_some() && !caps.software && few.min(s.k) >= 64 {
        for (square, least) in [(Square::Of128, FULL), (Square::Of64, FULL / 4)] {
            let squares = blocks(square.edge(), square.edge());
            let parts = parts(squares, s, caps);
            if square.fits(caps) && squares * parts as usize >= least {
                return MatMulVariant::Cooperative { square, parts };
            }
        }
    }
    for tile in [Tile::Large, Tile::Medium] {
        let [rows, cols] = tile.block();
        let tiles = blocks(rows, cols);
        let parts = parts(tiles, s, caps);
        // Most of a tile should be inside the result.
        if tile.fits(caps) && few >= rows / 2 && tiles * parts as usize >= FULL {
            return MatMulVariant::Registers { tile, parts };
        }
    }
    MatMulVariant::Registers { tile: Tile::Small, parts: parts(blocks(32, 32), s, caps) }
}

/// How many parts of k: 1 where the workgroups are enough, else so many that they become [`SPLIT_TO`], as
/// long as a part has [`MIN_PART`] and the working space fits one binding.
fn parts(groups: usize, s: &Sizes, caps: &Caps) -> u32 {
    if groups * 2 > FULL {
        return 1;
    }
    let result = (s.m * s.n * s.batches).max(1) as u64 * 4;
    let held = usize::try_from(caps.max_binding / result).unwrap_or(usize::MAX);
    let most = (s.k / MIN_PART).min(held).clamp(1, MAX_PARTS);
    (SPLIT_TO / groups.max(1)).clamp(1, most) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cooperative;

    fn sizes(m: usize, n: usize, k: usize) -> Sizes {
        Sizes { m, n, k, batches: 1, aligned: true, along_k: true }
    }

    const fn registers(tile: Tile, parts: u32) -> MatMulVariant {
        MatMulVariant::Registers { tile, parts }
    }

    #[test]
    fn the_table_for_gpus() {
        let caps = Caps::floor(false, 0);
        let thin = |parts| MatMulVariant::Thin { parts };
        for ([m, n, k], want) in [
            ([4096, 4096, 4096], registers(Tile::Large, 1)),
            ([2048, 1024, 64], registers(Tile::Large, 1)),
            ([1024, 1024, 1024], registers(Tile::Large, 4)),
            ([1024, 1024, 128], registers(Tile::Medium, 1)),
            ([512, 512, 512], registers(Tile::Medium, 2)),
            ([512, 512, 60_000], registers(Tile::Large, 16)),
            // A dense layer's weights: few results, k is the batch.
            ([128, 784, 4096], registers(Tile::Medium, 9)),
            ([10, 128, 4096], registers(Tile::Small, 16)),
            ([64, 128, 784], registers(Tile::Small, 3)),
            ([64, 10, 128], registers(Tile::Small, 1)),
            ([9, 9, 9], registers(Tile::Small, 1)),
            ([1, 4096, 4096], thin(1)),
            ([4096, 8, 4096], thin(1)),
            ([1, 64, 4096], thin(16)),
            ([1, 1, 100], thin(1)),
            ([1, 1, 1_000_000], thin(16)),
            ([3, 4, 0], thin(1)),
        ] {
            assert_eq!(choose(&sizes(m, n, k), &caps), want, "{m} x {n} x {k}");
        }
    }

    #[test]
    fn a_tile_that_does_not_fit_is_not_chosen() {
        let small = Caps { workgroup_memory: 8 << 10, ..Caps::floor(false, 0) };
        assert_eq!(choose(&sizes(4096, 4096, 64), &small), registers(Tile::Medium, 1));
        let narrow = Caps { max_lanes: 128, ..Caps::floor(false, 0) };
        assert_eq!(choose(&sizes(4096, 4096, 64), &narrow), registers(Tile::Medium, 1));
    }

    #[test]
    fn working_space_fits_one_binding() {
        let caps = Caps { max_binding: 1 << 20, ..Caps::floor(false, 0) };
        assert_eq!(choose(&sizes(256, 256, 1 << 20), &caps), registers(Tile::Small, 4));
    }

    #[test]
    fn matrix_units_only_where_asked_for_and_never_on_software() {
        let caps = Caps {
            cooperative: Some(Cooperative { edge: 16, subgroup: 32, packed: true }),
            workgroup_memory: 48 << 10,
            ..Caps::floor(false, 0)
        };
        let cooperative = |square, parts| MatMulVariant::Cooperative { square, parts };
        let at = |m, n, k| choose(&sizes(m, n, k), &caps);
        assert_eq!(at(4096, 4096, 4096), cooperative(Square::Of128, 1));
        assert_eq!(at(512, 512, 64), cooperative(Square::Of64, 1));
        assert_eq!(at(64, 128, 784), registers(Tile::Small, 3));
        assert_eq!(at(4096, 4096, 32), registers(Tile::Large, 1));
        let software = Caps { software: true, threads: 4, ..caps };
        let chosen = choose(&sizes(4096, 4096, 4096), &software);
        assert!(matches!(chosen, MatMulVariant::Lanes { .. }), "{chosen:?}");
    }
}
