//! `matmul_registers`: tiles for GPUs.

use super::{Built, Product, Sizes, epilogue::specialise};
use crate::Caps;
use wgrad_core::Result;
use wgrad_shaders::Kernel;

/// Sizes of `matmul_registers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tile {
    /// 128×128×16, 8×16 a thread, 128 threads: never chosen, to be measured against the next.
    Wide,
    /// 128×128×16, 8×8 a thread, 256 threads.
    Large,
    /// 64×64×16, 8×8 a thread, 64 threads.
    Medium,
    /// 32×32×16, 4×4 a thread, 64 threads.
    Small,
}

impl Tile {
    /// bm, bn, bk, tm, tn
    fn sizes(self) -> [u32; 5] {
        match self {
            Tile::Wide => [128, 128, 16, 8, 16],
            Tile::Large => [128, 128, 16, 8, 8],
            Tile::Medium => [64, 64, 16, 8, 8],
            Tile::Small => [32, 32, 16, 4, 4],
        }
    }

    /// Rows and columns of the result per workgroup.
    pub(super) fn block(self) -> [usize; 2] {
        let [bm, bn, ..] = self.sizes();
        [bm as usize, bn as usize]
    }

    /// Whether an adapter has the threads and the workgroup memory.
    pub(super) fn fits(self, caps: &Caps) -> bool {
        let [bm, bn, bk, tm, tn] = self.sizes();
        bm / tm * (bn / tn) <= caps.max_lanes && (bm + bn) * bk * 4 <= caps.workgroup_memory
    }
}

pub(super) fn registers(tile: Tile, product: &Product) -> Result<Built> {
    let [bm, bn, bk, tm, tn] = tile.sizes();
    let Product { a, b, y, sizes, epilogue, .. } = product;
    let y_vec4 = sizes.n.is_multiple_of(4) && y.offset.is_multiple_of(4) && epilogue.by_four();
    let whole = a.vec4 && b.vec4 && y_vec4 && whole(sizes, [bm, bn, bk]);
    let mut kernel = Kernel {
        name: "matmul_registers",
        values: vec![
            ("bm", bm),
            ("bn", bn),
            ("bk", bk),
            ("tm", tm),
            ("tn", tn),
            ("a_vec4", u32::from(a.vec4)),
            ("b_vec4", u32::from(b.vec4)),
            ("y_vec4", u32::from(y_vec4)),
            ("whole", u32::from(whole)),
        ],
        aliases: vec![("a_layout", a.layout), ("b_layout", b.layout)],
        ..Kernel::default()
    };
    let numbers = Some(specialise(&mut kernel, epilogue)?);
    Ok(Built { kernel, block: (bm, bn), numbers })
}

/// Whether all sizes are multiples of the tile's, so that nothing need be masked.
pub(super) fn whole(sizes: &Sizes, [bm, bn, bk]: [u32; 3]) -> bool {
    let fits = |size: usize, tile: u32| size.is_multiple_of(tile as usize);
    fits(sizes.m, bm) && fits(sizes.n, bn) && fits(sizes.k, bk)
}
