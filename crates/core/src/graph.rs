//! The gradient graph: nodes are data (operation, inputs, saved values), never closures.

use crate::{
    Error, Meta, Op, Result, Tensor,
    parameters::Slot,
    recompute::{self, Block},
    storage::next_id,
};
use std::{cell::Cell, panic::Location, sync::Arc};

/// Where a tensor comes from: which output of which node.
#[derive(Clone)]
pub(crate) struct Edge {
    pub node: Arc<Node>,
    pub output: usize,
}

/// One operation that was run, or a leaf. Ids grow in the order of running, so going down by id
/// visits every node after all nodes that use it.
pub(crate) struct Node {
    pub id: u64,
    pub at: &'static Location<'static>,
    pub kind: Kind,
}

pub(crate) enum Kind {
    /// A tensor that gradients are asked for; `slot` is its place in a flat parameter buffer.
    Leaf { slot: Option<Slot> },
    /// An operation.
    Apply(Box<Apply>),
    /// Operations that backward runs again.
    Block(Box<Block>),
}

pub(crate) struct Apply {
    pub op: Op,
    /// Where each input came from; `None` where no gradient is wanted.
    pub inputs: Vec<Option<Edge>>,
    pub input_metas: Vec<Meta>,
    pub saved_inputs: Vec<Option<Saved>>,
    pub saved_outputs: Vec<Option<Saved>>,
}

/// A value kept for backward, with the version it had.
pub(crate) struct Saved {
    tensor: Tensor,
    version: u64,
}

impl Saved {
    pub fn new(tensor: &Tensor) -> Option<Saved> {
        let version = tensor.storage().ok()?.version();
        Some(Saved { tensor: tensor.detach(), version })
    }

    /// The value, unless it was changed in place since.
    pub fn get(&self, op: &'static str) -> Result<&Tensor> {
        if self.tensor.storage()?.version() != self.version {
            return Err(Error::graph(
                op,
                format!(
                    "a value of shape {:?} that backward needs was changed in place after it was used; \
                     call backward before the optimizer's step",
                    self.tensor.shape()
                ),
            ));
        }
        Ok(&self.tensor)
    }
}

impl Node {
    pub fn leaf(slot: Option<Slot>, at: &'static Location<'static>) -> Arc<Node> {
        Arc::new(Node { id: next_id(), at, kind: Kind::Leaf { slot } })
    }

    /// Attaches the outputs of an operation to the graph, if gradients are on and any input has one.
    pub fn record(
        op: &Op,
        ins: &[&Tensor],
        outs: Vec<Tensor>,
        at: &'static Location<'static>,
    ) -> Vec<Tensor> {
        let outs = Node::attach(op, ins, outs, at);
        recompute::note(op, ins, &outs, at);
        outs
    }

    fn attach(
        op: &Op,
        ins: &[&Tensor],
        outs: Vec<Tensor>,
        at: &'static Location<'static>,
    ) -> Vec<Tensor> {
        if !grad_enabled() || ins.iter().all(|x| x.edge().is_none()) || op.no_gradient().is_some() {
            return outs;
        }
        let saves = op.saves();
        let keep = |tensors: &mut dyn Iterator<Item = &Tensor>, bits: u8| -> Vec<Option<Saved>> {
            tensors
                .enumerate()
                .map(|(i, x)| if i < 8 && bits >> i & 1 == 1 { Saved::new(x) } else { None })
                .collect()
        };
        let node = Arc::new(Node {
            id: next_id(),
            at,
            kind: Kind::Apply(Box::new(Apply {
                op: op.clone(),
                inputs: ins.iter().map(|x| x.edge().cloned()).collect(),
                input_metas: ins.iter().map(|x| x.meta()).collect(),
                saved_inputs: keep(&mut ins.iter().copied(), saves.inputs),
                saved_outputs: keep(&mut outs.iter(), saves.outputs),
            })),
        });
        outs.into_iter()
            .enumerate()
            .map(|(output, x)| {
                if x.dtype().is_float() {
                    x.with_edge(Some(Edge { node: node.clone(), output }))
                } else {
                    x
                }
            })
            .collect()
    }
}

/// Long chains are taken apart in a loop: the default drop would recurse and overflow the stack.
impl Drop for Node {
    fn drop(&mut self) {
        let mut open = Vec::new();
        let take = |kind: &mut Kind, open: &mut Vec<Arc<Node>>| match kind {
            Kind::Leaf { .. } => {}
            Kind::Apply(apply) => {
                open.extend(apply.inputs.drain(..).flatten().map(|edge| edge.node));
            }
            Kind::Block(block) => open.extend(block.take_edges().map(|edge| edge.node)),
        };
        take(&mut self.kind, &mut open);
        while let Some(node) = open.pop() {
            if let Some(mut node) = Arc::into_inner(node) {
                take(&mut node.kind, &mut open);
            }
        }
    }
}

thread_local! {
    static GRAD: Cell<bool> = const { Cell::new(true) };
}

/// Whether operations on this thread are noted for backward.
pub(crate) fn grad_enabled() -> bool {
    GRAD.get()
}

/// Runs `f` without noting anything for backward: for evaluation, and inside optimizers.
///
/// ```
/// use wgrad_core::{Device, Tensor, no_grad};
/// let w = Tensor::from_vec([2.0f32], [1], &Device::cpu())?.requiring_grad();
/// let y = no_grad(|| &w * &w);
/// assert!(!y.requires_grad());
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub fn no_grad<T>(f: impl FnOnce() -> T) -> T {
    with_grad(false, f)
}

/// Runs `f` with operations noted for backward, or not.
pub(crate) fn with_grad<T>(on: bool, f: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            GRAD.set(self.0);
        }
    }
    let _restore = Restore(GRAD.replace(on));
    f()
}

impl Tensor {
    /// Whether an operation in a gradient graph made this tensor.
    pub(crate) fn is_computed(&self) -> bool {
        self.edge().is_some_and(|edge| !matches!(edge.node.kind, Kind::Leaf { .. }))
    }

    /// This tensor as a leaf: the end of a gradient graph, with its own gradient after backward.
    #[track_caller]
    #[must_use]
    pub fn requiring_grad(&self) -> Tensor {
        self.with_edge(Some(Edge { node: Node::leaf(None, Location::caller()), output: 0 }))
    }
}
