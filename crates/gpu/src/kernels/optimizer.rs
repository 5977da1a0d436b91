//! One step of an optimizer over a flat buffer.

use super::{walk, word};
use crate::{
    Caps,
    launch::{Launch, Operand, Slot},
};
use wgrad_core::{
    Error, Result,
    ops::optimizer::{Adam, Sgd},
};
use wgrad_shaders::Kernel;

/// Flat buffers by vec4 where sizes and offsets allow, else by single elements.
struct Flat {
    elem: &'static str,
    by: usize,
    count: usize,
}

fn flat(op: &'static str, all: &[&Operand]) -> Result<Flat> {
    let contiguous = all.iter().all(|x| x.layout.is_contiguous());
    let Some(first) = all.first().filter(|_| contiguous) else {
        return Err(Error::internal(op, "parameters are not contiguous"));
    };
    let count = first.layout.numel();
    let four = count.is_multiple_of(4) && all.iter().all(|x| x.layout.offset.is_multiple_of(4));
    Ok(if four {
        Flat { elem: "vec4<f32>", by: 4, count: count / 4 }
    } else {
        Flat { elem: "f32", by: 1, count }
    })
}

impl Flat {
    fn offset(&self, x: &Operand) -> u32 {
        word(x.layout.offset / self.by)
    }
}

pub(super) fn sgd(op: &Sgd, ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Vec<Launch>> {
    let mut all = vec![&ins[0], &ins[1]];
    all.extend(ins.get(3));
    let flat = flat("sgd", &all)?;
    let kernel = Kernel {
        name: "sgd",
        parts: vec!["guarded", if op.momentum { "sgd_momentum" } else { "sgd_plain" }],
        aliases: vec![("elem", flat.elem)],
        ..Kernel::default()
    };
    let velocity = ins.get(3).map_or(0, |v| flat.offset(v));
    let mut launch = walk(kernel, flat.count, 0, outs[0].layout.numel() as u64, caps)
        .params([word(flat.count), flat.offset(&ins[0]), flat.offset(&ins[1]), velocity])
        .params([u32::from(op.nesterov)])
        .read(1, Slot::In(1))
        .read(2, Slot::In(2))
        .write(3, Slot::Out(0));
    if op.momentum {
        launch = launch.write(4, Slot::Out(1));
    }
    Ok(vec![launch.read(9, Slot::Fault)])
}

pub(super) fn adam(
    op: &Adam,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let flat = flat("adam", &[&ins[0], &ins[1], &ins[3], &ins[4]])?;
    let kernel = Kernel {
        name: "adam",
        parts: vec!["guarded"],
        aliases: vec![("elem", flat.elem)],
        ..Kernel::default()
    };
    let step = walk(kernel, flat.count, 0, outs[0].layout.numel() as u64 * 2, caps)
        .params([word(flat.count), flat.offset(&ins[0]), flat.offset(&ins[1])])
        .params([flat.offset(&ins[3]), flat.offset(&ins[4]), u32::from(op.decoupled)])
        .read(1, Slot::In(1))
        .read(2, Slot::In(2))
        .write(3, Slot::Out(0))
        .write(4, Slot::Out(2))
        .write(5, Slot::Out(3))
        .read(9, Slot::Fault);
    let kernel = Kernel { name: "adam_advance", parts: vec!["guarded"], ..Kernel::default() };
    let advance = Launch::new(kernel, [1, 1], 1)
        .params([word(ins[2].layout.offset)])
        .write(1, Slot::Out(1))
        .read(9, Slot::Fault);
    Ok(vec![step, advance])
}
