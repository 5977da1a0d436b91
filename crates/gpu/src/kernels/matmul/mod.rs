//! Matrix products: which variant, which tile, which operand read how.

mod choose;
mod cooperative;
mod epilogue;
mod lanes;
mod registers;
mod side;
mod split;
mod thin;

pub use choose::{Sizes, choose};
pub use cooperative::Square;
pub use registers::Tile;

use super::word;
use crate::{
    Caps,
    launch::{Launch, Operand, Program, Slot},
};
use epilogue::{Epilogue, can_follow, extra_offset, slope};
pub(crate) use lanes::by_fours;
use side::{Side, side};
use wgrad_core::{
    Error, Layout, Result, Shape,
    ops::{linear::Linear, unary::Unary},
};
use wgrad_shaders::Kernel;

/// Which matmul kernel. Where `parts` is more than 1, that many parts of k are multiplied side by side
/// and `matmul_sum` sums them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatMulVariant {
    /// `matmul_tiled`: the readable one, and the yardstick.
    Tiled,
    /// `matmul_registers`: for GPUs.
    Registers {
        /// What a workgroup and a thread compute.
        tile: Tile,
        /// Parts of k.
        parts: u32,
    },
    /// `matmul_thin`: for GPUs, where the result has few rows or few columns.
    Thin {
        /// Parts of k.
        parts: u32,
    },
    /// `matmul_cooperative`: on matrix units, operands rounded to f16; never chosen unasked
    /// ([`Options::fast_f16_products`](crate::Options::fast_f16_products)).
    Cooperative {
        /// What a workgroup computes.
        square: Square,
        /// Parts of k.
        parts: u32,
    },
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

impl MatMulVariant {
    /// Parts of k.
    fn parts(self) -> usize {
        match self {
            MatMulVariant::Registers { parts, .. }
            | MatMulVariant::Thin { parts }
            | MatMulVariant::Cooperative { parts, .. } => parts.max(1) as usize,
            MatMulVariant::Tiled | MatMulVariant::Lanes { .. } => 1,
        }
    }
}

/// A product as kernels are built for it.
#[derive(Clone, Copy)]
struct Product {
    a: Side,
    b: Side,
    /// What the kernel writes: the result, or the results of the parts.
    y: Layout,
    sizes: Sizes,
    batch_shape: [usize; 4],
    epilogue: Epilogue,
}

/// A kernel with its tile, and whether it binds an operand of the epilogue.
struct Built {
    kernel: Kernel,
    block: (u32, u32),
    operand: bool,
}

pub(super) fn matmul(ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Program> {
    product(&ins[0].layout, &ins[1].layout, &outs[0].layout, Epilogue::default(), caps)
}

pub(super) fn linear(
    op: &Linear,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let w = &ins[1].layout;
    let swap = |s: &[usize]| Shape::from_checked(&[s[1], s[0]]);
    let transposed = Layout { shape: swap(&w.shape), strides: swap(&w.strides), offset: w.offset };
    let (bias, activation) = (ins.get(2).map(|b| b.layout), op.activation);
    let epilogue = Epilogue { bias, activation, ..Epilogue::default() };
    product(&ins[0].layout, &transposed, &outs[0].layout, epilogue, caps)
}

/// Elements that are derived or summed beside a product on a software adapter, at most (benches/LOG.md).
const MOST_JOINED: usize = 1 << 15;

/// What may be joined to a product of two operands, for a layer's backward.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Joined {
    /// `A B ⊙ f'(e)`: the operation f; e is the third input.
    pub backward: Option<Unary>,
    /// The sums of A's rows as a second output.
    pub row_sums: bool,
}

impl Joined {
    /// Whether kernels for such an adapter can do it, and gain by it. All operands have rank 2 and the results are
    /// contiguous; `elements` are those of the result that is derived, or of the operand that is summed.
    pub fn fits(&self, a: &Layout, elements: usize, caps: &Caps) -> bool {
        let lanes = match caps.force_matmul {
            Some(forced) => matches!(forced, MatMulVariant::Lanes { .. }),
            None => caps.software,
        };
        // Software adapters save a launch, and lose that again by scalar loops where there is much to do.
        if lanes && elements > MOST_JOINED {
            return false;
        }
        let a = side(a);
        // Where A is read by fours, its rows must lie side by side.
        let sums = lanes && (a.row == 1 || !a.vec4);
        (!self.row_sums || sums) && self.backward.is_none_or(|op| can_follow(op, lanes))
    }
}

/// A product with what is joined to it.
pub(super) fn joined(
    joined: Joined,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let extra = ins.get(2).map_or(0, |e| e.layout.offset);
    let epilogue = Epilogue {
        backward: joined.backward.map(|op| (op, extra)),
        row_sums: outs.get(1).filter(|_| joined.row_sums).map(|sums| sums.layout.offset),
        ..Epilogue::default()
    };
    product(&ins[0].layout, &ins[1].layout, &outs[0].layout, epilogue, caps)
}

fn product(a: &Layout, b: &Layout, y: &Layout, epilogue: Epilogue, caps: &Caps) -> Result<Program> {
    if !y.is_contiguous() {
        return Err(Error::internal("matmul", "the result is not contiguous"));
    }
    let rank = y.shape.rank();
    let (m, n, k) = (y.shape[rank - 2], y.shape[rank - 1], a.shape[rank - 1]);
    let batches: usize = y.shape[..rank - 2].iter().product();
    let mut batch_shape = [1; 4];
    for (to, &size) in batch_shape.iter_mut().rev().zip(y.shape[..rank - 2].iter().rev()) {
        *to = size;
    }
    let (a, b) = (side(a), side(b));
    let along_k = if m > n { a.layout == "row" } else { b.layout == "col" };
    let sizes = Sizes { m, n, k, batches, aligned: a.vec4 && b.vec4, along_k };
    let variant = match choose(&sizes, caps) {
        // The yardstick has no epilogue: a dense layer forced through it uses the small register tile.
        MatMulVariant::Tiled if !epilogue.is_empty() => {
            MatMulVariant::Registers { tile: Tile::Small, parts: 1 }
        }
        variant => variant,
    };
    let product = Product { a, b, y: *y, sizes, batch_shape, epilogue };
    if variant.parts() > 1 {
        return split::split(&product, variant, caps);
    }
    let launches = vec![launch(&product, variant, Slot::Out(0), caps)?];
    Ok(Program { launches, scratch: Vec::new() })
}

/// The launch of one variant, for all parts of k.
fn launch(product: &Product, variant: MatMulVariant, to: Slot, caps: &Caps) -> Result<Launch> {
    let Product { a, b, y, batch_shape, epilogue, .. } = product;
    let Sizes { m, n, k, batches, .. } = product.sizes;
    let Built { kernel, block: (block_m, block_n), operand } = match variant {
        MatMulVariant::Tiled => {
            let kernel = Kernel { name: "matmul_tiled", ..Kernel::default() };
            Built { kernel, block: (16, 16), operand: false }
        }
        MatMulVariant::Registers { tile, .. } => registers::registers(tile, product)?,
        MatMulVariant::Thin { .. } => thin::thin(product)?,
        MatMulVariant::Cooperative { square, .. } => {
            cooperative::cooperative(square, product, caps)?
        }
        MatMulVariant::Lanes { rows, cols4, shuffle } => {
            lanes::lanes(rows, cols4, shuffle, product.sizes.aligned, epilogue)?
        }
    };
    let parts = variant.parts();
    let (blocks_m, blocks_n) = (m.div_ceil(block_m as usize), n.div_ceil(block_n as usize));
    let lanes = matches!(variant, MatMulVariant::Lanes { .. });
    if epilogue.row_sums.is_some() && !lanes {
        return Err(Error::internal("matmul", "row sums beside a product that has none"));
    }
    // Row sums are 32 rows a workgroup.
    let sum_blocks = epilogue.row_sums.map_or(0, |_| m.div_ceil(32));
    let blocks = blocks_m * blocks_n * batches * parts + sum_blocks;
    let most = caps.max_groups as usize;
    let grid = [blocks.min(most), blocks.div_ceil(most)];
    if grid[1] > most || u32::try_from(blocks).is_err() {
        return Err(Error::size(
            "matmul",
            format!("{m}x{n} times {batches} is too large for one launch"),
        ));
    }
    let (bias_offset, bias_col) = epilogue.bias.map_or((0, 0), |b| (b.offset, b.strides[0]));
    let work = (m * n * batches) as u64 * k.max(1) as u64;
    // The yardstick goes through k one by one, the others by four or more, and stores up to 32 rows.
    let steps = match variant {
        MatMulVariant::Tiled => k + k / 16,
        _ if sum_blocks > 0 => k + k / 32 + 5,
        _ => k / 4 + 65,
    };
    let mut launch = Launch::new(kernel, grid.map(word), work)
        .steps(steps as u64)
        .params([m, n, k, batches].map(word))
        .params([a.offset, a.row, a.col, b.offset].map(word))
        .params([b.row, b.col, y.offset, n].map(word))
        .params([m * n, grid[0], blocks_m, blocks_n].map(word))
        .params([
            slope(epilogue).to_bits(),
            word(bias_offset),
            word(bias_col),
            extra_offset(epilogue),
        ])
        .params(batch_shape.map(word))
        .params(a.batch.map(word))
        .params(b.batch.map(word));
    if !matches!(variant, MatMulVariant::Tiled | MatMulVariant::Lanes { .. }) {
        launch = launch.params([word(parts), word(part_of(k, parts)), 0, 0]);
    }
    launch = launch.read(1, Slot::In(0)).read(2, Slot::In(1));
    if lanes {
        let or = |there: bool, slot: Slot, other: Slot| if there { slot } else { other };
        let sums = epilogue.row_sums.unwrap_or(0);
        return Ok(launch
            .params([u32::from(epilogue.backward.is_some()), word(sums), word(sum_blocks), 0])
            .read(3, or(epilogue.bias.is_some(), Slot::In(2), Slot::Zeros))
            .read(4, or(epilogue.backward.is_some(), Slot::In(2), Slot::Zeros))
            .write(5, to)
            .write(6, or(sum_blocks > 0, Slot::Out(1), Slot::Spare)));
    }
    match epilogue.operand().filter(|_| operand) {
        Some(slot) => Ok(launch.read(3, slot).write(4, to)),
        None => Ok(launch.write(3, to)),
    }
}

/// How much of k a part takes: a multiple of what any kernel takes at once.
fn part_of(k: usize, parts: usize) -> usize {
    k.div_ceil(parts).next_multiple_of(32).max(32)
}
