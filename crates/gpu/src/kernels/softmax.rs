//! Softmax and its backward: rows in whole vec4 that are not too long are kept in registers; of the
//! others one thread per row on software adapters and for short rows, one workgroup per row elsewhere.

use super::{grid, grid_of_groups, word};
use crate::{
    Caps,
    launch::{Grid, Launch, Operand, Program, Slot},
};
use wgrad_core::{
    Layout, Result,
    ops::softmax::{Softmax, SoftmaxBackward},
};
use wgrad_shaders::Kernel;

/// Whether rows of this length get a workgroup each, and the grid: a kernel walks a row at most four
/// times, with a few steps more to join what its threads found.
pub(super) fn by_groups(cols: usize, rows: usize, caps: &Caps) -> (bool, Grid) {
    let too_long = cols as u64 * 4 > caps.max_steps;
    if too_long || (!caps.software && cols >= 64 && rows < 1 << 20) {
        (true, grid_of_groups(rows, cols.div_ceil(256) * 4 + 16, caps))
    } else {
        (false, grid(rows, cols * 4, caps))
    }
}

/// How a workgroup keeps a row in registers: its threads, and the vec4 of each. `None` for rows too long for
/// that, and on software adapters without subgroups of 8, where threads could only meet at dear barriers.
pub(super) fn in_registers(cols: usize, caps: &Caps) -> Option<(u32, u32)> {
    let lanes = match (caps.software, caps.subgroups == Some((8, 8))) {
        (true, true) => 8,
        (true, false) => return None,
        (false, _) if cols <= 64 * 4 * 4 => 64,
        (false, _) => 256,
    };
    // A power of two: few kernels serve all lengths.
    let vecs = cols.div_ceil(lanes as usize * 4).next_power_of_two() as u32;
    let most = if caps.software { 32 } else { 8 };
    (vecs <= most && lanes <= caps.max_lanes).then_some((lanes, vecs))
}

/// Whether rows lie in whole vec4.
pub(super) fn in_fours(rows: &Rows, cols: usize) -> bool {
    let [offset, outer, _, stride] = rows.words;
    let fours = |x: u32| x.is_multiple_of(4);
    rows.inner == 1 && stride == 1 && cols.is_multiple_of(4) && fours(offset) && fours(outer)
}

/// A tensor as rows along an axis. All operands must allow the same two-level description, so the
/// axes before and after the axis are each one dimension after collapsing; `lower` copies otherwise.
pub(super) struct Rows {
    pub inner: usize,
    pub words: [u32; 4],
}

/// Offset, outer stride, near stride, stride along the axis; `None` where the other axes do not step
/// as one before and one after the axis.
fn rows(layout: &Layout, axis: usize) -> Option<Rows> {
    let rank = layout.shape.rank();
    let step = |from: usize, to: usize| -> Option<(usize, usize)> {
        let (mut size, mut stride) = (1, 0);
        for i in (from..to).rev() {
            if layout.shape[i] == 1 {
                continue;
            }
            if size == 1 {
                stride = layout.strides[i];
            } else if layout.strides[i] != stride * size {
                return None;
            }
            size *= layout.shape[i];
        }
        Some((size, stride))
    };
    let (_, outer) = step(0, axis)?;
    let (inner, near) = step(axis + 1, rank)?;
    Some(Rows { inner, words: [layout.offset, outer, near, layout.strides[axis]].map(word) })
}

/// The row descriptions of all operands, with copies for those that have none: launches to run first,
/// and where the operand is then.
pub(super) fn describe(
    operands: &[(Slot, &Operand)],
    axis: usize,
    caps: &Caps,
    program: &mut Program,
) -> Result<Vec<(Slot, Rows)>> {
    let mut described = Vec::with_capacity(operands.len());
    for &(slot, x) in operands {
        if let Some(rows) = rows(&x.layout, axis) {
            described.push((slot, rows));
            continue;
        }
        let copy = Operand { layout: Layout::contiguous(x.layout.shape), dtype: x.dtype };
        let scratch = Slot::Scratch(program.scratch.len());
        program.scratch.push(copy.layout.numel() * 4);
        for mut launch in super::map::copy(slot, *x, copy, false, caps)? {
            for binding in &mut launch.bindings {
                if binding.slot == Slot::Out(0) {
                    binding.slot = scratch;
                }
            }
            program.launches.push(launch);
        }
        if let Some(rows) = rows(&copy.layout, axis) {
            described.push((scratch, rows));
        }
    }
    Ok(described)
}

fn rowwise(
    name: [&'static str; 3],
    axis: usize,
    log: bool,
    operands: &[(Slot, &Operand)],
    caps: &Caps,
) -> Result<Program> {
    let mut program = Program::default();
    let described = describe(operands, axis, caps, &mut program)?;
    let Some((_, first)) = operands.first() else { return Ok(program) };
    let cols = first.layout.shape[axis];
    let count = first.layout.numel() / cols.max(1);
    let fours = described.iter().all(|(_, rows)| in_fours(rows, cols));
    let (kernel, grid) = match in_registers(cols, caps).filter(|_| fours) {
        Some((lanes, vecs)) => {
            let most = if caps.software { (caps.threads as usize * 16).max(16) } else { 65_535 };
            let groups = count.clamp(1, most.min(caps.max_groups as usize));
            let flag = u32::from;
            let values = vec![
                ("lanes", lanes),
                ("vecs", vecs),
                ("shuffle", flag(lanes == 8)),
                ("blocked", flag(caps.software)),
            ];
            let join = if lanes == 8 { "join_shuffle" } else { "join_shared" };
            let kernel = Kernel {
                name: name[2],
                parts: vec!["larger", "larger4", "nan", join],
                functions: vec!["alias elem = f32; alias bits = u32; alias mask = bool;"],
                values,
                ..Kernel::default()
            };
            let steps = count.div_ceil(groups) as u64 * (1 + 2 * (u64::from(lanes) / 16 + 16));
            (kernel, Grid { groups: [word(groups), 1], steps })
        }
        None => {
            let (groups, grid) = by_groups(cols, count, caps);
            let kernel = Kernel {
                name: if groups { name[1] } else { name[0] },
                parts: vec!["rows", "larger", "nan"],
                aliases: vec![("elem", "f32"), ("bits", "u32"), ("mask", "bool")],
                ..Kernel::default()
            };
            (kernel, grid)
        }
    };
    let inner = described.first().map_or(1, |(_, rows)| rows.inner);
    let mut launch = Launch::new(kernel, grid, first.layout.numel() as u64 * 4).params([
        word(count),
        word(cols),
        word(inner),
        u32::from(log),
    ]);
    for (i, (slot, rows)) in described.iter().enumerate() {
        launch = launch.params(rows.words);
        let at = word(i) + 1;
        launch =
            if i + 1 == described.len() { launch.write(at, *slot) } else { launch.read(at, *slot) };
    }
    program.launches.push(launch);
    Ok(program)
}

pub(super) fn softmax(
    op: &Softmax,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    rowwise(
        ["softmax_lanes", "softmax_groups", "softmax_registers"],
        op.axis,
        op.log,
        &[(Slot::In(0), &ins[0]), (Slot::Out(0), &outs[0])],
        caps,
    )
}

pub(super) fn backward(
    op: &SoftmaxBackward,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    rowwise(
        ["softmax_backward_lanes", "softmax_backward_groups", "softmax_backward_registers"],
        op.axis,
        op.log,
        &[(Slot::In(0), &ins[0]), (Slot::In(1), &ins[1]), (Slot::Out(0), &outs[0])],
        caps,
    )
}
