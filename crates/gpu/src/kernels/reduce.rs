//! Reductions over any axes: one thread per result on software adapters and where there are many
//! results, one workgroup per result elsewhere; long reductions in two passes.

use super::{grid, grid_of_groups, list, missing, wgsl, word};
use crate::{
    Caps,
    launch::{Launch, Operand, Program, Slot},
};
use wgrad_core::{
    DType, Layout, Result, Shape,
    ops::{
        arg_reduce::ArgReduce,
        reduce::{Reduce, ReduceOp},
    },
};
use wgrad_shaders::Kernel;

const NAN: u32 = 0x7fc0_0000;

/// A view split into kept and reduced axes.
struct Split {
    kept: Layout,
    reduced: Layout,
    offset: usize,
}

fn split(x: &Layout, axes: u8) -> Result<Split> {
    let take = |reduced: bool| -> Result<Layout> {
        let pick = |values: &[usize]| -> Vec<usize> {
            let wanted = |i: &usize| (axes >> i & 1 == 1) == reduced;
            (0..values.len()).filter(wanted).map(|i| values[i]).collect()
        };
        let layout = Layout {
            shape: Shape::from_checked(&pick(&x.shape)),
            strides: Shape::from_checked(&pick(&x.strides)),
            offset: 0,
        };
        Ok(layout.collapse())
    };
    Ok(Split { kept: take(false)?, reduced: take(true)?, offset: x.offset })
}

/// One pass of a reduction.
struct Pass<'a> {
    op: &'a str,
    split: &'a Split,
    from: Slot,
    to: Slot,
    y_offset: usize,
    chunk: usize,
    scale: f32,
    dtype: DType,
}

fn rank(layout: &Layout) -> u32 {
    word(layout.shape.rank().max(1))
}

fn pass(p: &Pass, caps: &Caps) -> Result<Launch> {
    let (results, length) = (p.split.kept.numel(), p.split.reduced.numel());
    let chunks = length.div_ceil(p.chunk.max(1)).max(1);
    let count = results * chunks;
    // A workgroup per result pays where its threads all have work and threads alone would not fill a GPU.
    let groups = !caps.software && p.chunk.min(length) >= 256 && count < 65_536;
    // One text for sum and mean: each kernel costs a tenth of a second to compile at its first use.
    let (name, scale, empty) = match p.op {
        "mean" => ("sum", p.scale, NAN),
        "sum" if p.dtype != DType::F32 => ("sum_int", 1.0, 0),
        "sum" => ("sum", 1.0, 0),
        other => (other, 1.0, NAN),
    };
    let expression = wgrad_shaders::join(name).ok_or_else(|| missing(name))?;
    let mut parts = vec!["index", "reduce_view"];
    parts.extend(expression.parts);
    let elem = wgsl(p.dtype)?;
    let kernel = Kernel {
        name: if groups { "reduce_groups" } else { "reduce_lanes" },
        parts,
        aliases: vec![("elem", elem), ("elem_y", elem), ("bits", "u32"), ("mask", "bool")],
        values: vec![("KEPT", rank(&p.split.kept)), ("REDUCED", rank(&p.split.reduced))],
        functions: vec![expression.function],
        ..Kernel::default()
    };
    let (each, rank_x) = (p.chunk.min(length), p.split.reduced.shape.rank().max(1));
    let grid = if groups {
        let lane = each.div_ceil(256);
        grid_of_groups(count, lane * rank_x + lane / 32 + 10 + wgrad_core::MAX_RANK, caps)
    } else {
        grid(count, each * rank_x + each / 32 + each / 1024 + 3 + wgrad_core::MAX_RANK, caps)
    };
    Ok(Launch::new(kernel, grid, (results * length) as u64)
        .params([count, length, p.chunk, chunks].map(word))
        .params([scale.to_bits(), empty, word(p.split.offset), word(p.y_offset)])
        .params(list_of(p.split))
        .read(1, p.from)
        .write(2, p.to))
}

/// Elements one thread or workgroup reduces before a second pass joins the parts: as many parts as
/// fill the adapter, and short enough for the sums' cascade.
fn chunk(split: &Split, caps: &Caps) -> usize {
    let (results, length) = (split.kept.numel(), split.reduced.numel());
    let wanted = if caps.software { 8 * caps.threads.max(1) as usize } else { 512 };
    let parts = wanted.div_ceil(results.max(1));
    let smallest = if caps.software { 4096 } else { 8192 };
    let rank = split.reduced.shape.rank().max(1);
    let most = usize::try_from(caps.max_steps / 2).unwrap_or(usize::MAX) / (rank + 1);
    length.div_ceil(parts).max(smallest).min(1 << 20).min(most)
}

pub(super) fn reduce(
    op: &Reduce,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let (x, y) = (&ins[0], &outs[0]);
    let split = split(&x.layout, op.axes)?;
    let whole = x.dtype != DType::F32;
    let (first, last) = match op.op {
        ReduceOp::Sum => ("sum", "sum"),
        ReduceOp::Mean => ("sum", "mean"),
        ReduceOp::Max if whole => ("max_int", "max_int"),
        ReduceOp::Min if whole => ("min_int", "min_int"),
        ReduceOp::Max => ("max", "max"),
        ReduceOp::Min => ("min", "min"),
    };
    let all = Reduction {
        first,
        last,
        split: &split,
        from: Slot::In(0),
        between: 0,
        y_offset: y.layout.offset,
        dtype: x.dtype,
    };
    let mut program = Program::default();
    all.lower(&mut program, caps)?;
    Ok(program)
}

/// A reduction in one pass, or in two with the parts in scratch.
struct Reduction<'a> {
    /// The expression that makes parts, and the one that joins them.
    first: &'a str,
    last: &'a str,
    split: &'a Split,
    from: Slot,
    /// Number of the scratch for the parts.
    between: usize,
    y_offset: usize,
    dtype: DType,
}

impl Reduction<'_> {
    fn lower(&self, program: &mut Program, caps: &Caps) -> Result<()> {
        let &Reduction { first, last, split, from, y_offset, dtype, .. } = self;
        let (results, length) = (split.kept.numel(), split.reduced.numel());
        let chunk = chunk(split, caps);
        let scale = 1.0 / length as f32;
        let to = Slot::Out(0);
        if length <= chunk {
            let only = Pass { op: last, split, from, to, y_offset, chunk: length, scale, dtype };
            program.launches.push(pass(&only, caps)?);
            return Ok(());
        }
        let chunks = length.div_ceil(chunk);
        let between = Slot::Scratch(self.between);
        program.scratch.push(results * chunks * 4);
        let parts = Pass { op: first, split, from, to: between, y_offset: 0, chunk, scale, dtype };
        program.launches.push(pass(&parts, caps)?);
        let lay = |shape: &[usize], strides: &[usize]| -> Result<Layout> {
            Ok(Layout {
                shape: Shape::from_checked(shape),
                strides: Shape::from_checked(strides),
                offset: 0,
            })
        };
        let rest =
            Split { kept: lay(&[results], &[chunks])?, reduced: lay(&[chunks], &[1])?, offset: 0 };
        let end = Pass {
            op: last,
            split: &rest,
            from: between,
            to,
            y_offset,
            chunk: chunks,
            scale,
            dtype,
        };
        program.launches.push(pass(&end, caps)?);
        Ok(())
    }
}

/// Mean of `length` contiguous f32 values in the first scratch, into the first output: launches added
/// to the program that made them.
pub(super) fn mean_of_scratch(
    program: &mut Program,
    length: usize,
    y_offset: usize,
    caps: &Caps,
) -> Result<()> {
    let split = Split {
        kept: Layout::contiguous(Shape::scalar()),
        reduced: Layout::contiguous(Shape::from_checked(&[length])),
        offset: 0,
    };
    let all = Reduction {
        first: "sum",
        last: "mean",
        split: &split,
        from: Slot::Scratch(0),
        between: program.scratch.len(),
        y_offset,
        dtype: DType::F32,
    };
    all.lower(program, caps)
}

/// Sums over the first axis of `[length, results]` contiguous f32 values in a scratch, into the first output, in one
/// pass: for few values.
pub(super) fn sum_of_scratch(
    program: &mut Program,
    from: Slot,
    [length, results]: [usize; 2],
    y_offset: usize,
    caps: &Caps,
) -> Result<()> {
    let lay = |size: usize, stride: usize| Layout {
        shape: Shape::from_checked(&[size]),
        strides: Shape::from_checked(&[stride]),
        offset: 0,
    };
    let split = Split { kept: lay(results, 1), reduced: lay(length, results), offset: 0 };
    let (to, dtype, scale) = (Slot::Out(0), DType::F32, 1.0);
    let only = Pass { op: "sum", split: &split, from, to, y_offset, chunk: length, scale, dtype };
    program.launches.push(pass(&only, caps)?);
    Ok(())
}

pub(super) fn arg_reduce(
    op: &ArgReduce,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let (x, y) = (&ins[0], &outs[0]);
    let split = split(&x.layout, op.axes)?;
    let (results, length) = (split.kept.numel(), split.reduced.numel());
    let name = match (op.max, x.dtype == DType::F32) {
        (true, true) => "argmax",
        (true, false) => "argmax_int",
        (false, true) => "argmin",
        (false, false) => "argmin_int",
    };
    let expression = wgrad_shaders::join(name).ok_or_else(|| missing(name))?;
    // One pass over the elements from `list`: all of them, or those at positions an earlier pass found.
    let pass = |list: Option<Slot>, length: usize, chunk: usize, to: Slot, y_offset: usize| {
        let mut parts = vec!["index", "reduce_view"];
        parts.push(if list.is_some() { "listed_positions" } else { "all_positions" });
        parts.extend(expression.parts);
        let kernel = Kernel {
            name: "arg_reduce",
            parts,
            aliases: vec![
                ("elem", wgsl(x.dtype)?),
                ("elem_y", "i32"),
                ("bits", "u32"),
                ("mask", "bool"),
            ],
            values: vec![("KEPT", rank(&split.kept)), ("REDUCED", rank(&split.reduced))],
            functions: vec![expression.function],
            ..Kernel::default()
        };
        let chunks = length.div_ceil(chunk);
        let inner = chunk * split.reduced.shape.rank().max(1) + 2 * wgrad_core::MAX_RANK;
        let launch =
            Launch::new(kernel, grid(results * chunks, inner, caps), (results * length) as u64)
                .params([results * chunks, length, chunk, chunks].map(word))
                .params([0, NAN, word(split.offset), word(y_offset)])
                .params(list_of(&split))
                .read(1, Slot::In(0))
                .write(2, to);
        Ok(match list {
            Some(slot) => launch.read(3, slot),
            None => launch,
        })
    };
    let (to, y_offset) = (Slot::Out(0), y.layout.offset);
    let chunk = chunk(&split, caps);
    if length <= chunk {
        let launches = vec![pass(None, length, length, to, y_offset)?];
        return Ok(Program { launches, scratch: Vec::new() });
    }
    let chunks = length.div_ceil(chunk);
    let between = Slot::Scratch(0);
    Ok(Program {
        launches: vec![
            pass(None, length, chunk, between, 0)?,
            pass(Some(between), chunks, chunks, to, y_offset)?,
        ],
        scratch: vec![results * chunks * 4],
    })
}

/// Sizes and strides of kept and reduced axes, as `reduce_view` wants them.
fn list_of(split: &Split) -> impl Iterator<Item = u32> + use<> {
    [
        list(&split.kept.shape, 1),
        list(&split.kept.strides, 0),
        list(&split.reduced.shape, 1),
        list(&split.reduced.strides, 0),
    ]
    .into_iter()
    .flatten()
}
