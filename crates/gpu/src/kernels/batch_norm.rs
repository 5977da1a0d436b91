//! Batch norm over [n, channels, size]: sums of each channel in chunks, the chunks joined, then every element by itself.

use super::{grid, grid_of_groups, map, walk, word};
use crate::{
    Caps,
    launch::{Launch, Operand, Program, Slot},
};
use wgrad_core::{Layout, Result, ops::batch_norm::BatchNorm};
use wgrad_shaders::Kernel;

/// An operand in row-major order: where it is and where it begins.
#[derive(Clone, Copy)]
struct Plain {
    slot: Slot,
    offset: usize,
}

/// The operand as it lies, or a contiguous copy of it.
fn plain(slot: Slot, x: &Operand, caps: &Caps, program: &mut Program) -> Result<Plain> {
    if x.layout.is_contiguous() {
        return Ok(Plain { slot, offset: x.layout.offset });
    }
    let copy = Operand { layout: Layout::contiguous(x.layout.shape), dtype: x.dtype };
    let scratch = Slot::Scratch(program.scratch.len());
    program.scratch.push(copy.layout.numel() * 4);
    for mut launch in map::copy(slot, *x, copy, false, caps)? {
        let results = launch.bindings.iter_mut().filter(|binding| binding.slot == Slot::Out(0));
        results.for_each(|binding| binding.slot = scratch);
        program.launches.push(launch);
    }
    Ok(Plain { slot: scratch, offset: 0 })
}

/// The sizes of x.
#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    channels: usize,
    size: usize,
}

fn sizes(x: &Operand) -> Sizes {
    let of = |axis: usize| x.layout.shape.get(axis).copied().unwrap_or(1).max(1);
    Sizes { n: of(0), channels: of(1), size: of(2) }
}

/// How a channel is cut: so many images and so many of their elements in a chunk.
struct Chunks {
    /// Whether a workgroup has a chunk, else a thread.
    groups: bool,
    images: usize,
    piece: usize,
    pieces: usize,
    count: usize,
}

/// The most chunks that one thread joins without having most of the work.
const MOST_CHUNKS: usize = 64;

fn cut(s: Sizes, caps: &Caps) -> Chunks {
    // Neighbouring threads read neighbouring elements: of one channel, or of one place in many channels.
    let groups = !caps.software && (s.size >= 16 || s.channels < 64);
    let (wanted, least) = match (caps.software, groups) {
        (true, _) => (caps.threads.max(1) as usize * 64, 64),
        (false, true) => (1024, 2048),
        (false, false) => (32_768, 16),
    };
    let all = s.n * s.size;
    let chunks = wanted.div_ceil(s.channels).min(MOST_CHUNKS);
    let lanes = if groups { 256 } else { 1 };
    let most = usize::try_from(caps.max_steps / 8).unwrap_or(usize::MAX).saturating_mul(lanes);
    let each = all.div_ceil(chunks).max(least).min(most).max(1);
    let piece = each.min(s.size);
    let images = (each / piece).clamp(1, s.n);
    let pieces = s.size.div_ceil(piece);
    Chunks { groups, images, piece, pieces, count: pieces * s.n.div_ceil(images) }
}

/// Sums of every channel: `part` over chunks, `join` over those, `finish` for what comes out.
struct Sums {
    part: &'static str,
    join: &'static str,
    finish: &'static str,
    x: Plain,
    dy: Option<Plain>,
    statistics: Option<(Slot, usize)>,
    to: (Slot, usize),
    eps: f32,
}

impl Sums {
    fn lower(&self, s: Sizes, caps: &Caps, program: &mut Program) {
        let cut = cut(s, caps);
        let across = cut.piece.min(256);
        let kernel = match cut.groups {
            true => Kernel {
                name: "batch_norm_groups",
                parts: vec!["batch_norm_params", self.part, self.join],
                ..Kernel::default()
            },
            false => Kernel {
                name: "batch_norm_lanes",
                parts: vec!["batch_norm_params", self.part],
                ..Kernel::default()
            },
        };
        let items = s.channels * cut.count;
        let work = (s.n * s.channels * s.size) as u64 * 4;
        let each = cut.images * cut.piece;
        let mut launch = if cut.groups {
            let lane = 2 * (cut.images + 1) * (cut.piece.div_ceil(across) + 2) + 16;
            Launch::new(kernel, grid_of_groups(items, lane, caps), work)
        } else {
            walk(kernel, items, 2 * (each + each / 32 + cut.images + 1), work, caps)
        };
        let scratch = Slot::Scratch(program.scratch.len());
        program.scratch.push(items * 16);
        launch = launch
            .params([s.n, s.channels, s.size, items].map(word))
            .params([cut.images, cut.piece, cut.pieces, across].map(word))
            .params([self.x.offset, self.dy.map_or(0, |dy| dy.offset)].map(word))
            .params([self.statistics.map_or(0, |(_, offset)| word(offset)), 0])
            .read(1, self.x.slot);
        if let (Some(dy), Some((statistics, _))) = (self.dy, self.statistics) {
            launch = launch.read(2, dy.slot).read(3, statistics);
        }
        program.launches.push(launch.write(4, scratch));
        let kernel = Kernel {
            name: "batch_norm_join",
            parts: vec![self.join, self.finish],
            ..Kernel::default()
        };
        let launch = Launch::new(kernel, grid(s.channels, cut.count, caps), items as u64 * 4)
            .params([s.channels, cut.count, self.to.1].map(word))
            .params([self.eps.to_bits()])
            .read(1, scratch)
            .write(2, self.to.0);
        program.launches.push(launch);
    }
}

/// Whether elements may be taken by fours, each within one channel.
fn fours(s: Sizes, offsets: &[usize]) -> bool {
    s.size.is_multiple_of(4) && offsets.iter().all(|offset| offset.is_multiple_of(4))
}

/// Offset and step of a vector of channels.
fn vector(v: &Operand) -> [u32; 2] {
    [v.layout.offset, v.layout.strides.first().copied().unwrap_or(0)].map(word)
}

/// A kernel that goes through all elements, and its first parameters.
fn each(name: &'static str, s: Sizes, offsets: &[usize], caps: &Caps) -> (Launch, usize) {
    let by = if fours(s, offsets) { 4 } else { 1 };
    let elem = if by == 4 { "vec4<f32>" } else { "f32" };
    let kernel = Kernel { name, aliases: vec![("elem", elem)], ..Kernel::default() };
    let numel = s.n * s.channels * s.size;
    let launch = walk(kernel, numel / by, 0, numel as u64 * 3, caps)
        .params([numel / by, s.channels, s.size / by].map(word));
    (launch, by)
}

pub(super) fn forward(
    op: &BatchNorm,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let mut program = Program::default();
    let s = sizes(&ins[0]);
    let x = plain(Slot::In(0), &ins[0], caps, &mut program)?;
    let to = (Slot::Out(1), outs[1].layout.offset);
    let [part, join, finish] = ["batch_norm_moments", "join_moments", "finish_moments"];
    let sums = Sums { part, join, finish, x, dy: None, statistics: None, to, eps: op.eps as f32 };
    sums.lower(s, caps, &mut program);
    let y = outs[0].layout.offset;
    let (launch, by) = each("batch_norm", s, &[x.offset, y], caps);
    let launch = launch
        .params([0])
        .params([x.offset / by, y / by, outs[1].layout.offset].map(word))
        .params([0])
        .params(vector(&ins[1]))
        .params(vector(&ins[2]))
        .read(1, x.slot)
        .read(2, Slot::Out(1))
        .read(3, Slot::In(1))
        .read(4, Slot::In(2))
        .write(5, Slot::Out(0));
    program.launches.push(launch);
    Ok(program)
}

pub(super) fn sums(ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Program> {
    let mut program = Program::default();
    let s = sizes(&ins[1]);
    let dy = plain(Slot::In(0), &ins[0], caps, &mut program)?;
    let x = plain(Slot::In(1), &ins[1], caps, &mut program)?;
    let statistics = Some((Slot::In(2), ins[2].layout.offset));
    let to = (Slot::Out(0), outs[0].layout.offset);
    let [part, join, finish] = ["batch_norm_slopes", "join_slopes", "finish_slopes"];
    Sums { part, join, finish, x, dy: Some(dy), statistics, to, eps: 0.0 }.lower(
        s,
        caps,
        &mut program,
    );
    Ok(program)
}

pub(super) fn backward(ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Program> {
    let mut program = Program::default();
    let s = sizes(&ins[1]);
    let dy = plain(Slot::In(0), &ins[0], caps, &mut program)?;
    let x = plain(Slot::In(1), &ins[1], caps, &mut program)?;
    let dx = outs[0].layout.offset;
    let (launch, by) = each("batch_norm_backward", s, &[dy.offset, x.offset, dx], caps);
    let count = 1.0 / (s.n * s.size) as f32;
    let launch = launch
        .params([count.to_bits()])
        .params([dy.offset / by, x.offset / by, dx / by, ins[2].layout.offset].map(word))
        .params(vector(&ins[3]))
        .params([word(ins[4].layout.offset), 0])
        .read(1, dy.slot)
        .read(2, x.slot)
        .read(3, Slot::In(2))
        .read(4, Slot::In(3))
        .read(5, Slot::In(4))
        .write(6, Slot::Out(0));
    program.launches.push(launch);
    Ok(program)
}
