//! Tiles: the innermost product, in registers, for each set of instructions.

use super::{Product, Task, blocked};
use crate::{
    Result,
    cpu::{
        memory::Memory,
        number::Float,
        simd::{self, Level},
    },
};
use std::sync::Arc;

/// `Σ left[p] ⊗ right[p]`, each element summed in the order of p.
#[inline(always)]
pub(super) fn multiply<T: Float, const MR: usize, const NR: usize, const FUSED: bool>(
    left: &[[T; MR]],
    right: &[[T; NR]],
) -> [[T; NR]; MR] {
    let mut sums = [[T::ZERO; NR]; MR];
    for (left, right) in left.iter().zip(right) {
        for (sums, &x) in sums.iter_mut().zip(left) {
            for (sum, &y) in sums.iter_mut().zip(right) {
                *sum = if FUSED { x.mul_add(y, *sum) } else { x * y + *sum };
            }
        }
    }
    sums
}

/// Puts or adds a tile to the rows from `top` on, from column `left` on; what lies outside is left away.
#[inline(always)]
pub(super) fn store<T: Float, const MR: usize, const NR: usize>(
    tile: &[[T; NR]; MR],
    out: &mut [&mut [T]],
    top: usize,
    left: usize,
    add: bool,
) {
    for (row, sums) in out[top..].iter_mut().zip(tile) {
        let row = &mut row[left..];
        match row.first_chunk_mut::<NR>() {
            // All read before the first is written: only then do they go through vector registers.
            Some(row) if add => *row = std::array::from_fn(|j| row[j] + sums[j]),
            Some(row) => *row = *sums,
            None if add => row.iter_mut().zip(sums).for_each(|(y, &sum)| *y = *y + sum),
            None => row.iter_mut().zip(sums).for_each(|(y, &sum)| *y = sum),
        }
    }
}

/// The same for a tile that holds rows as columns.
#[inline(always)]
pub(super) fn store_flipped<T: Float, const MR: usize, const NR: usize>(
    tile: &[[T; NR]; MR],
    out: &mut [&mut [T]],
    top: usize,
    left: usize,
    add: bool,
) {
    for (j, row) in out[top..].iter_mut().enumerate().take(NR) {
        for (y, sums) in row[left..].iter_mut().zip(tile) {
            *y = if add { *y + sums[j] } else { sums[j] };
        }
    }
}

/// Types with a product; each picks tiles that fill the registers of each set of instructions.
pub(in crate::cpu) trait Tiled: Float {
    /// With the instructions of a level that this machine has.
    fn product(level: Level, memory: &Arc<Memory>, product: Product<'_, Self>) -> Result<()>;
}

/// A task with 512-bit instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512<T: Float, const MR: usize, const NR: usize>(task: Task<'_, '_, T, NR>) {
    task.run::<MR, true>();
}

/// A task with 256-bit instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<T: Float, const MR: usize, const NR: usize>(task: Task<'_, '_, T, NR>) {
    task.run::<MR, true>();
}

/// A task with what the target always has: on ARM that includes fused multiply-add.
fn base<T: Float, const MR: usize, const NR: usize>(task: Task<'_, '_, T, NR>) {
    task.run::<MR, { cfg!(target_arch = "aarch64") }>();
}

macro_rules! tiled {
    ($($t:ty: avx512 $m512:literal x $n512:literal, avx2 $m2:literal x $n2:literal, base $m:literal x $n:literal;)*) => {$(
        impl Tiled for $t {
            fn product(
                level: Level,
                memory: &Arc<Memory>,
                product: Product<'_, Self>,
            ) -> Result<()> {
                match level.min(simd::level()) {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => blocked::<_, $m512, $n512>(memory, product, |task| {
                        // SAFETY: the level says that this machine has the instructions.
                        unsafe { avx512::<_, $m512, $n512>(task) }
                    }),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => blocked::<_, $m2, $n2>(memory, product, |task| {
                        // SAFETY: the level says that this machine has the instructions.
                        unsafe { avx2::<_, $m2, $n2>(task) }
                    }),
                    Level::Base => blocked::<_, $m, $n>(memory, product, base::<_, $m, $n>),
                }
            }
        }
    )*};
}
// Widths are powers of two: LLVM 22 keeps only those in registers.
#[cfg(target_arch = "aarch64")]
tiled! {
    f32: avx512 12 x 32, avx2 6 x 16, base 8 x 8;
    f64: avx512 12 x 16, avx2 6 x 8, base 6 x 8;
}
#[cfg(not(target_arch = "aarch64"))]
tiled! {
    f32: avx512 12 x 32, avx2 6 x 16, base 4 x 8;
    f64: avx512 12 x 16, avx2 6 x 8, base 4 x 4;
}
