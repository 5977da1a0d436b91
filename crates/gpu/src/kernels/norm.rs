//! Layer norm and RMS norm: rows as softmax takes them, kept in registers where they fit; sums over rows by columns.

use super::{
    reduce,
    softmax::{Rows, by_groups, describe, in_fours, in_registers},
    walk, word,
};
use crate::{
    Caps,
    launch::{Grid, Launch, Operand, Program, Slot},
};
use wgrad_core::{
    Result,
    ops::norm::{Norm, NormBackward, NormSums},
};
use wgrad_shaders::Kernel;

/// A gamma or beta, or zeros in its place: where it lies and how it steps.
struct Vector {
    slot: Slot,
    offset: usize,
    step: usize,
}

impl Vector {
    fn new(v: Option<(usize, &Operand)>) -> Vector {
        match v {
            Some((i, v)) => {
                let step = v.layout.strides.first().copied().unwrap_or(0);
                Vector { slot: Slot::In(i), offset: v.layout.offset, step }
            }
            None => Vector { slot: Slot::Zeros, offset: 0, step: 0 },
        }
    }

    /// Whether it can be read by vec4: zeros can, with any step.
    fn in_fours(&self) -> bool {
        self.slot == Slot::Zeros || (self.step == 1 && self.offset.is_multiple_of(4))
    }
}

/// The kernel for rows that lie like this, and its grid.
fn kernel(
    names: [&'static str; 3],
    rows: &[(Slot, Rows)],
    vectors: &[&Vector],
    cols: usize,
    count: usize,
    caps: &Caps,
) -> (Kernel, Grid) {
    let fours = rows.iter().all(|(_, rows)| in_fours(rows, cols));
    let Some((lanes, vecs)) = in_registers(cols, caps).filter(|_| fours) else {
        let (groups, grid) = by_groups(cols, count, caps);
        let name = if groups { names[1] } else { names[0] };
        return (Kernel { name, parts: vec!["rows"], ..Kernel::default() }, grid);
    };
    let most = if caps.software { (caps.threads as usize * 16).max(16) } else { 65_535 };
    let groups = count.clamp(1, most.min(caps.max_groups as usize));
    let flag = u32::from;
    let values = vec![
        ("lanes", lanes),
        ("vecs", vecs),
        ("shuffle", flag(lanes == 8)),
        ("blocked", flag(caps.software)),
        ("fours", flag(vectors.iter().all(|v| v.in_fours()))),
    ];
    let parts = if lanes == 8 {
        vec!["larger", "nan", "join_shuffle"]
    } else {
        vec!["larger", "nan", "join_shared"]
    };
    let kernel = Kernel {
        name: names[2],
        parts,
        functions: vec!["alias elem = f32; alias bits = u32; alias mask = bool;"],
        values,
        ..Kernel::default()
    };
    let steps = count.div_ceil(groups) as u64 * (1 + 2 * (u64::from(lanes) / 16 + 16));
    (kernel, Grid { groups: [word(groups), 1], steps })
}

fn flags(centred: bool, scaled: bool) -> u32 {
    u32::from(centred) | u32::from(scaled) << 1
}

pub(super) fn norm(op: &Norm, ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Program> {
    let mut program = Program::default();
    let last = ins[0].layout.shape.rank() - 1;
    let cols = ins[0].layout.shape[last];
    let count = ins[0].layout.numel() / cols.max(1);
    let operands = [(Slot::In(0), &ins[0]), (Slot::Out(0), &outs[0])];
    let rows = describe(&operands, last, caps, &mut program)?;
    let gamma = Vector::new(ins.get(1).filter(|_| op.scaled).map(|v| (1, v)));
    let at = 1 + usize::from(op.scaled);
    let beta = Vector::new(ins.get(at).filter(|_| op.shifted).map(|v| (at, v)));
    let names = ["norm_lanes", "norm_groups", "norm_registers"];
    let (kernel, grid) = kernel(names, &rows, &[&gamma, &beta], cols, count, caps);
    let mut launch = Launch::new(kernel, grid, ins[0].layout.numel() as u64 * 4).params([
        word(count),
        word(cols),
        1,
        flags(op.centred, op.scaled),
    ]);
    for (_, rows) in &rows {
        launch = launch.params(rows.words);
    }
    launch = launch.params([gamma.offset, gamma.step, beta.offset, beta.step].map(word)).params([
        (op.eps as f32).to_bits(),
        word(outs[1].layout.offset),
        0,
        0,
    ]);
    if let [(x, _), (y, _)] = rows[..] {
        launch = launch.read(1, x).read(2, gamma.slot).read(3, beta.slot).write(4, y);
    }
    program.launches.push(launch.write(5, Slot::Out(1)));
    Ok(program)
}

pub(super) fn backward(
    op: &NormBackward,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let mut program = Program::default();
    let last = ins[1].layout.shape.rank() - 1;
    let cols = ins[1].layout.shape[last];
    let count = ins[1].layout.numel() / cols.max(1);
    let operands = [(Slot::In(0), &ins[0]), (Slot::In(1), &ins[1]), (Slot::Out(0), &outs[0])];
    let rows = describe(&operands, last, caps, &mut program)?;
    let gamma = Vector::new(ins.get(3).filter(|_| op.scaled).map(|v| (3, v)));
    let names = ["norm_backward_lanes", "norm_backward_groups", "norm_backward_registers"];
    let (kernel, grid) = kernel(names, &rows, &[&gamma], cols, count, caps);
    let mut launch = Launch::new(kernel, grid, ins[1].layout.numel() as u64 * 5).params([
        word(count),
        word(cols),
        1,
        flags(op.centred, op.scaled),
    ]);
    for (_, rows) in &rows {
        launch = launch.params(rows.words);
    }
    launch = launch.params([gamma.offset, gamma.step, ins[2].layout.offset, 0].map(word));
    if let [(dy, _), (x, _), (dx, _)] = rows[..] {
        launch = launch.read(1, dy).read(2, x).read(3, Slot::In(2));
        launch = launch.read(4, gamma.slot).write(5, dx);
    }
    program.launches.push(launch);
    Ok(program)
}

/// Sums over rows: a thread has a column, or four, and a chunk of the rows; the chunks are joined by a second pass.
pub(super) fn sums(
    op: &NormSums,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let mut program = Program::default();
    let last = ins[1].layout.shape.rank() - 1;
    let cols = ins[1].layout.shape[last];
    let count = ins[1].layout.numel() / cols.max(1);
    let operands = [(Slot::In(0), &ins[0]), (Slot::In(1), &ins[1])];
    let described = describe(&operands, last, caps, &mut program)?;
    let fours = described.iter().all(|(_, rows)| in_fours(rows, cols))
        && outs[0].layout.offset.is_multiple_of(4);
    let by = if fours { 4 } else { 1 };
    let units = cols / by;
    // So many chunks that all threads have work, and none so short that the second pass has most of it.
    let threads = if caps.software { caps.threads.max(1) as usize * 64 } else { 32_768 };
    let most = usize::try_from(caps.max_steps / 4).unwrap_or(usize::MAX).max(1);
    let chunk = count.div_ceil(threads.div_ceil(units)).max(16).min(most);
    let chunks = count.div_ceil(chunk).max(1);
    let (to, to_offset) = match chunks {
        1 => (Slot::Out(0), outs[0].layout.offset),
        _ => (Slot::Scratch(program.scratch.len()), 0),
    };
    let (elem, first) = match fours {
        true => ("vec4<f32>", "fn first_of(x: elem) -> f32 { return x.x; }"),
        false => ("f32", "fn first_of(x: elem) -> f32 { return x; }"),
    };
    let kernel = Kernel {
        name: "norm_columns",
        parts: vec!["rows"],
        aliases: vec![("elem", elem)],
        functions: vec![first],
        ..Kernel::default()
    };
    let work = ins[1].layout.numel() as u64 * 4;
    let mut launch = walk(kernel, units * chunks, chunk + chunk / 32 + 1, work, caps)
        .params([count, units, 1, chunk].map(word))
        .params([word(chunks), u32::from(op.centred)])
        .params([ins[2].layout.offset, to_offset / by].map(word));
    for (i, (slot, rows)) in (1..).zip(&described) {
        // Offset and distance of rows in units; along the row they step by one unit or as they lie.
        let [offset, outer, near, stride] = rows.words;
        let by = word(by);
        launch = launch.params([offset / by, outer / by, near, stride]).read(i, *slot);
    }
    program.launches.push(launch.read(3, Slot::In(2)).write(4, to));
    if chunks > 1 {
        program.scratch.push(chunks * 2 * cols * 4);
        let ends = [to, Slot::Out(0)];
        reduce::sum_of_scratch(
            &mut program,
            ends,
            [chunks, 2 * cols],
            outs[0].layout.offset,
            caps,
        )?;
    }
    Ok(program)
}
