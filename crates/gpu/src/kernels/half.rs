//! 16-bit operands. Kernels that read memory element by element, or write it by fours, take them as they lie: the same
//! text with another declaration (`shaders/halves.rs`). For all others they are widened to f32 in scratch memory, and
//! results rounded once. Everything is computed in f32, and no feature of the adapter is needed.

use super::{list, rank_of, walk, word};
use crate::{
    Caps,
    launch::{Launch, Operand, Program, Slot},
};
use wgrad_core::{DType, Error, Layout, Op, Result};
use wgrad_shaders::Kernel;

/// Kernels that read halves as they lie.
const READERS: [&str; 9] = [
    "map1",
    "map2",
    "map3",
    "map_chain",
    "matmul_lanes",
    "matmul_registers",
    "matmul_thin",
    "reduce_groups",
    "reduce_lanes",
];

/// Whether a kernel writes its results by whole vec4.
fn writes_fours(kernel: &Kernel) -> bool {
    match kernel.name {
        "map1" | "map2" | "map3" => kernel.aliases.contains(&("elem_y", "vec4<f32>")),
        "map_chain" => kernel.values.contains(&("four", 1)),
        "matmul_lanes" | "matmul_registers" => kernel.values.contains(&("y_vec4", 1)),
        _ => false,
    }
}

/// How an operand reaches the kernels.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// As it lies: f32, or halves that the kernels know.
    Direct,
    /// Through f32 in scratch memory.
    Scratch,
}

/// What runs with 16-bit operands, from `inner`, which knows f32 only. `guarded`: results are written to memory that is
/// there already, so not while a fault is pending.
pub(super) fn lower(
    name: &'static str,
    guarded: bool,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
    inner: impl Fn(&[Operand], &[Operand]) -> Result<Program>,
) -> Result<Program> {
    let half = |x: &Operand| x.dtype == DType::F16;
    let mut in_ways = vec![Way::Direct; ins.len()];
    let mut out_ways = vec![Way::Direct; outs.len()];
    // An operand that one launch cannot take as it lies goes through scratch, and the choice of kernels begins anew.
    let program = loop {
        let wide = |xs: &[Operand], ways: &[Way]| -> Vec<Operand> {
            let wide = |(x, way): (&Operand, &Way)| match (half(x), way) {
                (false, _) => *x,
                (true, Way::Direct) => Operand { dtype: DType::F32, ..*x },
                (true, Way::Scratch) => {
                    Operand { layout: Layout::contiguous(x.layout.shape), dtype: DType::F32 }
                }
            };
            xs.iter().zip(ways).map(wide).collect()
        };
        let mut program = inner(&wide(ins, &in_ways), &wide(outs, &out_ways))?;
        for launch in &mut program.launches {
            let direct = |slot: Slot| matches!(slot, Slot::Out(i) if half(&outs[i]) && out_ways[i] == Way::Direct);
            if launch.bindings.iter().any(|b| b.at == 5 && direct(b.slot))
                && let Some(by_fours) = super::matmul::by_fours(launch)
            {
                *launch = by_fours;
            }
        }
        let mut again = false;
        for launch in &program.launches {
            for binding in &launch.bindings {
                let (way, fits) = match binding.slot {
                    Slot::In(i) if half(&ins[i]) => {
                        (&mut in_ways[i], READERS.contains(&launch.kernel.name))
                    }
                    Slot::Out(i) if half(&outs[i]) => {
                        // The sums beside a product are single elements.
                        let sums = launch.kernel.name == "matmul_lanes" && binding.at == 6;
                        (&mut out_ways[i], binding.write && !sums && writes_fours(&launch.kernel))
                    }
                    _ => continue,
                };
                if *way == Way::Direct && !fits {
                    (*way, again) = (Way::Scratch, true);
                }
            }
        }
        if !again {
            break program;
        }
    };
    route(name, guarded, (ins, &in_ways), (outs, &out_ways), program, caps)
}

/// The program with widening before it and rounding after it where operands go through scratch.
fn route(
    name: &'static str,
    guarded: bool,
    (ins, in_ways): (&[Operand], &[Way]),
    (outs, out_ways): (&[Operand], &[Way]),
    inner: Program,
    caps: &Caps,
) -> Result<Program> {
    let mut program = Program::default();
    let mut in_slots: Vec<Slot> = (0..ins.len()).map(Slot::In).collect();
    for (i, (x, way)) in ins.iter().zip(in_ways).enumerate() {
        if x.dtype == DType::F16 && *way == Way::Scratch {
            let scratch = Slot::Scratch(program.scratch.len());
            program.scratch.push(x.layout.numel() * 4);
            program.launches.push(widen(*x, Slot::In(i), scratch, caps));
            in_slots[i] = scratch;
        }
    }
    let mut out_slots: Vec<Slot> = (0..outs.len()).map(Slot::Out).collect();
    let mut narrows = Vec::new();
    for (i, (y, way)) in outs.iter().zip(out_ways).enumerate() {
        if y.dtype == DType::F16 && *way == Way::Scratch {
            if !y.layout.is_contiguous() || !y.layout.offset.is_multiple_of(2) {
                return Err(Error::dtype(
                    name,
                    "f16 results are written to whole contiguous tensors only; assign to such a one",
                ));
            }
            let scratch = Slot::Scratch(program.scratch.len());
            program.scratch.push(y.layout.numel() * 4);
            narrows.push(narrow(*y, scratch, Slot::Out(i), guarded, caps));
            out_slots[i] = scratch;
        }
    }
    let first_scratch = program.scratch.len();
    for mut launch in inner.launches {
        for binding in &mut launch.bindings {
            let halves = match binding.slot {
                Slot::In(i) => ins[i].dtype == DType::F16 && in_ways[i] == Way::Direct,
                Slot::Out(i) => outs[i].dtype == DType::F16 && out_ways[i] == Way::Direct,
                _ => false,
            };
            if halves {
                launch.kernel.halves.push(binding.at);
                if binding.write {
                    launch.kernel.parts.push("halves");
                }
            }
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

/// The operation's results go to memory that is there already.
pub(super) fn guarded(op: &Op) -> bool {
    matches!(op, Op::Assign(_))
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
