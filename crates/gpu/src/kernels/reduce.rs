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
            shape: Shape::new("lower", &pick(&x.shape))?,
            strides: Shape::new("lower", &pick(&x.strides))?,
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
    let expression = wgrad_shaders::join(p.op).ok_or_else(|| missing(p.op))?;
    let mut parts = vec!["index", "reduce_view"];
    parts.extend(expression.parts);
    let elem = wgsl(p.dtype)?;
    let kernel = Kernel {
        name: if groups { "reduce_groups" } else { "reduce_lanes" },
        parts,
        aliases: vec![("elem", elem), ("elem_y", elem), ("bits", "u32"), ("mask", "bool")],
        values: vec![("KEPT", rank(&p.split.kept)), ("REDUCED", rank(&p.split.reduced))],
        functions: vec![expression.function],
    };
    let grid = if groups { grid_of_groups(count, caps) } else { grid(count, caps) };
    Ok(Launch::new(kernel, grid, (results * length) as u64)
        .params([count, length, p.chunk, chunks].map(word))
        .params([p.scale.to_bits(), NAN, word(p.split.offset), word(p.y_offset)])
        .params(list(&p.split.kept.shape, 1))
        .params(list(&p.split.kept.strides, 0))
        .params(list(&p.split.reduced.shape, 1))
        .params(list(&p.split.reduced.strides, 0))
        .read(1, p.from)
        .write(2, p.to))
}

/// Elements one thread or workgroup reduces before a second pass joins the parts: as many parts as
/// fill the adapter, and short enough for the sums' cascade.
fn chunk(results: usize, length: usize, caps: &Caps) -> usize {
    let wanted = if caps.software { 8 * caps.threads.max(1) as usize } else { 512 };
    let parts = wanted.div_ceil(results.max(1));
    let smallest = if caps.software { 4096 } else { 8192 };
    length.div_ceil(parts).max(smallest).min(1 << 20)
}

pub(super) fn reduce(op: &Reduce, ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Program> {
    let (x, y) = (&ins[0], &outs[0]);
    let split = split(&x.layout, op.axes)?;
    let (results, length) = (split.kept.numel(), split.reduced.numel());
    let whole = x.dtype != DType::F32;
    let (first, last) = match op.op {
        ReduceOp::Sum => ("sum", "sum"),
        ReduceOp::Mean => ("sum", "mean"),
        ReduceOp::Max if whole => ("max_int", "max_int"),
        ReduceOp::Min if whole => ("min_int", "min_int"),
        ReduceOp::Max => ("max", "max"),
        ReduceOp::Min => ("min", "min"),
    };
    let scale = 1.0 / length as f32;
    join(first, last, &split, Slot::In(0), y.layout.offset, scale, x.dtype, (results, length), caps)
}

/// A reduction in one pass, or in two with the parts in scratch.
#[allow(clippy::too_many_arguments, reason = "one call site each; a struct would only rename them")]
fn join(
    first: &str,
    last: &str,
    split: &Split,
    from: Slot,
    y_offset: usize,
    scale: f32,
    dtype: DType,
    (results, length): (usize, usize),
    caps: &Caps,
) -> Result<Program> {
    let chunk = chunk(results, length, caps);
    let to = Slot::Out(0);
    if length <= chunk {
        let only = Pass { op: last, split, from, to, y_offset, chunk: length, scale, dtype };
        return Ok(Program { launches: vec![pass(&only, caps)?], scratch: Vec::new() });
    }
    let chunks = length.div_ceil(chunk);
    let between = Slot::Scratch(0);
    let parts = Pass { op: first, split, from, to: between, y_offset: 0, chunk, scale, dtype };
    let lay = |shape: &[usize], strides: &[usize]| -> Result<Layout> {
        Ok(Layout {
            shape: Shape::new("lower", shape)?,
            strides: Shape::new("lower", strides)?,
            offset: 0,
        })
    };
    let rest = Split {
        kept: lay(&[results], &[chunks])?,
        reduced: lay(&[chunks], &[1])?,
        offset: 0,
    };
    let end = Pass { op: last, split: &rest, from: between, to, y_offset, chunk: chunks, scale, dtype };
    Ok(Program {
        launches: vec![pass(&parts, caps)?, pass(&end, caps)?],
        scratch: vec![results * chunks * 4],
    })
}

/// Mean of `length` contiguous f32 values in scratch, into the first output; joined to a program that
/// made them.
pub(super) fn mean_of_scratch(length: usize, y_offset: usize, caps: &Caps) -> Result<Launch> {
    let split = Split {
        kept: Layout::contiguous(Shape::scalar()),
        reduced: Layout::contiguous(Shape::new("lower", &[length])?),
        offset: 0,
    };
    let only = Pass {
        op: "mean",
        split: &split,
        from: Slot::Scratch(0),
        to: Slot::Out(0),
        y_offset,
        chunk: length,
        scale: 1.0 / length as f32,
        dtype: DType::F32,
    };
    pass(&only, caps)
}

pub(super) fn arg_reduce(
    op: &ArgReduce,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
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
    let mut parts = vec!["index", "reduce_view"];
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
    };
    let launch = Launch::new(kernel, grid(results, caps), (results * length) as u64)
        .params([results, length, length, 1].map(word))
        .params([0, NAN, word(split.offset), word(y.layout.offset)])
        .params(list(&split.kept.shape, 1))
        .params(list(&split.kept.strides, 0))
        .params(list(&split.reduced.shape, 1))
        .params(list(&split.reduced.strides, 0))
        .read(1, Slot::In(0))
        .write(2, Slot::Out(0));
    Ok(vec![launch])
}
