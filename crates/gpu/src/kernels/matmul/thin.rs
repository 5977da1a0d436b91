//! `matmul_thin`: few rows or few columns, bound by memory.

use super::{Built, Product, epilogue::specialise};
use wgrad_core::Result;
use wgrad_shaders::Kernel;

/// Rows or columns, whichever are fewer, up to which this kernel is used.
pub(super) const FEW: usize = 8;

/// Lines of the large operand per workgroup, and threads along k, by how it lies.
fn arrangement(along_k: bool, k: usize) -> [u32; 2] {
    // 128 threads in both; few lines keep many workgroups busy, but a short k would leave threads idle.
    if along_k && k >= 128 { [2, 64] } else { [16, 8] }
}

/// Lines of the large operand that one workgroup takes.
pub(super) fn lines(along_k: bool, k: usize) -> usize {
    4 * arrangement(along_k, k)[0] as usize
}

pub(super) fn thin(product: &Product) -> Result<Built> {
    let Product { a, b, sizes, epilogue, .. } = product;
    let by_col = sizes.m < sizes.n;
    let (large, small) = if by_col { (b, a) } else { (a, b) };
    // B lies along k where its columns are contiguous.
    let along = |row: &str| if row == if by_col { "col" } else { "row" } { "k" } else { "line" };
    let unit = if large.vec4 { along(large.layout) } else { "none" };
    let x_vec4 = small.vec4 && small.layout == if by_col { "row" } else { "col" };
    let few = (sizes.m.min(sizes.n).clamp(1, FEW) as u32).next_power_of_two();
    let [tl, tk] = arrangement(along(large.layout) == "k", sizes.k);
    let mut kernel = Kernel {
        name: "matmul_thin",
        values: vec![
            ("by_col", u32::from(by_col)),
            ("few", few),
            ("tl", tl),
            ("tk", tk),
            ("x_vec4", u32::from(x_vec4)),
        ],
        aliases: vec![("unit", unit)],
        ..Kernel::default()
    };
    let numbers = Some(specialise(&mut kernel, epilogue)?);
    let block = if by_col { (few, 4 * tl) } else { (4 * tl, few) };
    Ok(Built { kernel, block, numbers })
}
