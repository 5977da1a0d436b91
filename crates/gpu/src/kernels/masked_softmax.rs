//! Softmax over what a row sees, and its gradient: a few threads share a row, and keep it in registers if it is not long.

use super::{list, word};
use crate::{
    Caps,
    launch::{Grid, Launch, Operand, Slot},
};
use wgrad_core::{
    Layout, Result, Shape, collapse_together,
    ops::masked_softmax::{MaskedSoftmax, MaskedSoftmaxBackward},
};
use wgrad_shaders::Kernel;

/// How two operands and the contiguous result of one shape are gone through, row by row.
struct Rows {
    /// Axes before the last, as seen by either operand.
    lead: [Layout; 2],
    /// Strides along the row.
    steps: [usize; 2],
    count: usize,
    cols: usize,
    queries: usize,
    lanes: usize,
    /// How many numbers or vec4 a thread keeps; 0 for rows too long for that.
    vecs: usize,
    fours: bool,
    grid: Grid,
}

impl Rows {
    /// `fours` says which of the operands are read by vec4, where all lies so.
    fn new(ins: [Layout; 2], y: &Layout, fours: [bool; 2], caps: &Caps) -> Rows {
        let rank = y.shape.rank();
        let (cols, queries) = (y.shape[rank - 1], y.shape[rank - 2]);
        let count = y.numel() / cols.max(1);
        let by_four = |x: &Layout| {
            let strides = &x.strides[..rank - 1];
            x.strides[rank - 1] == 1
                && x.offset.is_multiple_of(4)
                && strides.iter().zip(x.shape.iter()).all(|(s, &n)| n == 1 || s.is_multiple_of(4))
        };
        let fours = cols.is_multiple_of(4)
            && y.offset.is_multiple_of(4)
            && ins.iter().zip(fours).all(|(x, wanted)| !wanted || by_four(x));
        let units = if fours { cols / 4 } else { cols };
        let shuffle = caps.software && caps.subgroups == Some((8, 8));
        // A row is gone through three times, and a few steps more join what its threads found.
        let rounds = |lanes: usize| (units.div_ceil(lanes) * 3 + units / (lanes * 32)) as u64;
        let lanes = match units {
            _ if shuffle && rounds(8) < caps.max_steps / 4 => 8,
            0..=32 => 16,
            _ if caps.software && rounds(16) < caps.max_steps / 4 => 16,
            33..=512 => 64,
            _ => 256,
        };
        // A power of two: few kernels serve all lengths.
        let vecs = units.div_ceil(lanes).next_power_of_two();
        let vecs = if vecs <= if caps.software { 4 } else { 8 } { vecs } else { 0 };
        let each = rounds(lanes) + 2 * (lanes as u64 / 16 + 16);
        let fill = if caps.software { u64::from(caps.threads * 16).max(16) } else { 65_535 };
        let few_steps = (count as u64 * each).div_ceil(caps.max_steps / 2);
        let most = fill.max(few_steps).min(caps.max_groups.into());
        let groups = (count as u64).clamp(1, most);
        let steps = (count as u64).div_ceil(groups) * each;
        let before = |x: &Layout| Layout {
            shape: Shape::from_checked(&x.shape[..rank - 1]),
            strides: Shape::from_checked(&x.strides[..rank - 1]),
            offset: x.offset,
        };
        Rows {
            lead: collapse_together(ins.map(|x| before(&x))),
            steps: ins.map(|x| x.strides[rank - 1]),
            count,
            cols,
            queries,
            lanes,
            vecs,
            fours,
            grid: Grid { groups: [groups as u32, 1], steps },
        }
    }

    /// The first of the names for rows of any length, the second for those kept in registers.
    fn kernel(&self, names: [&'static str; 2], caps: &Caps) -> Kernel {
        let shuffle = self.lanes == 8;
        let name = names[usize::from(self.vecs > 0)];
        let mut parts = vec!["index", "larger", "nan"];
        if self.fours && !name.contains("backward") {
            parts.push("larger4");
        }
        parts.push(if shuffle { "join_shuffle" } else { "join_shared" });
        let mut values = vec![
            ("lanes", word(self.lanes)),
            ("shuffle", shuffle.into()),
            ("blocked", caps.software.into()),
            ("fours", self.fours.into()),
            ("rank", word(self.lead[0].shape.rank().max(1))),
        ];
        if self.vecs > 0 {
            values.push(("vecs", word(self.vecs)));
        }
        Kernel {
            name,
            parts,
            functions: vec!["alias elem = f32; alias bits = u32; alias mask = bool;"],
            values,
            ..Kernel::default()
        }
    }

    /// Sizes and both operands' strides before the last axis.
    fn lists(&self) -> impl Iterator<Item = u32> {
        let [a, b] = &self.lead;
        [list(&a.shape, 1), list(&a.strides, 0), list(&b.strides, 0)].into_iter().flatten()
    }
}

pub(super) fn forward(
    op: &MaskedSoftmax,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let (x, y) = (ins[0].layout, outs[0].layout);
    let mask = ins.get(1).map(|mask| mask.layout.stretched(y.shape));
    let rows = Rows::new([x, mask.unwrap_or(x)], &y, [true, false], caps);
    let mut kernel = rows.kernel(["masked_softmax", "masked_softmax_registers"], caps);
    kernel.values.push(("masked", mask.is_some().into()));
    let (offset, step) = mask.map_or((0, 0), |mask| (mask.offset, rows.steps[1]));
    let launch = Launch::new(kernel, rows.grid, y.numel() as u64 * 4)
        .params([rows.count, rows.cols, rows.queries].map(word))
        .params([u32::from(op.causal)])
        .params([x.offset, rows.steps[0], offset, step, y.offset].map(word))
        .params([(op.scale as f32).to_bits(), 0, 0])
        .params(rows.lists())
        .read(1, Slot::In(0))
        .read(2, if mask.is_some() { Slot::In(1) } else { Slot::Zeros })
        .write(3, Slot::Out(0));
    Ok(vec![launch])
}

pub(super) fn backward(
    op: &MaskedSoftmaxBackward,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let (y, dy, dx) = (ins[0].layout, ins[1].layout, outs[0].layout);
    let rows = Rows::new([y, dy], &dx, [true, true], caps);
    let kernel =
        rows.kernel(["masked_softmax_backward", "masked_softmax_backward_registers"], caps);
    let launch = Launch::new(kernel, rows.grid, dx.numel() as u64 * 4)
        .params([rows.count, rows.cols, y.offset, rows.steps[0]].map(word))
        .params([dy.offset, rows.steps[1], dx.offset].map(word))
        .params([(op.scale as f32).to_bits()])
        .params(rows.lists())
        .read(1, Slot::In(0))
        .read(2, Slot::In(1))
        .write(3, Slot::Out(0));
    Ok(vec![launch])
}
