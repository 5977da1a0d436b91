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

use super::{
    chain::{self, Arg, Link},
    word,
};
use crate::{
    Caps,
    launch::{Launch, Operand, Program, Slot},
};
use epilogue::Epilogue;
pub(crate) use lanes::by_fours;
use side::{Side, side};
pub(crate) use split::sum_of_parts;
use wgrad_core::{
    Error, Layout, Result, Shape,
    ops::{binary::Binary, linear::Linear},
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
struct Product<'e> {
    a: Side,
    b: Side,
    /// What the kernel writes: the result, or the results of the parts.
    y: Layout,
    sizes: Sizes,
    batch_shape: [usize; 4],
    epilogue: &'e Epilogue,
}

/// A kernel with its tile, and the end of its parameters where a template is specialised by its epilogue.
struct Built {
    kernel: Kernel,
    block: (u32, u32),
    numbers: Option<Vec<u32>>,
}

pub(super) fn matmul(ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Program> {
    product(&ins[0].layout, &ins[1].layout, &outs[0].layout, &Epilogue::default(), caps)
}

pub(super) fn linear(
    op: &Linear,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let bias = ins.get(2).map(|b| b.layout);
    let epilogue = Epilogue { links: Joined::of_layer(op).links, bias, ..Epilogue::default() };
    product(&ins[0].layout, &turned(&ins[1].layout), &outs[0].layout, &epilogue, caps)
}

/// A matrix with rows and columns exchanged.
pub(crate) fn turned(w: &Layout) -> Layout {
    let swap = |s: &[usize]| Shape::from_checked(&[s[1], s[0]]);
    Layout { shape: swap(&w.shape), strides: swap(&w.strides), offset: w.offset }
}

/// Elements that are derived or summed beside a product on a software adapter, at most (benches/LOG.md).
const MOST_JOINED: usize = 1 << 15;

/// What is joined to a product. Its operands are A and B, then the bias and the extra operand, as far as they are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Joined {
    /// Element-wise operations on the product, which is their operand 0; the bias and the extra operand follow.
    pub links: Vec<Link>,
    /// Whether an operand has one value per column: a vector.
    pub bias: bool,
    /// Whether an operand lies as the result does, but for its offset.
    pub extra: bool,
    /// The sums of A's rows as a second output.
    pub row_sums: Option<RowSums>,
}

/// Where row sums lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowSums {
    /// In a buffer of their own.
    Apart,
    /// In the result's buffer, which may not be bound a second time to be written.
    Beside,
}

impl Joined {
    /// What a layer does after its product.
    pub fn of_layer(op: &Linear) -> Joined {
        let mut links = Vec::new();
        if op.bias {
            links.push(Link { op: Binary::Add.into(), args: vec![Arg::In(0), Arg::In(1)] });
        }
        if let Some(activation) = op.activation {
            let before = if op.bias { Arg::Link(0) } else { Arg::In(0) };
            links.push(Link { op: activation.unary().into(), args: vec![before] });
        }
        Joined { links, bias: op.bias, ..Joined::default() }
    }

    /// Whether kernels for such an adapter can do it, and gain by it. Results are contiguous; `elements` are those
    /// of the result, or of the operand that is summed.
    pub fn fits(&self, a: &Layout, elements: usize, caps: &Caps) -> bool {
        let lanes = match caps.force_matmul {
            Some(forced) => matches!(forced, MatMulVariant::Lanes { .. }),
            None => caps.software,
        };
        if !lanes {
            return self.row_sums.is_none() && chain::links_fit(&self.links);
        }
        // Software adapters save a launch, and lose that again by scalar loops where there is much to do.
        if (self.extra || self.row_sums.is_some()) && elements > MOST_JOINED {
            return false;
        }
        let a = side(a);
        // Where A is read by fours, its rows must lie side by side.
        let sums = self.row_sums.is_none() || a.row == 1 || !a.vec4;
        let known = epilogue::numbers(&self.links, self.bias);
        // An activation of its own would be another text to compile for no launch less.
        sums && known.is_some_and(|numbers| numbers.activation.is_none())
    }
}

/// A product with what is joined to it.
pub(super) fn joined(
    joined: &Joined,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let operand = |there: bool, at: usize| ins.get(at).filter(|_| there).map(|x| x.layout);
    let extra = operand(joined.extra, 2 + usize::from(joined.bias));
    let epilogue = Epilogue {
        links: joined.links.clone(),
        bias: operand(joined.bias, 2),
        extra: extra.map(|layout| layout.offset),
        row_sums: joined.row_sums.zip(outs.get(1).map(|sums| sums.layout.offset)),
    };
    product(&ins[0].layout, &ins[1].layout, &outs[0].layout, &epilogue, caps)
}

fn product(
    a: &Layout,
    b: &Layout,
    y: &Layout,
    epilogue: &Epilogue,
    caps: &Caps,
) -> Result<Program> {
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
    let mut lanes = None;
    let Built { kernel, block: (block_m, block_n), numbers } = match variant {
        MatMulVariant::Tiled => {
            let parts = vec!["batches"];
            let kernel = Kernel { name: "matmul_tiled", parts, ..Kernel::default() };
            Built { kernel, block: (16, 16), numbers: None }
        }
        MatMulVariant::Registers { tile, .. } => registers::registers(tile, product)?,
        MatMulVariant::Thin { .. } => thin::thin(product)?,
        MatMulVariant::Cooperative { square, .. } => {
            cooperative::cooperative(square, product, caps)?
        }
        MatMulVariant::Lanes { rows, cols4, shuffle } => {
            let (built, known) =
                lanes::lanes(rows, cols4, shuffle, product.sizes.aligned, epilogue)?;
            lanes = Some(known);
            built
        }
    };
    let parts = variant.parts();
    let (blocks_m, blocks_n) = (m.div_ceil(block_m as usize), n.div_ceil(block_n as usize));
    if epilogue.row_sums.is_some() && lanes.is_none() {
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
    let [bias_offset, bias_col] = epilogue.bias_at();
    let slope = lanes.map_or(1.0, |known| known.slope);
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
        .params([slope.to_bits(), bias_offset, bias_col, epilogue.extra_at()])
        .params(batch_shape.map(word))
        .params(a.batch.map(word))
        .params(b.batch.map(word));
    launch = launch.read(1, Slot::In(0)).read(2, Slot::In(1));
    if let Some(known) = lanes {
        let (place, sums) = epilogue.row_sums.unwrap_or((RowSums::Beside, 0));
        return Ok(launch
            .params([known.joined, word(sums), word(sum_blocks), known.factor.to_bits()])
            .params([u32::from(place == RowSums::Beside), 0, 0, 0])
            .read(3, epilogue.bias_slot().unwrap_or(Slot::Zeros))
            .read(4, epilogue.extra_slot().unwrap_or(Slot::Zeros))
            .write(5, to)
            .write(6, if place == RowSums::Apart { Slot::Out(1) } else { Slot::Spare }));
    }
    let Some(numbers) = numbers else { return Ok(launch.write(3, to)) };
    launch = launch.params([word(parts), word(part_of(k, parts))]).params(numbers);
    Ok(operands(launch, epilogue, 3, to))
}

/// Bindings from `at` on: the epilogue's operands, and the result.
fn operands(mut launch: Launch, epilogue: &Epilogue, mut at: u32, to: Slot) -> Launch {
    for slot in [epilogue.bias_slot(), epilogue.extra_slot()].into_iter().flatten() {
        launch = launch.read(at, slot);
        at += 1;
    }
    launch.write(at, to)
}

/// How much of k a part takes: a multiple of what any kernel takes at once.
fn part_of(k: usize, parts: usize) -> usize {
    k.div_ceil(parts).next_multiple_of(32).max(32)
}
