//! Reductions over any axes, of an operand or of what a chain of element-wise operations makes of several: one thread
//! per result on software adapters and where there are many results, one workgroup per result elsewhere; four elements
//! at a time where they lie side by side; long reductions in two passes.

use super::{
    chain::{self, Link},
    grid, grid_of_groups, list,
    map::{Fours, by_four, fours},
    missing, walk, wgsl, word,
};
use crate::{
    Caps,
    launch::{Launch, Operand, Program, Slot},
};
use wgrad_core::{
    DType, Error, Layout, Result, Shape, collapse_together,
    ops::{
        arg_reduce::ArgReduce,
        reduce::{Reduce, ReduceOp},
    },
};
use wgrad_shaders::Kernel;

const NAN: u32 = 0x7fc0_0000;
/// The most inputs of a chain before a reduction, and the most axes on either side: what the parameters hold.
const MAX_INPUTS: usize = 4;
const MAX_AXES: usize = 4;

/// Elements from which reading four at a time is worth another text to compile.
const FOURS_FROM: usize = 1 << 14;

/// A view split into kept and reduced axes.
struct Split {
    kept: Layout,
    reduced: Layout,
    offset: usize,
}

fn pick(x: &Layout, axes: u8, reduced: bool) -> Layout {
    let pick = |values: &[usize]| -> Shape {
        let wanted = |i: &usize| (axes >> i & 1 == 1) == reduced;
        let picked: Vec<usize> = (0..values.len()).filter(wanted).map(|i| values[i]).collect();
        Shape::from_checked(&picked)
    };
    Layout { shape: pick(&x.shape), strides: pick(&x.strides), offset: x.offset }
}

fn split(x: &Layout, axes: u8) -> Split {
    let take = |reduced: bool| Layout { offset: 0, ..pick(x, axes, reduced) }.collapse();
    Split { kept: take(false), reduced: take(true), offset: x.offset }
}

/// Views of one shape, split into kept and reduced axes.
#[derive(Clone, Copy)]
struct Views {
    kept: [Layout; MAX_INPUTS],
    reduced: [Layout; MAX_INPUTS],
    count: usize,
}

impl Views {
    /// Of at most [`MAX_INPUTS`] views.
    fn new(ins: &[Layout], axes: u8) -> Result<Views> {
        let Some(&first) = ins.first().filter(|_| ins.len() <= MAX_INPUTS) else {
            return Err(Error::internal("reduce", "no operand, or too many"));
        };
        let mut all = [first; MAX_INPUTS];
        all[..ins.len()].copy_from_slice(ins);
        let take = |reduced| collapse_together(all.map(|x| pick(&x, axes, reduced)));
        Ok(Views { kept: take(false), reduced: take(true), count: ins.len() })
    }

    fn ranks(&self) -> [usize; 2] {
        [&self.kept, &self.reduced].map(|views| views[0].shape.rank().max(1))
    }

    /// How each view goes by fours along the last kept axis, or with `fold` along the last reduced one, and the views
    /// counted so, if all of them do.
    fn by_four(&self, fold: bool) -> Option<([Fours; MAX_INPUTS], Views)> {
        let (mut views, mut how) = (*self, [Fours::Spread; MAX_INPUTS]);
        for (i, how) in how.iter_mut().enumerate().take(self.count) {
            let (inner, outer) = match fold {
                true => (&self.reduced[i], &self.kept[i]),
                false => (&self.kept[i], &self.reduced[i]),
            };
            let join =
                |outer: &[usize], inner: &[usize]| Shape::from_checked(&[outer, inner].concat());
            if inner.shape.rank() == 0 {
                return None;
            }
            let all = Layout {
                shape: join(&outer.shape, &inner.shape),
                strides: join(&outer.strides, &inner.strides),
                offset: inner.offset,
            };
            *how = fours(&all);
            if *how == Fours::No {
                return None;
            }
            let all = by_four(&all, *how).ok()?;
            let cut = outer.shape.rank();
            let part = |from: &[usize], last: bool| {
                Shape::from_checked(if last { &from[cut..] } else { &from[..cut] })
            };
            let [inner, outer] = [true, false].map(|last| Layout {
                shape: part(&all.shape, last),
                strides: part(&all.strides, last),
                offset: all.offset,
            });
            (views.kept[i], views.reduced[i]) = if fold { (outer, inner) } else { (inner, outer) };
        }
        how[..self.count].contains(&Fours::Whole).then_some((how, views))
    }
}

/// Whether a reduction can take in a chain before it, and one behind.
pub fn takes_chains([links, tail]: [&[Link]; 2], ins: &[Layout], axes: u8) -> bool {
    ins.len() <= MAX_INPUTS
        && chain::links_fit(&[links, tail].concat())
        && Views::new(ins, axes).is_ok_and(|views| views.ranks().iter().all(|&r| r <= MAX_AXES))
}

/// One pass of a reduction.
struct Pass<'a> {
    op: &'a str,
    /// What is reduced: the links' result, or the one operand itself.
    links: &'a [Link],
    /// What follows.
    tail: &'a [Link],
    views: &'a Views,
    /// The first operand; the others are the inputs that follow.
    from: Slot,
    to: Slot,
    y_offset: usize,
    chunk: usize,
    scale: f32,
    dtype: DType,
}

fn rank(layout: &Layout) -> u32 {
    word(layout.shape.rank().max(1))
}

/// What `elem` and its parts are.
fn aliases(dtype: DType, four: bool) -> Result<&'static str> {
    Ok(match (wgsl(dtype)?, four) {
        ("f32", true) => {
            "alias elem = vec4<f32>; alias num = f32; alias bits = vec4<u32>; alias mask = vec4<bool>;"
        }
        ("f32", false) => "alias elem = f32; alias num = f32; alias bits = u32; alias mask = bool;",
        ("i32", _) => "alias elem = i32; alias num = i32; alias bits = u32; alias mask = bool;",
        _ => "alias elem = u32; alias num = u32; alias bits = u32; alias mask = bool;",
    })
}

/// The launch, and whether it wrote parts of four results side by side.
fn pass(p: &Pass, caps: &Caps) -> Result<(Launch, bool)> {
    let (results, length) = (p.views.kept[0].numel(), p.views.reduced[0].numel());
    let chunks = length.div_ceil(p.chunk.max(1)).max(1);
    // A workgroup per result pays where its threads all have work and threads alone would not fill a GPU.
    let each = p.chunk.min(length);
    let groups = !caps.software && each >= 256 && results * chunks < 65_536;
    let float = p.dtype == DType::F32;
    let many = float && results * length >= FOURS_FROM;
    let columns = p.views.by_four(false).filter(|_| many && p.y_offset.is_multiple_of(4));
    let rows = || {
        let fits = many && (chunks == 1 || p.chunk.is_multiple_of(4)) && (!groups || each >= 1024);
        p.views.by_four(true).filter(|_| fits)
    };
    let (how, views, fold) = match columns {
        Some((how, views)) => (how, views, false),
        None => match rows() {
            Some((how, views)) => (how, views, true),
            None => ([Fours::Whole; MAX_INPUTS], *p.views, false),
        },
    };
    let four = columns.is_some() || fold;
    let (width, height) = (1 + 3 * usize::from(four && !fold), 1 + 3 * usize::from(fold));
    let (results, length, chunk) = (results / width, length / height, p.chunk.div_ceil(height));
    let (count, each) = (results * chunks, each.div_ceil(height));
    // One text for sum and mean: each kernel costs a tenth of a second to compile at its first use.
    let (name, scale, empty) = match p.op {
        "mean" => ("sum", p.scale, NAN),
        "sum" if !float => ("sum_int", 1.0, 0),
        "sum" => ("sum", 1.0, 0),
        other => (other, 1.0, NAN),
    };
    let expression = wgrad_shaders::join(name).ok_or_else(|| missing(name))?;
    let mut parts = Vec::new();
    let mut numbers = Vec::new();
    let mut made = "fn apply(x: elem) -> elem { return x; }\n".to_owned();
    if !p.links.is_empty() {
        let text = chain::text(p.links, p.views.count)?;
        (made, parts, numbers) = (text.made, text.parts, text.numbers);
    }
    let mut more = expression.parts.to_vec();
    if !p.tail.is_empty() {
        let text = chain::text_as(["tail", "tail_link"], p.tail, 1, numbers.len())?;
        made.push_str(&text.made);
        more.extend(text.parts);
        numbers.extend(text.numbers);
    }
    numbers.resize(chain::MAX_NUMBERS, 0);
    for part in more {
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let [kept_rank, reduced_rank] = views.ranks();
    let mut values = vec![
        ("inputs", word(views.count)),
        ("kept", word(kept_rank)),
        ("reduced", word(reduced_rank)),
        ("four", u32::from(four)),
        ("fold", u32::from(fold)),
        ("tail", u32::from(!p.tail.is_empty())),
    ];
    const WHOLE: [&str; MAX_INPUTS] = ["whole_0", "whole_1", "whole_2", "whole_3"];
    for (i, name) in WHOLE.into_iter().enumerate() {
        values.push((name, u32::from(i < views.count && how[i] == Fours::Whole)));
    }
    let kernel = Kernel {
        name: if groups { "reduce_groups" } else { "reduce_lanes" },
        parts,
        values,
        functions: vec![
            aliases(p.dtype, four)?,
            "alias elem_a = elem; alias elem_b = elem; alias elem_y = elem;",
            expression.function,
        ],
        made,
        ..Kernel::default()
    };
    let work = (p.views.kept[0].numel() * p.views.reduced[0].numel()) as u64;
    let mut launch = if groups {
        let lane = each.div_ceil(256);
        Launch::new(kernel, grid_of_groups(count, lane + lane / 32 + 10, caps), work)
    } else {
        walk(kernel, count, each + each / 32 + each / 1024 + 3, work, caps)
    };
    let quads = if kept_rank.max(reduced_rank) > 4 { 8 } else { 4 };
    let words = |values: &[usize], fill: u32| list(values, fill).into_iter().take(quads);
    let mut offsets = [0; MAX_INPUTS];
    for (to, view) in offsets.iter_mut().zip(&views.kept[..views.count]) {
        *to = word(view.offset);
    }
    launch = launch
        .params([count, length, chunk, chunks].map(word))
        .params([scale.to_bits(), empty, word(p.y_offset), 0])
        .params(numbers)
        .params(offsets)
        .params(words(&views.kept[0].shape, 1))
        .params(words(&views.reduced[0].shape, 1));
    for side in [&views.kept, &views.reduced] {
        for view in &side[..views.count] {
            launch = launch.params(words(&view.strides, 0));
        }
    }
    launch = launch.read(1, p.from);
    for i in 1..views.count {
        launch = launch.read(word(i) + 1, Slot::In(i));
    }
    Ok((launch.write(word(views.count) + 1, p.to), four && !fold))
}

/// Elements one thread or workgroup reduces before a second pass joins the parts: as many parts as
/// fill the adapter, and short enough for the sums' cascade.
fn chunk(results: usize, length: usize, rank: usize, caps: &Caps) -> usize {
    let wanted = if caps.software { 8 * caps.threads.max(1) as usize } else { 512 };
    let parts = wanted.div_ceil(results.max(1));
    let smallest = if caps.software { 4096 } else { 8192 };
    let most = usize::try_from(caps.max_steps / 2).unwrap_or(usize::MAX) / (rank + 1);
    length.div_ceil(parts).max(smallest).min(1 << 20).min(most)
}

pub(super) fn reduce(
    op: &Reduce,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    reduce_chain(op, [&[], &[]], &[ins[0].layout], ins[0].dtype, &outs[0], caps)
}

/// A reduction of what the first chain makes of views of one shape, all of one type (without links, of the one view),
/// and the second chain on its result.
pub(super) fn reduce_chain(
    op: &Reduce,
    [links, tail]: [&[Link]; 2],
    ins: &[Layout],
    dtype: DType,
    y: &Operand,
    caps: &Caps,
) -> Result<Program> {
    let whole = dtype != DType::F32;
    let (first, last) = match op.op {
        ReduceOp::Sum => ("sum", "sum"),
        ReduceOp::Mean => ("sum", "mean"),
        ReduceOp::Max if whole => ("max_int", "max_int"),
        ReduceOp::Min if whole => ("min_int", "min_int"),
        ReduceOp::Max => ("max", "max"),
        ReduceOp::Min => ("min", "min"),
    };
    let all = Reduction {
        first,
        last,
        links,
        tail,
        views: &Views::new(ins, op.axes)?,
        from: Slot::In(0),
        between: 0,
        y_offset: y.layout.offset,
        dtype,
    };
    let mut program = Program::default();
    all.lower(&mut program, caps)?;
    Ok(program)
}

/// A reduction in one pass, or in two with the parts in scratch.
struct Reduction<'a> {
    /// The expression that makes parts, and the one that joins them.
    first: &'a str,
    last: &'a str,
    links: &'a [Link],
    tail: &'a [Link],
    views: &'a Views,
    from: Slot,
    /// Number of the scratch for the parts.
    between: usize,
    y_offset: usize,
    dtype: DType,
}

impl Reduction<'_> {
    fn lower(&self, program: &mut Program, caps: &Caps) -> Result<()> {
        let &Reduction { first, last, links, tail, views, from, y_offset, dtype, .. } = self;
        let (results, length) = (views.kept[0].numel(), views.reduced[0].numel());
        // Whole fours in each part.
        let chunk = chunk(results, length, 1, caps) & !3;
        let scale = 1.0 / length as f32;
        let to = Slot::Out(0);
        if length <= chunk {
            let chunk = length;
            let only =
                Pass { op: last, links, tail, views, from, to, y_offset, chunk, scale, dtype };
            program.launches.push(pass(&only, caps)?.0);
            return Ok(());
        }
        let chunks = length.div_ceil(chunk);
        let between = Slot::Scratch(self.between);
        program.scratch.push(results * chunks * 4);
        let parts = Pass {
            op: first,
            links,
            tail: &[],
            views,
            from,
            to: between,
            y_offset: 0,
            chunk,
            scale,
            dtype,
        };
        let (launch, fours) = pass(&parts, caps)?;
        program.launches.push(launch);
        let lay = |shape: &[usize], strides: &[usize]| Layout {
            shape: Shape::from_checked(shape),
            strides: Shape::from_checked(strides),
            offset: 0,
        };
        let (kept, reduced) = match fours {
            true => (lay(&[results / 4, 4], &[4 * chunks, 1]), lay(&[chunks], &[4])),
            false => (lay(&[results], &[chunks]), lay(&[chunks], &[1])),
        };
        let rest = Views { kept: [kept; MAX_INPUTS], reduced: [reduced; MAX_INPUTS], count: 1 };
        let end = Pass {
            op: last,
            links: &[],
            tail,
            views: &rest,
            from: between,
            to,
            y_offset,
            chunk: chunks,
            scale,
            dtype,
        };
        program.launches.push(pass(&end, caps)?.0);
        Ok(())
    }
}

/// `last` (the sum or the mean) of `length` contiguous f32 values in the first scratch, into the first output: launches
/// added to the program that made them.
pub(super) fn scratch_to_one(
    program: &mut Program,
    last: &str,
    length: usize,
    y_offset: usize,
    caps: &Caps,
) -> Result<()> {
    let values = Layout::contiguous(Shape::from_checked(&[length]));
    let all = Reduction {
        first: "sum",
        last,
        links: &[],
        tail: &[],
        views: &Views::new(&[values], 1)?,
        from: Slot::Scratch(0),
        between: program.scratch.len(),
        y_offset,
        dtype: DType::F32,
    };
    all.lower(program, caps)
}

/// Sums over the first axis of `[length, results]` contiguous f32 values in a scratch, in one pass: for few values.
pub(super) fn sum_of_scratch(
    program: &mut Program,
    [from, to]: [Slot; 2],
    [length, results]: [usize; 2],
    y_offset: usize,
    caps: &Caps,
) -> Result<()> {
    let values = Layout::contiguous(Shape::from_checked(&[length, results]));
    let only = Pass {
        op: "sum",
        links: &[],
        tail: &[],
        views: &Views::new(&[values], 1)?,
        from,
        to,
        y_offset,
        chunk: length,
        scale: 1.0,
        dtype: DType::F32,
    };
    program.launches.push(pass(&only, caps)?.0);
    Ok(())
}

pub(super) fn arg_reduce(
    op: &ArgReduce,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    let (x, y) = (&ins[0], &outs[0]);
    let split = split(&x.layout, op.axes);
    let (results, length) = (split.kept.numel(), split.reduced.numel());
    let name = match (op.max, x.dtype == DType::F32) {
        (true, true) => "argmax",
        (true, false) => "argmax_int",
        (false, true) => "argmin",
        (false, false) => "argmin_int",
    };
    let expression = wgrad_shaders::join(name).ok_or_else(|| missing(name))?;
    // One pass over the elements from `list`: all of them, or those at positions an earlier pass found.
    let pass = |list: Option<Slot>, length: usize, chunk: usize, to: Slot, y_offset: usize| {
        let mut parts = vec!["index", "reduce_view"];
        parts.push(if list.is_some() { "listed_positions" } else { "all_positions" });
        parts.extend(expression.parts);
        let kernel = Kernel {
            name: "arg_reduce",
            parts,
            aliases: vec![
                ("elem", wgsl(x.dtype)?),
                ("elem_y", "i32"),
                ("bits", "u32"),
                ("mask", "bool"),
            ],
            values: vec![("KEPT", rank(&split.kept)), ("REDUCED", rank(&split.reduced))],
            functions: vec![expression.function],
            ..Kernel::default()
        };
        let chunks = length.div_ceil(chunk);
        let inner = chunk * split.reduced.shape.rank().max(1) + 2 * wgrad_core::MAX_RANK;
        let launch =
            Launch::new(kernel, grid(results * chunks, inner, caps), (results * length) as u64)
                .params([results * chunks, length, chunk, chunks].map(word))
                .params([0, NAN, word(split.offset), word(y_offset)])
                .params(list_of(&split))
                .read(1, Slot::In(0))
                .write(2, to);
        Ok(match list {
            Some(slot) => launch.read(3, slot),
            None => launch,
        })
    };
    let (to, y_offset) = (Slot::Out(0), y.layout.offset);
    let chunk = chunk(results, length, split.reduced.shape.rank().max(1), caps);
    if length <= chunk {
        let launches = vec![pass(None, length, length, to, y_offset)?];
        return Ok(Program { launches, scratch: Vec::new() });
    }
    let chunks = length.div_ceil(chunk);
    let between = Slot::Scratch(0);
    Ok(Program {
        launches: vec![
            pass(None, length, chunk, between, 0)?,
            pass(Some(between), chunks, chunks, to, y_offset)?,
        ],
        scratch: vec![results * chunks * 4],
    })
}

/// Sizes and strides of kept and reduced axes, as `reduce_view` wants them.
fn list_of(split: &Split) -> impl Iterator<Item = u32> + use<> {
    [
        list(&split.kept.shape, 1),
        list(&split.kept.strides, 0),
        list(&split.reduced.shape, 1),
        list(&split.reduced.strides, 0),
    ]
    .into_iter()
    .flatten()
}
