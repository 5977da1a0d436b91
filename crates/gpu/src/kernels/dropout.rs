//! Dropout: a copy of the random state, which moves on, and then the elements by fours.

use super::{list, rank_of, walk, word};
use crate::{
    Caps,
    launch::{Launch, Operand, Slot},
};
use wgrad_core::{
    Result,
    ops::dropout::{Dropout, TakeRandom},
};
use wgrad_shaders::Kernel;

pub(super) fn take(op: &TakeRandom, outs: &[Operand]) -> Result<Vec<Launch>> {
    let kernel = Kernel { name: "random_take", ..Kernel::default() };
    let launch = Launch::new(kernel, [1, 1], 1)
        .params([op.blocks as u32, (op.blocks >> 32) as u32, word(outs[0].layout.offset)])
        .write(1, Slot::Out(0))
        .write(2, Slot::Out(1));
    Ok(vec![launch])
}

pub(super) fn dropout(
    op: &Dropout,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let (x, y) = (&ins[0].layout, &outs[0].layout);
    let count = y.numel();
    let fours = [x, y].iter().all(|v| v.is_contiguous() && v.offset.is_multiple_of(4))
        && count.is_multiple_of(4);
    let x = x.collapse();
    let part = if fours { "dropout_fours" } else { "dropout_view" };
    let (by, slot) = if fours { (4, "vec4<f32>") } else { (1, "f32") };
    let kernel = Kernel {
        name: "dropout",
        parts: vec!["philox", "index", part],
        aliases: vec![("slot", slot)],
        values: vec![("RANK", rank_of(&x))],
        ..Kernel::default()
    };
    let inner = 10 + 4 * x.shape.rank();
    let launch = walk(kernel, count.div_ceil(4), inner, count as u64 * 8, caps)
        .params([word(count), op.last, op.scale.to_bits(), word(ins[1].layout.offset)])
        .params([word(x.offset / by), word(y.offset / by), 0, 0])
        .params(list(&x.shape, 1))
        .params(list(&x.strides, 0))
        .read(1, Slot::In(0))
        .read(2, Slot::In(1))
        .write(3, Slot::Out(0));
    Ok(vec![launch])
}
