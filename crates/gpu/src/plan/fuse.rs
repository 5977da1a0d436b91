//! What a plan runs: the recorded operations, with element-wise chains joined into one.

use crate::{
    Caps,
    kernels::{
        Joined,
        chain::{self, Arg, Link},
    },
    launch::{Operand, Program},
};
use std::panic::Location;
use wgrad_core::{
    DType, Layout, Op, Place, Result, Source, Trace, Value,
    ops::{cast::Cast, copy::Copy, reduce::Reduce},
};

/// What one item does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// An operation as recorded.
    Op(Op),
    /// Element-wise operations in one kernel.
    Chain(Vec<Link>),
    /// A reduction of what the first element-wise operations give, and the second ones on its result.
    Reduced(Reduce, Vec<Link>, Vec<Link>),
    /// A product with what is joined to it.
    Product(Joined),
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub work: Work,
    pub ins: Vec<Place>,
    pub outs: Vec<Place>,
    pub at: &'static Location<'static>,
}

impl Item {
    /// The name in errors.
    pub fn name(&self) -> &'static str {
        match &self.work {
            Work::Op(op) => op.name(),
            Work::Chain(_) => "chain",
            Work::Reduced(op, ..) => Op::from(*op).name(),
            Work::Product(_) => "matmul",
        }
    }

    /// The launches.
    pub fn lower(&self, caps: &Caps) -> Result<Program> {
        let operands = |places: &[Place]| -> Vec<Operand> {
            places.iter().map(|p| Operand { layout: p.layout, dtype: p.dtype }).collect()
        };
        let (ins, outs) = (operands(&self.ins), operands(&self.outs));
        match &self.work {
            Work::Op(op) => crate::kernels::lower(op, &ins, &outs, caps),
            Work::Chain(links) => crate::kernels::lower_chain(links, &ins, &outs, caps),
            Work::Reduced(op, links, tail) => {
                crate::kernels::lower_reduced_chain(op, [links, tail], &ins, &outs, caps)
            }
            Work::Product(joined) => crate::kernels::lower_joined(joined, &ins, &outs, caps),
        }
    }

    /// All values it touches.
    pub fn values(&self) -> impl Iterator<Item = usize> {
        self.ins.iter().chain(&self.outs).map(|place| place.value)
    }
}

/// The items of a recorded step. New values may be added for copies that keep a kernel from reading and
/// writing one buffer.
pub(crate) fn items(trace: &Trace, values: &mut Vec<Value>, caps: &Caps) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::with_capacity(trace.calls.len());
    for call in &trace.calls {
        let mut ins = call.ins.clone();
        // The first input of what works in place is its output.
        let from = usize::from(call.op.in_place());
        if !call.op.in_place() || matches!(call.op, Op::Assign(_)) {
            for place in ins.iter_mut().skip(from) {
                if call.outs.iter().any(|y| y.value == place.value) {
                    let (copy, to) = apart(*place, values, call.at);
                    items.push(copy);
                    *place = to;
                }
            }
        }
        let outs = call.outs.clone();
        if outs.iter().all(|y| y.layout.numel() == 0) {
            continue;
        }
        items.push(Item { work: Work::Op(call.op.clone()), ins, outs, at: call.at });
    }
    let items = join_reductions(join_chains(items, trace, values), trace, values);
    let items = join_tails(items, trace, values);
    let items = super::products::join(items, trace, values, caps);
    widen_at_once(items, trace, values)
}

/// A product or sum that is rounded to f16 only to be widened by its one reader writes f32 at once: the gradients of
/// parameters in mixed precision.
fn widen_at_once(items: Vec<Item>, trace: &Trace, values: &[Value]) -> Vec<Item> {
    let uses = Uses::of(&items, trace, values);
    let mut items: Vec<Option<Item>> = items.into_iter().map(Some).collect();
    for at in 0..items.len() {
        let Some((x, y)) = items[at].as_ref().and_then(widening) else { continue };
        if uses.writes[x.value] != 1 || uses.reads[x.value] != 1 {
            continue;
        }
        let makes = |item: &Item| item.outs.contains(&x) && sums(&item.work);
        let made = items[..at].iter().position(|item| item.as_ref().is_some_and(makes));
        let Some(made) = made else { continue };
        let touches = |place: &Place| {
            let (a, b) = (&place.layout, &y.layout);
            place.value == y.value && a.offset < b.end() && b.offset < a.end()
        };
        let between = items[made + 1..at].iter().flatten();
        let steady =
            between.flat_map(|item| item.ins.iter().chain(&item.outs)).all(|p| !touches(p));
        let Some(item) = items[made].as_mut() else { continue };
        if steady && item.ins.iter().all(|operand| operand.value != y.value) {
            item.outs.iter_mut().filter(|out| **out == x).for_each(|out| *out = y);
            super::products::place_row_sums(item);
            items[at] = None;
        }
    }
    items.into_iter().flatten().collect()
}

/// The operand and the result of a cast from f16 to f32.
fn widening(item: &Item) -> Option<(Place, Place)> {
    let Work::Op(Op::Cast(Cast(DType::F32))) = item.work else { return None };
    let (&x, &y) = (item.ins.first()?, item.outs.first()?);
    (x.dtype == DType::F16 && y.layout.is_contiguous()).then_some((x, y))
}

/// Whether it computes sums in f32, whatever it writes.
fn sums(work: &Work) -> bool {
    matches!(work, Work::Product(_) | Work::Op(Op::MatMul(_) | Op::Linear(_) | Op::Reduce(_)))
}

/// A contiguous copy of an operand in memory of its own.
fn apart(place: Place, values: &mut Vec<Value>, at: &'static Location<'static>) -> (Item, Place) {
    let layout = Layout::contiguous(place.layout.shape);
    let bytes = layout.numel() * place.dtype.size();
    let role = wgrad_core::Role::Scratch;
    values.push(Value { source: Source::Temporary, bytes, role });
    let to = Place { value: values.len() - 1, layout, dtype: place.dtype };
    (Item { work: Work::Op(Copy.into()), ins: vec![place], outs: vec![to], at }, to)
}

/// How often each value is written and read.
pub(super) struct Uses {
    pub writes: Vec<usize>,
    pub reads: Vec<usize>,
}

impl Uses {
    pub fn of(items: &[Item], trace: &Trace, values: &[Value]) -> Uses {
        let mut uses = Uses { writes: vec![0; values.len()], reads: vec![0; values.len()] };
        for item in items {
            item.ins.iter().for_each(|x| uses.reads[x.value] += 1);
            item.outs.iter().for_each(|y| uses.writes[y.value] += 1);
        }
        // What the step returns is read at its end.
        trace.outputs.iter().for_each(|y| uses.reads[y.value] += 1);
        uses
    }
}

/// An element-wise item as a chain of one.
pub(super) fn as_chain(item: &Item) -> Option<Vec<Link>> {
    let Work::Op(op) = &item.work else { return None };
    // Between f16 and f32 a chain computes in f32 and rounds once, at its end.
    let float = |place: &Place| matches!(place.dtype, DType::F32 | DType::F16);
    let floats = item.ins.iter().chain(&item.outs).all(float);
    if !floats || item.ins.is_empty() || item.outs.len() != 1 || !chain::fits(op) {
        return None;
    }
    Some(vec![Link { op: op.clone(), args: (0..item.ins.len()).map(Arg::In).collect() }])
}

/// Whether it ends with a rounding to f16 that was asked for, which is then done.
fn rounds(made: &Item) -> bool {
    let narrows = |op: &Op| *op == Op::Cast(Cast(DType::F16));
    match &made.work {
        Work::Op(op) => narrows(op),
        Work::Chain(links) => links.last().is_some_and(|link| narrows(&link.op)),
        _ => false,
    }
}

/// Joins an element-wise operation with those that make its operands, where nobody else reads them.
fn join_chains(items: Vec<Item>, trace: &Trace, values: &[Value]) -> Vec<Item> {
    let uses = Uses::of(&items, trace, values);
    let mut done: Vec<Option<Item>> = Vec::with_capacity(items.len());
    for item in items {
        let Some(mut links) = as_chain(&item) else {
            done.push(Some(item));
            continue;
        };
        let mut ins = item.ins.clone();
        // Operand by operand, the last first, so that the positions of the others stay.
        for i in (0..ins.len()).rev() {
            let whole = item.outs.first().is_some_and(|y| y.layout.shape == ins[i].layout.shape);
            let x = Some(ins[i]).filter(|_| whole);
            let joined = producer(&done, &uses, x).and_then(|at| {
                let made = done[at].as_ref().filter(|made| !rounds(made))?;
                let (joint, all) = join(made, &links, &ins, i)?;
                fits(&joint, &all, &item).then_some((at, joint, all))
            });
            if let Some((at, joint, all)) = joined {
                done[at] = None;
                (links, ins) = (joint, all);
            }
        }
        let work = if links.len() == 1 { item.work } else { Work::Chain(links) };
        done.push(Some(Item { work, ins, ..item }));
    }
    done.into_iter().flatten().collect()
}

/// Joins a reduction with the element-wise operations that make its operand, where nobody else reads that.
fn join_reductions(items: Vec<Item>, trace: &Trace, values: &[Value]) -> Vec<Item> {
    let uses = Uses::of(&items, trace, values);
    let mut done: Vec<Option<Item>> = Vec::with_capacity(items.len());
    for item in items {
        let reduces = matches!(item.work, Work::Op(Op::Reduce(_)));
        let x = item.ins.first().copied().filter(|_| reduces);
        let joined = producer(&done, &uses, x).and_then(|at| {
            let made = done[at].as_ref()?;
            Some((at, reduced(made, &item)?))
        });
        match joined {
            Some((at, joined)) => {
                done[at] = None;
                done.push(Some(joined));
            }
            None => done.push(Some(item)),
        }
    }
    done.into_iter().flatten().collect()
}

/// A reduction of what `made` makes, if one kernel can do both.
fn reduced(made: &Item, item: &Item) -> Option<Item> {
    let Work::Op(Op::Reduce(op)) = item.work else { return None };
    let (x, y) = (made.outs.first()?, item.outs.first()?);
    if rounds(made) {
        return None;
    }
    let links = match &made.work {
        Work::Chain(links) => links.clone(),
        _ => as_chain(made)?,
    };
    let stretch =
        |place: &Place| Place { layout: place.layout.stretched(x.layout.shape), ..*place };
    let ins: Vec<Place> = made.ins.iter().map(stretch).collect();
    let layouts: Vec<Layout> = ins.iter().map(|x| x.layout).collect();
    let fits = y.dtype == DType::F32
        && x.layout.numel() > 0
        && ins.iter().all(|x| x.value != y.value)
        && crate::kernels::takes_chains([&links, &[]], &layouts, op.axes);
    fits.then(|| Item { work: Work::Reduced(op, links, Vec::new()), ins, ..item.clone() })
}

/// Joins a reduction with the element-wise operations on its result alone, where nobody else reads that.
fn join_tails(items: Vec<Item>, trace: &Trace, values: &[Value]) -> Vec<Item> {
    let uses = Uses::of(&items, trace, values);
    let mut done: Vec<Option<Item>> = Vec::with_capacity(items.len());
    for item in items {
        let joined = item.ins.first().filter(|_| item.ins.len() == 1).and_then(|x| {
            let alone = uses.writes[x.value] == 1 && uses.reads[x.value] == 1;
            let makes = |made: &Item| matches!(made.outs[..], [y] if y.value == x.value) && alone;
            let at = done.iter().position(|made| made.as_ref().is_some_and(makes))?;
            let joined = with_tail(done[at].as_ref()?, &item)?;
            // It is done earlier then: nobody in between may touch its result.
            let y = joined.outs.first()?.value;
            let touched = |item: &Item| item.values().any(|value| value == y);
            (!done[at + 1..].iter().flatten().any(touched)).then_some((at, joined))
        });
        match joined {
            Some((at, joined)) => done[at] = Some(joined),
            None => done.push(Some(item)),
        }
    }
    done.into_iter().flatten().collect()
}

/// A reduction with what goes on with its result.
fn with_tail(made: &Item, item: &Item) -> Option<Item> {
    let (op, links, mut tail) = match &made.work {
        Work::Op(Op::Reduce(op)) => (*op, Vec::new(), Vec::new()),
        Work::Reduced(op, links, tail) => (*op, links.clone(), tail.clone()),
        _ => return None,
    };
    let more = match &item.work {
        Work::Chain(links) => links.clone(),
        _ => as_chain(item)?,
    };
    let own = tail.len();
    for Link { op, args } in more {
        let args = args.into_iter().map(|arg| match arg {
            Arg::In(_) if own > 0 => Arg::Link(own - 1),
            Arg::In(_) => Arg::In(0),
            Arg::Link(v) => Arg::Link(v + own),
        });
        tail.push(Link { op, args: args.collect() });
    }
    let (result, x, y) = (made.outs.first()?, item.ins.first()?, item.outs.first()?);
    let layouts: Vec<Layout> = made.ins.iter().map(|x| x.layout).collect();
    let f32s = made.ins.iter().chain([x, y]).all(|place| place.dtype == DType::F32);
    let same = x.layout.is_contiguous()
        && y.layout.is_contiguous()
        && x.layout.offset == result.layout.offset
        && x.layout.numel() == result.layout.numel()
        && y.layout.numel() == result.layout.numel();
    let fits = f32s
        && same
        && layouts.iter().all(|x| x.numel() > 0)
        && made.ins.iter().all(|x| x.value != y.value)
        && crate::kernels::takes_chains([&links, &tail], &layouts, op.axes);
    let outs = vec![*y];
    fits.then(|| Item { work: Work::Reduced(op, links, tail), outs, ..made.clone() })
}

/// The item that makes `x` for `reader` alone, if its work may move there: it is element-wise, makes the whole
/// operand as the reader sees it, and none of its own operands changes in between.
fn producer(done: &[Option<Item>], uses: &Uses, x: Option<Place>) -> Option<usize> {
    let x = x?;
    if uses.writes[x.value] != 1 || uses.reads[x.value] != 1 {
        return None;
    }
    let makes = |item: &Item| item.outs.iter().any(|y| y.value == x.value);
    let at = done.iter().position(|item| item.as_ref().is_some_and(makes))?;
    let made = done[at].as_ref()?;
    let chain = matches!(made.work, Work::Chain(_)) || as_chain(made).is_some();
    let whole = made.outs.first() == Some(&x) && x.layout.is_contiguous();
    let changes = |item: &Item| {
        item.outs.iter().any(|y| made.ins.iter().any(|operand| operand.value == y.value))
    };
    let steady = !done[at + 1..].iter().flatten().any(changes);
    (chain && whole && steady).then_some(at)
}

/// The links of `made` followed by `links`, whose operand `i` it makes; and all operands, each once.
fn join(made: &Item, links: &[Link], ins: &[Place], i: usize) -> Option<(Vec<Link>, Vec<Place>)> {
    let first = match &made.work {
        Work::Chain(links) => links.clone(),
        _ => as_chain(made)?,
    };
    let mut all: Vec<Place> = Vec::new();
    let mut place = |x: &Place| match all.iter().position(|known| known == x) {
        Some(at) => at,
        None => {
            all.push(*x);
            all.len() - 1
        }
    };
    let mut joint = Vec::with_capacity(first.len() + links.len());
    for link in &first {
        let args = link.args.iter().map(|arg| match arg {
            Arg::In(x) => Arg::In(place(&made.ins[*x])),
            Arg::Link(v) => Arg::Link(*v),
        });
        joint.push(Link { op: link.op.clone(), args: args.collect() });
    }
    let shift = first.len();
    for link in links {
        let args = link.args.iter().map(|arg| match arg {
            Arg::In(x) if *x == i => Arg::Link(shift - 1),
            Arg::In(x) => Arg::In(place(&ins[*x])),
            Arg::Link(v) => Arg::Link(v + shift),
        });
        joint.push(Link { op: link.op.clone(), args: args.collect() });
    }
    Some((joint, all))
}

/// Whether one kernel can do it, without reading and writing one buffer.
fn fits(links: &[Link], ins: &[Place], item: &Item) -> bool {
    let Some(y) = item.outs.first() else { return false };
    let layouts: Vec<Layout> = ins.iter().map(|x| x.layout).collect();
    let apart = ins.iter().all(|x| x.value != y.value);
    apart && chain::views_fit(&layouts, &y.layout, links)
}
