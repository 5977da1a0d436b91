//! 16-bit operands: widened to f32, computed, rounded once. In one place, so that no kernel needs a
//! second form; needs no feature of the adapter.

use super::{list, lower_wide, rank_of, walk, word};
use crate::{
    Caps,
    launch::{Launch, Operand, Program, Slot},
};
use wgrad_core::{DType, Error, Layout, Op, Result};
use wgrad_shaders::Kernel;

pub(super) fn lower(op: &Op, ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Program> {
    let mut program = Program::default();
    let mut wide_ins = ins.to_vec();
    let mut in_slots: Vec<Slot> = (0..ins.len()).map(Slot::In).collect();
    for (i, x) in ins.iter().enumerate() {
        // What is only written in place need not be read.
        let overwritten = op.in_place() && i == 0;
        if x.dtype == DType::F16 && !overwritten {
            let scratch = Slot::Scratch(program.scratch.len());
            program.scratch.push(x.layout.numel() * 4);
            program.launches.push(widen(*x, Slot::In(i), scratch, caps));
            wide_ins[i] = Operand { layout: Layout::contiguous(x.layout.shape), dtype: DType::F32 };
            in_slots[i] = scratch;
        }
    }
    let mut wide_outs = outs.to_vec();
    let mut out_slots: Vec<Slot> = (0..outs.len()).map(Slot::Out).collect();
    let mut narrows = Vec::new();
    for (i, y) in outs.iter().enumerate() {
        if y.dtype == DType::F16 {
            if !y.layout.is_contiguous() || !y.layout.offset.is_multiple_of(2) {
                return Err(Error::dtype(
                    op.name(),
                    "f16 results are written to whole contiguous tensors only; assign to such a one",
                ));
            }
            let scratch = Slot::Scratch(program.scratch.len());
            program.scratch.push(y.layout.numel() * 4);
            narrows.push(narrow(*y, scratch, Slot::Out(i), matches!(op, Op::Assign(_)), caps));
            wide_outs[i] =
                Operand { layout: Layout::contiguous(y.layout.shape), dtype: DType::F32 };
            out_slots[i] = scratch;
        }
    }
    let first_scratch = program.scratch.len();
    let inner = lower_wide(op, &wide_ins, &wide_outs, caps)?;
    for mut launch in inner.launches {
        for binding in &mut launch.bindings {
            binding.slot = match binding.slot {
                Slot::In(i) => in_slots[i],
                Slot::Out(i) => out_slots[i],
                Slot::Scratch(i) => Slot::Scratch(i + first_scratch),
                other @ (Slot::Fault | Slot::Zeros | Slot::Spare) => other,
            };
        }
        program.launches.push(launch);
    }
    program.scratch.extend(inner.scratch);
    program.launches.extend(narrows);
    Ok(program)
}

fn widen(x: Operand, from: Slot, to: Slot, caps: &Caps) -> Launch {
    let layout = x.layout.collapse();
    let count = layout.numel();
    let kernel = Kernel {
        name: "widen_f16",
        parts: vec!["index"],
        values: vec![("RANK", rank_of(&layout))],
        ..Kernel::default()
    };
    walk(kernel, count, layout.shape.rank(), count as u64, caps)
        .params([word(count), word(layout.offset), 0, 0])
        .params(list(&layout.shape, 1))
        .params(list(&layout.strides, 0))
        .read(1, from)
        .write(2, to)
}

fn narrow(y: Operand, from: Slot, to: Slot, guarded: bool, caps: &Caps) -> Launch {
    let count = y.layout.numel();
    let part = if guarded { "guarded" } else { "unguarded" };
    let kernel = Kernel { name: "narrow_f16", parts: vec![part], ..Kernel::default() };
    let launch = walk(kernel, count.div_ceil(2), 0, count as u64, caps)
        .params([word(count), 0, word(y.layout.offset / 2), 0])
        .read(1, from)
        .write(2, to);
    if guarded { launch.read(9, Slot::Fault) } else { launch }
}
