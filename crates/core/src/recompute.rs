//! `recompute`: a block whose intermediate values are not kept for backward but computed again there
//! (activation checkpointing: Chen et al. 2016, arXiv:1604.06174).
//!
//! While the block runs, a tape notes its operations as data. The graph then gets one node with those
//! operations and the values that come from outside; backward runs them again, which gives a small graph of
//! its own, and goes on through it.

use crate::{
    Device, Error, Layout, Op, Result, Tensor,
    graph::{Edge, Kind, Node, Saved, grad_enabled, with_grad},
    no_grad,
    storage::next_id,
};
use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    panic::Location,
    sync::Arc,
};

/// Operations of a block, in the order in which they ran, as far as its result needs them.
pub(crate) struct Block {
    entries: Vec<Entry>,
    /// Values from outside by number, as they were when used.
    outside: HashMap<usize, Outside>,
    result: Ref,
}

struct Outside {
    value: Saved,
    edge: Option<Edge>,
}

struct Entry {
    number: usize,
    op: Op,
    ins: Vec<Ref>,
    /// Where it runs, if it has no operand to tell.
    device: Option<Device>,
    /// For other looks at the same memory: the layouts.
    looks: Vec<Layout>,
    /// Whether it was noted in the gradient graph.
    grad: bool,
    at: &'static Location<'static>,
}

/// Where an operand came from.
#[derive(Clone)]
enum Ref {
    Outside(usize),
    Made {
        entry: usize,
        output: usize,
        /// The look at it, where gradients do not flow through: a detached value.
        detached: Option<Layout>,
    },
}

/// A node's id, and which of its outputs.
type NodeOutput = (u64, usize);

/// What a block has done so far.
#[derive(Default)]
struct Tape {
    entries: Vec<Entry>,
    outside: Vec<(Option<Saved>, Option<Edge>)>,
    /// Known values from outside: storage, layout and node.
    known: HashMap<(u64, Layout, Option<NodeOutput>), usize>,
    /// Entries by the node they made.
    nodes: HashMap<u64, usize>,
    /// Entry and output by the storage they wrote or looked at.
    made: HashMap<u64, (usize, usize)>,
    /// Why it cannot be run again.
    spoilt: Option<Error>,
}

thread_local! {
    static TAPE: RefCell<Option<Tape>> = const { RefCell::new(None) };
}

/// Runs `block` and keeps none of its intermediate values for backward, which computes them again: the same
/// gradients for less memory and one more forward pass through the block.
///
/// What the block uses from outside (inputs, parameters, random numbers that it draws) is kept. Its result is a
/// tensor; changes in place to what is outside (running statistics) are made once. A block within a block
/// counts as part of the outer one. Inside a recorded step it works alike.
///
/// ```
/// use wgrad_core::{Device, Tensor, recompute};
/// let cpu = Device::cpu();
/// let w = Tensor::from_vec([0.5f32, -1.0], [2], &cpu)?.requiring_grad();
/// let y = recompute(|| w.square()?.exp()?.try_mul(&w))?;
/// let plain = w.square()?.exp()?.try_mul(&w)?;
/// let gradient = |y: &Tensor| y.sum_all()?.backward()?.wrt(&w)?.to_vec::<f32>();
/// assert_eq!(gradient(&y)?, gradient(&plain)?);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
///
/// # Errors
/// What the block returns; `Graph` if it changes a value in place that it has made itself, and from backward
/// if a value from outside was changed meanwhile.
#[track_caller]
pub fn recompute(block: impl FnOnce() -> Result<Tensor>) -> Result<Tensor> {
    let at = Location::caller();
    if !grad_enabled() || TAPE.with_borrow(Option::is_some) {
        return block();
    }
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            TAPE.set(None);
        }
    }
    let clear = Clear;
    TAPE.set(Some(Tape::default()));
    let y = block()?;
    let tape = TAPE.take().unwrap_or_default();
    drop(clear);
    if let Some(error) = tape.spoilt {
        return Err(error.at(at));
    }
    let Some(edge) = y.edge() else { return Ok(y) };
    let Some(&entry) = tape.nodes.get(&edge.node.id) else { return Ok(y) };
    let result = Ref::Made { entry, output: edge.output, detached: None };
    let block = Block::needed(tape, result)?;
    let node = Arc::new(Node { id: next_id(), at, kind: Kind::Block(Box::new(block)) });
    Ok(y.with_edge(Some(Edge { node, output: 0 })))
}

/// Notes an operation that was run, or another look at a tensor.
pub(crate) fn note(op: &Op, ins: &[&Tensor], outs: &[Tensor], at: &'static Location<'static>) {
    TAPE.with_borrow_mut(|tape| {
        let Some(tape) = tape else { return };
        let refs = ins.iter().map(|x| tape.refer(x)).collect();
        let storage = |x: &Tensor| x.storage().ok().map(|storage| storage.id());
        let looks: Vec<Layout> = match ins {
            [x] if outs.iter().all(|y| storage(y).is_some() && storage(y) == storage(x)) => {
                outs.iter().map(|y| *y.layout()).collect()
            }
            _ => Vec::new(),
        };
        let number = tape.entries.len();
        for (output, y) in outs.iter().enumerate() {
            if let Some(edge) = y.edge() {
                tape.nodes.insert(edge.node.id, number);
            }
            if let Some(id) = storage(y).filter(|_| looks.is_empty()) {
                tape.made.insert(id, (number, output));
            }
        }
        let grad = outs.iter().any(|y| y.edge().is_some());
        let device = outs.first().filter(|_| ins.is_empty()).map(|y| y.device().clone());
        tape.entries.push(Entry { number, op: op.clone(), ins: refs, device, looks, grad, at });
    });
}

/// Notes a change in place: to what is outside it is made once, to the block's own values it cannot be.
pub(crate) fn note_change(op: &Op, outs: &[Tensor]) {
    TAPE.with_borrow_mut(|tape| {
        let Some(tape) = tape else { return };
        let made = |y: &Tensor| y.storage().is_ok_and(|s| tape.made.contains_key(&s.id()));
        if outs.iter().any(made) {
            tape.spoilt = Some(Error::graph(
                op.name(),
                "changes a value in place that the block of recompute has made, so the block cannot run \
                 again; make a new tensor instead",
            ));
        }
    });
}

impl Tape {
    fn refer(&mut self, x: &Tensor) -> Ref {
        let edge = x.edge().map(|edge| (edge.node.id, edge.output));
        if let Some((node, output)) = edge
            && let Some(&entry) = self.nodes.get(&node)
        {
            return Ref::Made { entry, output, detached: None };
        }
        let id = x.storage().map_or(0, |storage| storage.id());
        if edge.is_none()
            && let Some(&(entry, output)) = self.made.get(&id)
        {
            return Ref::Made { entry, output, detached: Some(*x.layout()) };
        }
        let next = self.outside.len();
        let number = *self.known.entry((id, *x.layout(), edge)).or_insert(next);
        if number == next {
            self.outside.push((Saved::new(x), x.edge().cloned()));
        }
        Ref::Outside(number)
    }
}

impl Block {
    /// The entries that the result needs, and what they use from outside.
    fn needed(tape: Tape, result: Ref) -> Result<Block> {
        let mut wanted = BTreeSet::new();
        let mut used = BTreeSet::new();
        let mut mark = |x: &Ref, wanted: &mut BTreeSet<usize>| match x {
            Ref::Outside(number) => {
                used.insert(*number);
            }
            Ref::Made { entry, .. } => {
                wanted.insert(*entry);
            }
        };
        mark(&result, &mut wanted);
        let mut entries = Vec::new();
        // An operand is made before it is used, so one way back finds all.
        for entry in tape.entries.into_iter().rev() {
            if wanted.contains(&entry.number) {
                entry.ins.iter().for_each(|x| mark(x, &mut wanted));
                entries.push(entry);
            }
        }
        entries.reverse();
        let mut outside = HashMap::new();
        for (number, (value, edge)) in tape.outside.into_iter().enumerate() {
            if used.contains(&number) {
                let value = value
                    .ok_or_else(|| Error::internal("recompute", "an operand without memory"))?;
                outside.insert(number, Outside { value, edge });
            }
        }
        Ok(Block { entries, outside, result })
    }

    /// Runs the operations again; the result has a graph of its own.
    pub fn replay(&self) -> Result<Tensor> {
        let mut made: HashMap<usize, Vec<Tensor>> = HashMap::with_capacity(self.entries.len());
        let mut last: HashMap<usize, usize> = HashMap::new();
        for (i, entry) in self.entries.iter().enumerate() {
            for x in &entry.ins {
                if let Ref::Made { entry, .. } = x {
                    last.insert(*entry, i);
                }
            }
        }
        for (i, entry) in self.entries.iter().enumerate() {
            let ins = entry.ins.iter().map(|x| self.value(x, &made)).collect::<Result<Vec<_>>>()?;
            let ins: Vec<&Tensor> = ins.iter().collect();
            let device = entry.device.as_ref().or(ins.first().map(|x| x.device()));
            let run = || match (ins.first(), device) {
                (Some(x), _) if !entry.looks.is_empty() => {
                    let looks = entry.looks.iter().map(|&layout| x.with_layout(layout)).collect();
                    Ok(Node::record(&entry.op, &ins, looks, entry.at))
                }
                (_, Some(device)) => Tensor::run_into(&entry.op, &ins, device, None, entry.at),
                (_, None) => Err(Error::internal("recompute", "an operation on no device")),
            };
            let outs = if entry.grad { run()? } else { no_grad(run)? };
            made.insert(entry.number, outs);
            // Values that no later operation of the block uses live on in the graph only if it needs them.
            for x in &entry.ins {
                if let Ref::Made { entry, .. } = x
                    && last.get(entry) == Some(&i)
                {
                    made.remove(entry);
                }
            }
        }
        self.value(&self.result, &made)
    }

    fn value(&self, x: &Ref, made: &HashMap<usize, Vec<Tensor>>) -> Result<Tensor> {
        let lost = || Error::internal("recompute", "an operand that was not made");
        match x {
            Ref::Outside(number) => {
                let outside = self.outside.get(number).ok_or_else(lost)?;
                Ok(outside.value.get("recompute")?.with_edge(outside.edge.clone()))
            }
            Ref::Made { entry, output, detached } => {
                let y = made.get(entry).and_then(|outs| outs.get(*output)).ok_or_else(lost)?;
                Ok(match detached {
                    Some(layout) => y.with_layout(*layout),
                    None => y.clone(),
                })
            }
        }
    }

    /// What it comes from, given away: for dropping long chains in a loop.
    pub fn take_edges(&mut self) -> impl Iterator<Item = Edge> {
        self.outside.drain().filter_map(|(_, outside)| outside.edge)
    }
}

/// Runs a block again with gradients on: backward itself runs with them off.
pub(crate) fn again(block: &Block) -> Result<Tensor> {
    with_grad(true, || block.replay())
}
