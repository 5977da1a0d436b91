//! Tensors from nothing: fills, ranges, one-hot rows, random numbers.

use super::{list, map::bits, rank_of, walk, wgsl, word};
use crate::{
    Caps,
    launch::{Launch, Operand, Slot},
};
use wgrad_core::{
    Result,
    ops::{
        create::Arange,
        random::{Distribution, Random},
    },
};
use wgrad_shaders::Kernel;

fn generate(start: f64, step: f64, y: &Operand, caps: &Caps) -> Result<Vec<Launch>> {
    let layout = y.layout.collapse();
    let count = layout.numel();
    let kernel = Kernel {
        name: "generate",
        parts: vec!["index"],
        aliases: vec![("elem", wgsl(y.dtype)?)],
        values: vec![("RANK", rank_of(&layout))],
        ..Kernel::default()
    };
    let launch = walk(kernel, count, layout.shape.rank(), count as u64, caps)
        .params([word(count), word(layout.offset), bits(start, y.dtype), bits(step, y.dtype)])
        .params(list(&layout.shape, 1))
        .params(list(&layout.strides, 0))
        .write(1, Slot::Out(0));
    Ok(vec![launch])
}

pub(super) fn fill(value: f64, outs: &[Operand], caps: &Caps) -> Result<Vec<Launch>> {
    generate(value, 0.0, &outs[0], caps)
}

pub(super) fn arange(op: &Arange, outs: &[Operand], caps: &Caps) -> Result<Vec<Launch>> {
    generate(op.start, op.step, &outs[0], caps)
}

pub(super) fn one_hot(
    classes: usize,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let index = ins[0].layout.collapse();
    let count = outs[0].layout.numel();
    let kernel = Kernel {
        name: "one_hot",
        parts: vec!["index", "row_index", "watch"],
        values: vec![("ROW_RANK", 1), ("INDEX_RANK", rank_of(&index))],
        ..Kernel::default()
    };
    let launch = walk(kernel, count, index.shape.rank(), count as u64, caps)
        .params([word(count), word(classes), 0, word(index.offset)])
        .params(list(&index.shape, 1))
        .params(list(&index.strides, 0))
        .params([0; 16])
        .params([word(outs[0].layout.offset)])
        .read(1, Slot::In(0))
        .write(2, Slot::Out(0))
        .watch(0, classes, 2);
    Ok(vec![launch])
}

pub(super) fn random(
    op: &Random,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    debug_assert!(ins.len() == 1 && outs.len() == 2);
    let count = outs[0].layout.numel();
    let blocks = count.div_ceil(4);
    let (normal, [low, high, mean, std]) = match op.distribution {
        Distribution::Uniform { low, high } => (0, [low, high, 0.0, 0.0]),
        Distribution::Normal { mean, std } => (1, [0.0, 0.0, mean, std]),
    };
    let kernel = Kernel { name: "random", parts: vec!["philox"], ..Kernel::default() };
    let numbers = walk(kernel, blocks, 10, count as u64 * 8, caps)
        .params([word(count), word(outs[0].layout.offset), normal, 0])
        .params([low, high, mean, std].map(f32::to_bits))
        .read(1, Slot::In(0))
        .write(2, Slot::Out(0));
    let kernel = Kernel { name: "random_advance", ..Kernel::default() };
    let advance = Launch::new(kernel, [1, 1], 1).params([word(blocks)]).write(1, Slot::Out(1));
    Ok(vec![numbers, advance])
}
