//! Cross-entropy: losses and gradient in one launch, and the sum of the losses in another; on software adapters one
//! launch does both where there is little to do. A mean over rows that count differently is divided by what they weigh
//! together, which a launch before finds in the labels alone.

use super::{grid_of_groups, reduce, softmax::by_groups, word};
use crate::{
    Caps,
    launch::{Grid, Launch, Operand, Program, Slot},
};
use wgrad_core::{
    Result,
    ops::{cross_entropy::CrossEntropy, losses::Reduction},
};
use wgrad_shaders::Kernel;

/// Rows that one workgroup weighs; of more a second launch joins the parts.
const ROWS_EACH: usize = 1 << 14;
/// The most parts.
const MAX_PARTS: usize = 256;
const NAN: u32 = 0x7fc0_0000;

pub(super) fn cross_entropy(
    op: &CrossEntropy,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let (x, labels) = (&ins[0].layout, &ins[1].layout);
    let (rows, cols) = (x.shape[0], x.shape[1]);
    let each = op.reduction == Reduction::None;
    let mean = op.reduction == Reduction::Mean;
    let divided = mean && (op.weighted || op.ignored.is_some());
    // So little work that a second launch would cost more than a second thread saves.
    let little = caps.software && caps.subgroups == Some((8, 8)) && rows * cols <= 4096;
    let once = little && rows > 0 && !each;
    let (groups, grid) = match once {
        true => (false, Grid { groups: [1, 1], steps: (rows.div_ceil(8) * (cols * 4 + 2)) as u64 }),
        false => by_groups(cols, rows, caps),
    };
    let mut kernel = named(if groups { "cross_entropy_groups" } else { "cross_entropy_lanes" }, op);
    let gradient = if op.gradient { "cross_entropy_gradient" } else { "cross_entropy_loss_only" };
    let scaling = match (divided, once) {
        (false, _) => "cross_entropy_fixed",
        (true, false) => "cross_entropy_divided",
        (true, true) => "cross_entropy_divided_here",
    };
    kernel.parts.extend(["watch", "cross_entropy_row", gradient, scaling]);
    if !groups {
        kernel.parts.push(if once { "keep_sum" } else { "keep_rows" });
        kernel.values.push(("WG", if once { 8 } else { 64 }));
    }
    let mut program = Program::default();
    let (loss, loss_at) = match once || each {
        true => (Slot::Out(0), outs[0].layout.offset),
        false => {
            program.scratch.push(rows.max(1) * 4);
            (Slot::Scratch(0), 0)
        }
    };
    let scale = match (divided, mean) {
        (true, _) => NAN,
        (false, true) => (1.0 / rows as f32).to_bits(),
        (false, false) => 1f32.to_bits(),
    };
    let [weights_at, weights_step] =
        ins.get(2).map_or([0, 0], |w| [w.layout.offset, w.layout.strides[0]].map(word));
    #[rustfmt::skip]
    let params = [
        word(rows), word(cols), word(x.offset), word(x.strides[0]),
        word(x.strides[1]), word(labels.offset), word(labels.strides[0]), 0,
        op.smoothing.to_bits(), scale, word(loss_at), outs.get(1).map_or(0, |dx| word(dx.layout.offset)),
        // The bits of a label, whatever its sign.
        u32::from(op.ignored.is_some()), op.ignored.unwrap_or(0) as u32, weights_at, weights_step,
    ];
    if rows > 0 || each {
        let mut launch = Launch::new(kernel, grid, x.numel() as u64 * 4)
            .params(params)
            .read(1, Slot::In(0))
            .read(2, Slot::In(1))
            .write(3, loss);
        if op.gradient {
            launch = launch.write(4, Slot::Out(1));
        }
        if op.weighted {
            launch = launch.read(5, Slot::In(2));
        }
        if divided && !once {
            launch = launch.read(6, divisor(op, &mut program, rows, params, caps)?);
        }
        program.launches.push(launch.watch(1, cols, 7));
    }
    if !once && !each {
        // The losses are scaled already; only the mean of none is not 0.
        let last = if mean && rows == 0 { "mean" } else { "sum" };
        reduce::scratch_to_one(&mut program, last, rows, outs[0].layout.offset, caps)?;
    }
    Ok(program)
}

/// A kernel with what all three share.
fn named(name: &'static str, op: &CrossEntropy) -> Kernel {
    let weights = if op.weighted { "cross_entropy_weighted" } else { "cross_entropy_even" };
    let scores = if op.log { "cross_entropy_log" } else { "cross_entropy_logits" };
    Kernel {
        name,
        parts: vec!["cross_entropy_labels", weights, scores, "larger", "nan"],
        aliases: vec![("elem", "f32"), ("bits", "u32"), ("mask", "bool")],
        ..Kernel::default()
    }
}

/// Launches that weigh the rows, and where the result is.
fn divisor(
    op: &CrossEntropy,
    program: &mut Program,
    rows: usize,
    params: [u32; 16],
    caps: &Caps,
) -> Result<Slot> {
    let parts = rows.div_ceil(ROWS_EACH).min(MAX_PARTS);
    let mut slot = Slot::Scratch(program.scratch.len());
    program.scratch.push(parts * 4);
    let Grid { groups, .. } = grid_of_groups(parts, 0, caps);
    let steps = rows.div_ceil(parts * 256) as u64 + 8;
    let launch = Launch::new(named("cross_entropy_divisor", op), groups, rows as u64)
        .steps(steps)
        .params(params)
        .read(2, Slot::In(1))
        .write(3, slot);
    program.launches.push(if op.weighted { launch.read(5, Slot::In(2)) } else { launch });
    if parts > 1 {
        let whole = Slot::Scratch(program.scratch.len());
        program.scratch.push(4);
        reduce::sum_of_scratch(program, [slot, whole], [parts, 1], 0, caps)?;
        slot = whole;
    }
    Ok(slot)
}
