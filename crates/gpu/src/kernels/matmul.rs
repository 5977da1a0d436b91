//! Matrix products: which variant, which tile, which operand read how.

use super::word;
use crate::{
    Caps,
    launch::{Launch, Operand, Slot},
};
use wgrad_core::{
    Error, Layout, Result, Shape,
    ops::linear::{FusedActivation, Linear},
};
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
    fn sizes(self) -> [u32; 5] {
        match self {
            Tile::Large => [128, 128, 16, 8, 8],
            Tile::Medium => [64, 64, 16, 4, 4],
            Tile::Small => [32, 32, 16, 4, 4],
        }
    }
}

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
            (true, true) if work >= 1 << 24 && tiles(32, 64) >= 4 * threads => (32, 2),
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

/// An operand as the kernel reads it.
struct Side {
    layout: &'static str,
    vec4: bool,
    offset: usize,
    row: usize,
    col: usize,
    batch: [usize; 4],
}

fn side(x: &Layout) -> Side {
    let rank = x.shape.rank();
    let (row, col) = (x.strides[rank - 2], x.strides[rank - 1]);
    let mut batch = [0; 4];
    for (to, &stride) in batch.iter_mut().rev().zip(x.strides[..rank - 2].iter().rev()) {
        *to = stride;
    }
    // A side of size 1 has no stride of its own: it counts as contiguous either way.
    let unit_row = row == 1 && col != 1;
    let by_four = |stride: usize| {
        x.offset.is_multiple_of(4)
            && stride.is_multiple_of(4)
            && batch.iter().all(|s| s.is_multiple_of(4))
    };
    let (layout, vec4) = if col == 1 && row != 1 && by_four(row) {
        ("row", true)
    } else if row == 1 && col != 1 && by_four(col) {
        ("col", true)
    } else {
        (if unit_row { "col" } else { "row" }, false)
    };
    Side { layout, vec4, offset: x.offset, row, col, batch }
}

/// What follows the product.
struct Epilogue {
    bias: Option<Layout>,
    activation: Option<FusedActivation>,
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

const FOUR: &str = "alias elem = vec4<f32>; alias elem_a = elem; alias elem_y = elem; \
                    alias bits = vec4<u32>; alias mask = vec4<bool>;";

/// The activation as text for four values.
fn activate(kernel: &mut Kernel, activation: FusedActivation) -> Result<()> {
    let label = activation.unary().label();
    let expression = wgrad_shaders::unary(label).ok_or_else(|| super::missing(label))?;
    kernel.parts = expression.parts.to_vec();
    kernel.functions = vec![FOUR, expression.function];
    Ok(())
}

fn registers(
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

/// A software adapter compiles at first use, so one text serves all layouts and all of product, bias
/// and ReLU: the bias is a zero that repeats where there is none, the slope 1 where nothing is cut.
fn lanes(
    rows: u32,
    cols4: u32,
    shuffle: bool,
    aligned: bool,
    epilogue: &Epilogue,
) -> Result<Built> {
    let mut kernel = Kernel {
        name: "matmul_lanes",
        values: vec![
            ("rows", rows),
            ("cols4", cols4),
            ("shuffle", u32::from(shuffle)),
            ("a_vec4", u32::from(aligned)),
            ("b_vec4", u32::from(aligned)),
            ("bias", 1),
            ("activation", 1),
        ],
        aliases: vec![("a_layout", "any"), ("b_layout", "any")],
        ..Kernel::default()
    };
    match epilogue.activation {
        None | Some(FusedActivation::Relu) => {
            kernel.functions = vec![
                FOUR,
                "fn apply(z: elem) -> elem { \
                   let cut = select(z * params.slope, elem(0.0), elem(params.slope) == elem(0.0)); \
                   return select(z, cut, z < elem(0.0)); }",
            ];
        }
        Some(activation) => activate(&mut kernel, activation)?,
    }
    Ok(Built { kernel, block: (rows, 32 * cols4), bias: true })
}

/// The slope below zero: 0 for ReLU, 1 for none.
fn slope(epilogue: &Epilogue) -> f32 {
    if epilogue.activation == Some(FusedActivation::Relu) { 0.0 } else { 1.0 }
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
