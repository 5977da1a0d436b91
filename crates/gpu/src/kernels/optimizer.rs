//! Flat buffers: an optimizer's step, and what happens to gradients before it.

use super::{map::NAN, walk, word};
use crate::{
    Caps,
    launch::{Launch, Operand, Program, Slot},
};
use wgrad_core::{
    Error, Result,
    ops::{
        adjust::{AdaptScale, Adjust},
        optimizer::{NUMBERS, RANGE, Rule, Update},
    },
};
use wgrad_shaders::Kernel;

/// Flat buffers by vec4 where sizes and offsets allow, else by single elements.
struct Flat {
    four: bool,
    count: usize,
}

fn flat<'x>(
    op: &'static str,
    all: impl IntoIterator<Item = &'x Operand> + Clone,
    fours: bool,
) -> Result<Flat> {
    let contiguous = all.clone().into_iter().all(|x| x.layout.is_contiguous());
    let Some(first) = all.clone().into_iter().next().filter(|_| contiguous) else {
        return Err(Error::internal(op, "a buffer that is not contiguous"));
    };
    let count = first.layout.numel();
    let mut all = all.into_iter();
    let four = fours && count.is_multiple_of(4) && all.all(|x| x.layout.offset.is_multiple_of(4));
    Ok(Flat { four, count: if four { count / 4 } else { count } })
}

impl Flat {
    fn by(&self) -> u32 {
        if self.four { 4 } else { 1 }
    }

    fn offset(&self, x: &Operand) -> u32 {
        word(x.layout.offset) / self.by()
    }

    fn aliases(&self) -> Vec<(&'static str, &'static str)> {
        let (elem, bits) = if self.four { ("vec4<f32>", "vec4<u32>") } else { ("f32", "u32") };
        vec![("elem", elem), ("bits", bits)]
    }
}

/// The helper files that make a rule, and its choice within them.
fn rule_parts(rule: Rule) -> (Vec<&'static str>, bool) {
    match rule {
        Rule::Sgd { momentum: false, .. } => (vec!["update_sgd"], false),
        Rule::Sgd { momentum: true, nesterov } => (vec!["update_sgd_momentum"], nesterov),
        Rule::Adam { decoupled } => (vec!["update_adam"], decoupled),
        Rule::RmsProp { centered, momentum } => {
            let spread = if centered { "rmsprop_centered" } else { "rmsprop_plain" };
            let along = if momentum { "rmsprop_momentum" } else { "rmsprop_straight" };
            (vec!["update_rmsprop", spread, along], false)
        }
        Rule::Adagrad => (vec!["update_adagrad"], false),
        Rule::Lion => (vec!["update_lion"], false),
    }
}

/// The places of a rule's moments among the kernel's three.
fn places(rule: Rule) -> &'static [usize] {
    match rule {
        Rule::RmsProp { centered: false, momentum: true } => &[0, 2],
        _ => &[0, 1, 2],
    }
}

pub(super) fn update(
    op: &Update,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let (rule, name) = (op.rule, op.rule.name());
    let moments = rule.moments();
    let (state, rest) =
        ins.get(3..).unwrap_or(&[]).split_at(moments.min(ins.len().saturating_sub(3)));
    let flat = flat(name, ins.iter().take(2).chain(state), op.fours)?;
    let ranges = ins[2].layout.numel().saturating_sub(NUMBERS) / RANGE;
    let (mut parts, option) = rule_parts(rule);
    parts.push("guarded");
    let kernel = Kernel {
        name: "update",
        parts,
        aliases: flat.aliases(),
        values: vec![("BY", flat.by()), ("RANGED", u32::from(ranges > 1))],
        ..Kernel::default()
    };
    let mut offsets = [0; 3];
    for (x, &place) in state.iter().zip(places(rule)) {
        offsets[place] = flat.offset(x);
    }
    let steps = rest.first().filter(|_| rule.counts());
    let counters = steps.map_or(0, |steps| steps.layout.numel());
    let work = outs[0].layout.numel() as u64 * (1 + moments as u64);
    let flags = op.flags().and_then(|i| ins.get(i));
    let start = |x: &Operand| word(x.layout.offset);
    let mut launch = walk(kernel, flat.count, 1, work, caps)
        .params([word(flat.count), flat.offset(&ins[0]), flat.offset(&ins[1])])
        .params(offsets)
        .params([word(ranges), u32::from(option), word(counters)])
        .params([steps.map_or(0, start), flags.map_or(0, start), 0])
        .read(1, Slot::In(1))
        .read(2, Slot::In(2))
        .read(3, op.flags().map_or(Slot::Zeros, Slot::In))
        .write(4, Slot::Out(0));
    for (i, &place) in (0..moments).zip(places(rule)) {
        launch = launch.write(word(5 + place), Slot::Out(1 + i));
    }
    if rule.counts() {
        // A workgroup has a counter of its own.
        let groups = launch.grid[0].min(word(counters)).max(1);
        let lanes = if caps.software { 8 } else { 64 };
        launch.steps = (flat.count as u64).div_ceil(u64::from(groups) * lanes) * 2;
        launch.grid[0] = groups;
        launch = launch.write(8, Slot::Out(1 + moments));
    }
    Ok(vec![launch.read(9, Slot::Fault)])
}

pub(super) fn adjust(
    op: &Adjust,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let (part, [keep, add, max]) = match *op {
        Adjust::Mix { keep, add } => ("adjust_mix", [keep, add, 0.0]),
        Adjust::ClipNorm { max } => ("adjust_clip_norm", [0.0, 0.0, max]),
        Adjust::ClipValue { max } => ("adjust_clip_value", [0.0, 0.0, max]),
        Adjust::Unscale => ("adjust_unscale", [0.0; 3]),
    };
    let alike = if matches!(op, Adjust::Mix { .. }) { ins } else { &ins[..1] };
    let flat = flat("adjust", alike, true)?;
    let second = match (op, ins.get(1)) {
        (Adjust::Mix { .. }, Some(y)) => flat.offset(y),
        (_, Some(y)) => word(y.layout.offset),
        _ => 0,
    };
    let kernel = Kernel {
        name: "adjust",
        parts: vec![part, "guarded"],
        aliases: flat.aliases(),
        ..Kernel::default()
    };
    let mut launch = walk(kernel, flat.count, 0, outs[0].layout.numel() as u64, caps)
        .params([word(flat.count), flat.offset(&ins[0]), second])
        .params([keep, add, max].map(f32::to_bits))
        .params([0, 0])
        .write(1, Slot::Out(0));
    if ins.len() > 1 {
        launch = launch.read(2, Slot::In(1));
    }
    if matches!(op, Adjust::Unscale) {
        launch = launch.write(3, Slot::Out(1));
    }
    Ok(vec![launch.read(9, Slot::Fault)])
}

pub(super) fn norm(ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Program> {
    let flat = flat("vector_norm", ins, true)?;
    let fold = if flat.four {
        "fn fold(x: elem) -> f32 { return (x.x + x.y) + (x.z + x.w); }\n\
         fn most(x: bits) -> u32 { return max(max(x.x, x.y), max(x.z, x.w)); }"
    } else {
        "fn fold(x: elem) -> f32 { return x; }\nfn most(x: bits) -> u32 { return x; }"
    };
    let kernel = Kernel {
        name: "vector_norm_parts",
        aliases: flat.aliases(),
        functions: vec![fold],
        ..Kernel::default()
    };
    let numel = ins[0].layout.numel() as u64;
    let mut parts = walk(kernel, flat.count, 1, numel, caps);
    let lanes: u32 = if caps.software { 8 } else { 64 };
    if !caps.software {
        // So many threads fill a GPU, and one workgroup can join what they give.
        parts.grid[0] = parts.grid[0].min(512);
        parts.steps = (flat.count as u64).div_ceil(u64::from(parts.grid[0] * lanes)) * 2;
    }
    let threads = parts.grid[0] * lanes;
    let parts = parts
        .params([word(flat.count), flat.offset(&ins[0]), 0, 0])
        .read(1, Slot::In(0))
        .write(2, Slot::Scratch(0));
    let kernel = Kernel { name: "vector_norm_join", ..Kernel::default() };
    let join = Launch::new(kernel, [1, 1], u64::from(threads))
        .steps(u64::from(threads.div_ceil(64)) + 6)
        .params([threads, word(outs[0].layout.offset), f32::INFINITY.to_bits(), NAN])
        .read(1, Slot::Scratch(0))
        .write(2, Slot::Out(0));
    Ok(Program { launches: vec![parts, join], scratch: vec![threads as usize * 16] })
}

pub(super) fn adapt_scale(op: &AdaptScale, ins: &[Operand]) -> Vec<Launch> {
    let kernel = Kernel { name: "adapt_scale", parts: vec!["guarded"], ..Kernel::default() };
    let numbers = [op.interval as f32, op.floor, AdaptScale::CEILING].map(f32::to_bits);
    vec![
        Launch::new(kernel, [1, 1], 1)
            .params([word(ins[0].layout.offset), word(ins[1].layout.offset)])
            .params(numbers)
            .params([0; 7])
            .write(1, Slot::Out(0))
            .write(2, Slot::Out(1))
            .read(9, Slot::Fault),
    ]
}
