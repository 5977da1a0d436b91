//! Matrix products: which variant, which tile, which operand read how.

mod choose;
mod epilogue;
mod lanes;
mod registers;
mod side;

pub use choose::{Sizes, choose};
pub use registers::Tile;

use super::word;
use crate::{
    Caps,
    launch::{Launch, Operand, Slot},
};
use epilogue::{Epilogue, slope};
use lanes::lanes;
use registers::registers;
use side::side;
use wgrad_core::{Error, Layout, Result, Shape, ops::linear::Linear};
use wgrad_shaders::Kernel;

/// Which matmul kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatMulVariant {
    /// `matmul_tiled`: the readable one, and the yardstick.
    Tiled,
    /// `matmul_registers`: for GPUs.
    Registers(Tile),
    /// `matmul_lanes`: for software adapters. `shuffle` needs subgroups of exactly 8.
    Lanes {
        /// Rows of the result per workgroup.
        rows: u32,
        /// vec4 columns per lane.
        cols4: u32,
        /// Whether A is spread by subgroup shuffles.
        shuffle: bool,
    },
}

pub(super) fn matmul(ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Vec<Launch>> {
    let none = Epilogue { bias: None, activation: None };
    product(&ins[0].layout, &ins[1].layout, &outs[0].layout, &none, caps)
}

pub(super) fn linear(
    op: &Linear,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let w = &ins[1].layout;
    let swap = |s: &[usize]| Shape::from_checked(&[s[1], s[0]]);
    let transposed = Layout { shape: swap(&w.shape), strides: swap(&w.strides), offset: w.offset };
    let epilogue = Epilogue { bias: ins.get(2).map(|b| b.layout), activation: op.activation };
    product(&ins[0].layout, &transposed, &outs[0].layout, &epilogue, caps)
}

fn product(
    a: &Layout,
    b: &Layout,
    y: &Layout,
    epilogue: &Epilogue,
    caps: &Caps,
) -> Result<Vec<Launch>> {
    if !y.is_contiguous() {
        return Err(Error::internal("matmul", "the result is not contiguous"));
    }
    let rank = y.shape.rank();
    let (m, n, k) = (y.shape[rank - 2], y.shape[rank - 1], a.shape[rank - 1]);
    let batches: usize = y.shape[..rank - 2].iter().product();
    let (sa, sb) = (side(a), side(b));
    let sizes = Sizes { m, n, k, batches, aligned: sa.vec4 && sb.vec4 };
    let Built { kernel, block: (block_m, block_n), bias } = match choose(&sizes, caps) {
        MatMulVariant::Tiled if epilogue.bias.is_some() || epilogue.activation.is_some() => {
            return tiled_linear(a, b, y, epilogue, caps);
        }
        MatMulVariant::Tiled => {
            let kernel = Kernel { name: "matmul_tiled", ..Kernel::default() };
            Built { kernel, block: (16, 16), bias: false }
        }
        MatMulVariant::Registers(tile) => registers(tile, &sa, &sb, y, n, epilogue)?,
        MatMulVariant::Lanes { rows, cols4, shuffle } => {
            lanes(rows, cols4, shuffle, sizes.aligned, epilogue)?
        }
    };
    let (blocks_m, blocks_n) = (m.div_ceil(block_m as usize), n.div_ceil(block_n as usize));
    let blocks = blocks_m * blocks_n * batches;
    let most = caps.max_groups as usize;
    let grid = [blocks.min(most), blocks.div_ceil(most)];
    if grid[1] > most || u32::try_from(blocks).is_err() {
        return Err(Error::size(
            "matmul",
            format!("{m}x{n} times {batches} is too large for one launch"),
        ));
    }
    let mut shape = [1; 4];
    for (to, &size) in shape.iter_mut().rev().zip(y.shape[..rank - 2].iter().rev()) {
        *to = size;
    }
    let (bias_offset, bias_col) = epilogue.bias.map_or((0, 0), |b| (b.offset, b.strides[0]));
    let work = (m * n * batches) as u64 * k.max(1) as u64;
    // The yardstick goes through k one by one, the others by four or more, and stores up to 32 rows.
    let steps = if kernel.name == "matmul_tiled" { k + k / 16 } else { k / 4 + 33 };
    let mut launch = Launch::new(kernel, grid.map(word), work)
        .steps(steps as u64)
        .params([m, n, k, batches].map(word))
        .params([sa.offset, sa.row, sa.col, sb.offset].map(word))
        .params([sb.row, sb.col, y.offset, n].map(word))
        .params([m * n, grid[0], blocks_m, blocks_n].map(word))
        .params([slope(epilogue).to_bits(), word(bias_offset), word(bias_col), 0])
        .params(shape.map(word))
        .params(sa.batch.map(word))
        .params(sb.batch.map(word))
        .read(1, Slot::In(0))
        .read(2, Slot::In(1));
    if bias {
        let slot = if epilogue.bias.is_some() { Slot::In(2) } else { Slot::Zeros };
        launch = launch.read(3, slot).write(4, Slot::Out(0));
    } else {
        launch = launch.write(3, Slot::Out(0));
    }
    Ok(vec![launch])
}

/// A kernel with its tile, and whether it binds a bias.
struct Built {
    kernel: Kernel,
    block: (u32, u32),
    bias: bool,
}

/// The yardstick has no epilogue: a dense layer forced through it uses the small register tile.
fn tiled_linear(
    a: &Layout,
    b: &Layout,
    y: &Layout,
    epilogue: &Epilogue,
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let caps = Caps { force_matmul: Some(MatMulVariant::Registers(Tile::Small)), ..*caps };
    product(a, b, y, epilogue, &caps)
}
