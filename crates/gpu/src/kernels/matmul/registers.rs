//! `matmul_registers`: tiles for GPUs.

use super::{
    Built,
    epilogue::{Epilogue, activate},
    side::Side,
};
use wgrad_core::{Layout, Result};
use wgrad_shaders::Kernel;

/// Sizes of `matmul_registers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tile {
    /// 128×128×16, 8×8 a thread, 256 threads.
    Large,
    /// 64×64×16, 4×4 a thread, 256 threads.
    Medium,
    /// 32×32×16, 4×4 a thread, 64 threads.
    Small,
}

impl Tile {
    /// bm, bn, bk, tm, tn
    pub(super) fn sizes(self) -> [u32; 5] {
        match self {
            Tile::Large => [128, 128, 16, 8, 8],
            Tile::Medium => [64, 64, 16, 4, 4],
            Tile::Small => [32, 32, 16, 4, 4],
        }
    }
}

pub(super) fn registers(
    tile: Tile,
    a: &Side,
    b: &Side,
    y: &Layout,
    n: usize,
    epilogue: &Epilogue,
) -> Result<Built> {
    let [bm, bn, bk, tm, tn] = tile.sizes();
    let y_vec4 = n.is_multiple_of(4) && y.offset.is_multiple_of(4);
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
            ("bias", u32::from(epilogue.bias.is_some())),
            ("activation", u32::from(epilogue.activation.is_some())),
        ],
        aliases: vec![("a_layout", a.layout), ("b_layout", b.layout)],
        ..Kernel::default()
    };
    if let Some(activation) = epilogue.activation {
        activate(&mut kernel, activation)?;
    }
    Ok(Built { kernel, block: (bm, bn), bias: epilogue.bias.is_some() })
}
