//! `backward`: one walk down the graph; gradient rules return, this adds.

use crate::{
    DType, Error, Meta, Op, Result, Tensor, full_precision,
    graph::{Apply, Edge, Kind, Node},
    no_grad,
    ops::{adjust::Adjust, copy::Copy, reduce::Reduce, view::ViewOp},
    parameters::{FlatGradients, FlatParameters, Slot},
    recompute::{self, Block},
};
use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashMap, btree_map::Entry},
    sync::Arc,
};

/// What a gradient rule sees: the node, its cotangents, and what is wanted.
pub(crate) struct Grad<'a> {
    apply: &'a Apply,
    at: &'static std::panic::Location<'static>,
    cotangents: &'a [Option<Tensor>],
    /// The loss, where the cotangent is the 1 that backward starts from; made only if a rule asks.
    unit: Option<&'a Tensor>,
    one: OnceCell<Tensor>,
    /// For each input that is a leaf in a flat buffer and has no gradient yet: where it goes.
    targets: Vec<Option<Tensor>>,
}

impl Grad<'_> {
    /// The cotangent of the first output.
    pub fn cotangent(&self) -> Result<&Tensor> {
        if let Some(loss) = self.unit {
            return match self.one.get() {
                Some(one) => Ok(one),
                None => {
                    let one = Tensor::full_like(loss, 1.0)?;
                    Ok(self.one.get_or_init(|| one))
                }
            };
        }
        self.cotangents
            .first()
            .and_then(Option::as_ref)
            .ok_or_else(|| Error::internal(self.apply.op.name(), "no cotangent for this output"))
    }

    /// The cotangents of all outputs that have one.
    pub fn cotangents(&self) -> &[Option<Tensor>] {
        self.cotangents
    }

    /// Whether the cotangent is the 1 that backward starts from.
    pub fn is_unit(&self) -> bool {
        self.unit.is_some()
    }

    /// Whether a gradient is wanted for input `i`.
    pub fn wants(&self, i: usize) -> bool {
        self.apply.inputs.get(i).is_some_and(Option::is_some)
    }

    /// A saved input.
    pub fn input(&self, i: usize) -> Result<&Tensor> {
        Self::saved(&self.apply.saved_inputs, i, self.apply.op.name())
    }

    /// A saved output.
    pub fn output(&self, i: usize) -> Result<&Tensor> {
        Self::saved(&self.apply.saved_outputs, i, self.apply.op.name())
    }

    fn saved<'s>(
        from: &'s [Option<crate::graph::Saved>],
        i: usize,
        op: &'static str,
    ) -> Result<&'s Tensor> {
        match from.get(i) {
            Some(Some(saved)) => saved.get(op),
            _ => Err(Error::internal(op, format!("operand {i} was not saved for backward"))),
        }
    }

    /// Shape and type of an input, saved or not.
    pub fn input_meta(&self, i: usize) -> Meta {
        self.apply.input_metas[i]
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.apply.inputs.len()
    }

    /// One gradient per input that wants one.
    pub fn each(
        &self,
        mut rule: impl FnMut(usize) -> Result<Tensor>,
    ) -> Result<Vec<Option<Tensor>>> {
        (0..self.inputs())
            .map(|i| if self.wants(i) { rule(i).map(Some) } else { Ok(None) })
            .collect()
    }

    /// Runs the last operation of the rule for input `i`: straight into the flat gradient buffer
    /// where that input is a parameter, so that no copy is needed.
    pub fn last(&self, i: usize, op: impl Into<Op>, ins: &[&Tensor]) -> Result<Tensor> {
        let op = op.into();
        let Some(first) = ins.first() else {
            return Err(Error::internal(op.name(), "an operation without operand"));
        };
        let target = self.targets.get(i).and_then(Option::as_ref).filter(|target| {
            let metas: Vec<Meta> = ins.iter().map(|x| x.meta()).collect();
            op.outputs(&metas).is_ok_and(|outs| outs.first() == Some(&target.meta()))
        });
        Tensor::run_into(&op, ins, first.device(), target, self.at)?
            .into_iter()
            .next()
            .ok_or_else(|| Error::internal(op.name(), "an operation without output"))
    }
}

/// Gradients of leaves, as values: nothing accumulates in hidden state.
#[derive(Default)]
pub struct Gradients {
    leaves: HashMap<u64, Tensor>,
    flats: BTreeMap<u64, FlatGradients>,
    /// Flags of a loss scale: while the first word is not 0, steps with these gradients are skipped.
    skip: Option<Tensor>,
}

/// Gradients whose common length is at most what was asked for, and the length they had.
pub struct Clipped {
    /// The gradients, shortened if they were longer than asked.
    pub gradients: Gradients,
    /// Their length before, rank 0, on the device. Where it is infinite or NaN, the gradients are as they were.
    pub norm: Tensor,
}

impl Gradients {
    /// The gradient of a leaf; `None` if backward did not reach it.
    pub fn get(&self, leaf: &Tensor) -> Option<&Tensor> {
        self.leaves.get(&leaf.edge()?.node.id)
    }

    /// The gradient of a leaf that must have been reached.
    #[track_caller]
    pub fn wrt(&self, leaf: &Tensor) -> Result<&Tensor> {
        let Some(gradient) = self.get(leaf) else {
            return Err(Error::graph(
                "backward",
                format!(
                    "no gradient for a tensor of shape {:?}: it is not a leaf that this loss depends on",
                    leaf.shape()
                ),
            ));
        };
        Ok(gradient)
    }

    /// The gradients of all parameters in one flat buffer, in the buffer's order.
    pub(crate) fn flat(&self, buffer: u64) -> Option<&FlatGradients> {
        self.flats.get(&buffer)
    }

    /// The gradients of all of a model's parameters as one tensor, in the buffer's order; `None` if the loss depends on
    /// none of them.
    pub fn values(&self, parameters: &FlatParameters) -> Option<&Tensor> {
        self.flats.get(&parameters.id()).map(FlatGradients::values)
    }

    /// Gradients of all of a model's parameters from one tensor in the buffer's order, as [`values`](Self::values) gives
    /// it: for sums of gradients. It is used as it is, and clipping changes it: the parameters' own memory is refused.
    #[track_caller]
    pub fn from_values(parameters: &FlatParameters, values: Tensor) -> Result<Gradients> {
        let (flat, leaves) = parameters.with_gradients(values)?;
        let flats = BTreeMap::from([(parameters.id(), flat)]);
        Ok(Gradients { leaves, flats, skip: None })
    }

    /// The flags (u32, 4 words) that say on the device whether steps with these gradients are skipped.
    pub fn skip(&self) -> Option<&Tensor> {
        self.skip.as_ref()
    }

    /// The same gradients, whose steps are skipped while the first word of `flags` (u32, 4 words) is not 0. The flags may
    /// be a view.
    #[must_use]
    pub fn skipped_by(mut self, flags: Option<Tensor>) -> Gradients {
        self.skip = flags.map(|flags| flags.detach());
        self
    }

    /// Shortens all gradients by one factor if their common Euclidean length passes `max`, at least 1e-27 and finite in f32. The
    /// length is computed and used on the device; nothing waits for it. It is right for gradients of any size whose
    /// length is finite in f32, also where their squares would overflow or the factor underflow. A NaN or an infinity shows in `norm` and is not spread to the other gradients.
    /// All this happens in f32: gradients of f64 leaves are rounded to it, also where nothing is shortened.
    ///
    /// ```
    /// use wgrad_core::{Device, Tensor};
    /// let w = Tensor::from_vec([3.0f32, 4.0], [2], &Device::cpu())?.requiring_grad();
    /// let clipped = w.square()?.sum_all()?.try_mul(0.5)?.backward()?.clip_norm(1.0)?;
    /// assert_eq!(clipped.norm.item::<f32>()?, 5.0);
    /// assert_eq!(clipped.gradients.wrt(&w)?.to_vec::<f32>()?, [0.6, 0.8]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn clip_norm(self, max: f64) -> Result<Clipped> {
        let max = positive("clip_norm", max)?;
        if max < SHORTEST {
            return Err(Error::argument(
                "clip_norm",
                format!("a limit of {max:e}; it must be finite and at least {SHORTEST:e}"),
            ));
        }
        let parts = self.parts()?;
        let norms = parts.iter().map(Tensor::length).collect::<Result<Vec<_>>>()?;
        let norm = match &norms[..] {
            [] => {
                return Err(Error::graph(
                    "clip_norm",
                    "there are no gradients; call backward first",
                ));
            }
            [norm] => norm.clone(),
            norms => {
                let ones =
                    norms.iter().map(|norm| norm.reshape([1])).collect::<Result<Vec<_>>>()?;
                Tensor::concat(&ones.iter().collect::<Vec<_>>(), 0)?.length()?
            }
        };
        let gradients =
            self.adjust(|x| Tensor::run_in_place(Adjust::ClipNorm { max }, &[x, &norm], &[x]))?;
        Ok(Clipped { gradients, norm })
    }

    /// Brings every element between `-max` and `max`, a finite number above 0. NaN stays NaN.
    ///
    /// ```
    /// use wgrad_core::{Device, Tensor};
    /// let w = Tensor::from_vec([3.0f32, -0.25], [2], &Device::cpu())?.requiring_grad();
    /// let gradients = w.square()?.sum_all()?.backward()?.clip_value(1.0)?;
    /// assert_eq!(gradients.wrt(&w)?.to_vec::<f32>()?, [1.0, -0.5]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn clip_value(self, max: f64) -> Result<Gradients> {
        let max = positive("clip_value", max)?;
        self.adjust(|x| Tensor::run_in_place(Adjust::ClipValue { max }, &[x], &[x]))
    }

    /// Divides all gradients by a loss scale, in place, and notes in its flags if one is infinite or NaN.
    #[track_caller]
    pub(crate) fn unscale(self, scale: &Tensor, flags: &Tensor) -> Result<Gradients> {
        self.adjust(|x| Tensor::run_in_place(Adjust::Unscale, &[x, scale, flags], &[x, flags]))
    }

    /// The ids of leaves whose gradients lie in no flat buffer, in order.
    fn loose(&self) -> Result<Vec<u64>> {
        let mut loose = Vec::new();
        for (&id, gradient) in &self.leaves {
            let storage = gradient.storage()?;
            let within = |flat: &FlatGradients| {
                flat.values().storage().is_ok_and(|flat| Arc::ptr_eq(flat, storage))
            };
            if !self.flats.values().any(within) {
                loose.push(id);
            }
        }
        loose.sort_unstable();
        Ok(loose)
    }

    /// All gradients as f32, each once, in an order that is the same each time.
    fn parts(&self) -> Result<Vec<Tensor>> {
        let mut parts: Vec<Tensor> =
            self.flats.values().map(|flat| flat.values().clone()).collect();
        for id in self.loose()? {
            if let Some(gradient) = self.leaves.get(&id) {
                parts.push(no_grad(|| gradient.detach().cast(DType::F32))?);
            }
        }
        parts.retain(|part| part.numel() > 0);
        Ok(parts)
    }

    /// Changes all gradients in place, those in no flat buffer in a copy: they may be someone else's too.
    #[track_caller]
    fn adjust(mut self, change: impl Fn(&Tensor) -> Result<()>) -> Result<Gradients> {
        for flat in self.flats.values().filter(|flat| flat.values().numel() > 0) {
            change(flat.values())?;
        }
        for id in self.loose()? {
            let Some(gradient) = self.leaves.get_mut(&id).filter(|x| x.numel() > 0) else {
                continue;
            };
            let dtype = gradient.dtype();
            let own = no_grad(|| match dtype {
                DType::F32 => Tensor::run(Copy, &[&gradient.detach()]),
                _ => gradient.detach().cast(DType::F32),
            })?;
            change(&own)?;
            *gradient = own.cast(dtype)?;
        }
        Ok(self)
    }
}

/// The smallest length to clip to: what gradients of any size are multiplied by is then a product of two normal numbers.
const SHORTEST: f32 = 1e-27;

/// A limit as f32.
#[track_caller]
fn positive(op: &'static str, max: f64) -> Result<f32> {
    let max32 = max as f32;
    if max32.is_finite() && max32 > 0.0 {
        return Ok(max32);
    }
    Err(Error::argument(op, format!("a limit of {max}; it must be above 0 and finite in f32")))
}

impl Tensor {
    /// Gradients of a loss (one element) with respect to all leaves it depends on. The graph stays
    /// usable: a second call gives the same again.
    ///
    /// ```
    /// use wgrad_core::{Device, Tensor};
    /// let w = Tensor::from_vec([3.0f32, -1.0], [2], &Device::cpu())?.requiring_grad();
    /// let loss = (&w * &w).sum_all()?;
    /// assert_eq!(loss.backward()?.wrt(&w)?.to_vec::<f32>()?, [6.0, -2.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn backward(&self) -> Result<Gradients> {
        self.storage()?;
        if self.numel() != 1 {
            return Err(Error::shape(
                "backward",
                format!(
                    "starts from one element, the shape is {:?}; reduce it, or give a cotangent with backward_with",
                    self.shape()
                ),
            ));
        }
        walk(self, None)
    }

    /// Gradients of `Σ self·cotangent`; the cotangent has this tensor's shape and type.
    #[track_caller]
    pub fn backward_with(&self, cotangent: &Tensor) -> Result<Gradients> {
        self.device().same("backward", cotangent.device())?;
        if cotangent.meta() != self.meta() {
            return Err(Error::shape(
                "backward",
                format!(
                    "cotangent {:?} {} for a tensor {:?} {}; they must be alike",
                    cotangent.shape(),
                    cotangent.dtype(),
                    self.shape(),
                    self.dtype()
                ),
            ));
        }
        walk(self, Some(cotangent))
    }
}

/// What has arrived at a node so far: its cotangents by output.
struct Arrived {
    node: Arc<Node>,
    cotangents: Vec<Option<Tensor>>,
    /// The loss, at the node that backward starts from with a cotangent of 1.
    unit: Option<Tensor>,
}

#[track_caller]
fn walk(root: &Tensor, cotangent: Option<&Tensor>) -> Result<Gradients> {
    let at = std::panic::Location::caller();
    root.storage()?;
    let Some(edge) = root.edge() else {
        return Err(Error::graph(
            "backward",
            "this tensor depends on no leaf; make parameters with requiring_grad(), and compute it outside of \
             eval(..) and no_grad(..), which note nothing for backward; evaluating(..) is evaluation with gradients",
        )
        .at(at));
    };
    full_precision(|| {
        no_grad(|| {
            let mut walk = Walk { open: BTreeMap::new(), gradients: Gradients::default() };
            match (cotangent, &edge.node.kind) {
                (Some(cotangent), _) => walk.arrive(edge, cotangent.detach())?,
                (None, Kind::Leaf { .. }) => walk.arrive(edge, Tensor::full_like(root, 1.0)?)?,
                (None, Kind::Apply(apply)) if each_output_counts(&apply.op) => {
                    walk.arrive(edge, Tensor::full_like(root, 1.0)?)?;
                }
                // Most losses know their gradient and need no 1 to multiply it by: it is made on demand.
                (None, Kind::Apply(_) | Kind::Block(_)) => {
                    let unit = Some(root.detach());
                    let arrived = Arrived { node: edge.node.clone(), cotangents: Vec::new(), unit };
                    walk.open.insert(edge.node.id, arrived);
                }
            }
            while let Some((_, arrived)) = walk.open.pop_last() {
                let node = arrived.node.clone();
                walk.visit(&arrived).map_err(|e| e.at(node.at))?;
            }
            for flat in walk.gradients.flats.values_mut() {
                flat.zero_rest()?;
            }
            Ok(walk.gradients)
        })
    })
}

/// Whether gradients come through every output, and not through the first alone.
fn each_output_counts(op: &Op) -> bool {
    matches!(op, Op::ViewOp(ViewOp::Split { .. }))
}

struct Walk {
    /// Nodes with cotangents, by id: the largest is next.
    open: BTreeMap<u64, Arrived>,
    gradients: Gradients,
}

impl Walk {
    fn visit(&mut self, arrived: &Arrived) -> Result<()> {
        let apply = match &arrived.node.kind {
            Kind::Leaf { slot } => {
                let Some(Some(gradient)) = arrived.cotangents.first() else { return Ok(()) };
                return self.keep(arrived.node.id, slot.as_ref(), gradient);
            }
            Kind::Block(block) => return self.again(block, arrived),
            Kind::Apply(apply) => apply,
        };
        let first = arrived.cotangents.first().is_some_and(Option::is_some);
        if arrived.unit.is_none() && !first && !each_output_counts(&apply.op) {
            return Ok(()); // only side outputs, such as a loss's own gradient, were used
        }
        let targets = self.targets(apply)?;
        let grad = Grad {
            apply,
            at: arrived.node.at,
            cotangents: &arrived.cotangents,
            unit: arrived.unit.as_ref(),
            one: OnceCell::new(),
            targets,
        };
        let gradients = apply.op.gradient(&grad)?;
        for (i, (edge, gradient)) in apply.inputs.iter().zip(gradients).enumerate() {
            if let (Some(edge), Some(gradient)) = (edge, gradient) {
                let gradient = sum_to(&grad, i, gradient)?;
                self.arrive(edge, gradient)?;
            }
        }
        Ok(())
    }

    /// Runs a block's operations again and goes on through the graph that gives: its nodes are newer than all
    /// that are open, so they come next.
    fn again(&mut self, block: &Block, arrived: &Arrived) -> Result<()> {
        let cotangent = match (&arrived.unit, arrived.cotangents.first()) {
            (Some(loss), _) => Tensor::full_like(loss, 1.0)?,
            (None, Some(Some(cotangent))) => cotangent.clone(),
            (None, _) => return Ok(()),
        };
        let y = recompute::again(block)?;
        match y.edge() {
            Some(edge) => self.arrive(edge, cotangent),
            None => Err(Error::internal("recompute", "a block without gradient when run again")),
        }
    }

    /// For inputs that are parameters in a flat buffer and have no gradient yet: where it may be written.
    fn targets(&mut self, apply: &Apply) -> Result<Vec<Option<Tensor>>> {
        let mut targets = vec![None; apply.inputs.len()];
        for (i, edge) in apply.inputs.iter().enumerate() {
            let Some(edge) = edge else { continue };
            let Kind::Leaf { slot: Some(slot) } = &edge.node.kind else { continue };
            let again = apply.inputs.iter().take(i).flatten().any(|e| e.node.id == edge.node.id);
            if again || self.open.contains_key(&edge.node.id) {
                continue;
            }
            targets[i] = Some(self.flat(slot)?.slot(slot)?);
        }
        Ok(targets)
    }

    fn flat(&mut self, slot: &Slot) -> Result<&mut FlatGradients> {
        match self.gradients.flats.entry(slot.buffer_id()) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(slot.new_gradients()?)),
        }
    }

    /// Adds a cotangent to what a node already has.
    fn arrive(&mut self, edge: &Edge, cotangent: Tensor) -> Result<()> {
        let arrived = self.open.entry(edge.node.id).or_insert_with(|| Arrived {
            node: edge.node.clone(),
            cotangents: Vec::new(),
            unit: None,
        });
        if arrived.cotangents.len() <= edge.output {
            arrived.cotangents.resize(edge.output + 1, None);
        }
        let slot = &mut arrived.cotangents[edge.output];
        *slot = Some(match slot.take() {
            None => cotangent,
            Some(sum) => sum.try_add(&cotangent)?,
        });
        Ok(())
    }

    /// Keeps a leaf's gradient, in its place in the flat buffer if it has one.
    fn keep(&mut self, id: u64, slot: Option<&Slot>, gradient: &Tensor) -> Result<()> {
        let kept = match slot {
            None => gradient.clone(),
            Some(slot) => {
                let flat = self.flat(slot)?;
                let place = flat.slot(slot)?;
                if !place.same(gradient) {
                    // Not `assign`: fresh memory must be written even while a fault is pending.
                    let at = std::panic::Location::caller();
                    Tensor::run_into(&Copy.into(), &[gradient], place.device(), Some(&place), at)?;
                }
                flat.mark(slot);
                place
            }
        };
        self.gradients.leaves.insert(id, kept);
        Ok(())
    }
}

/// Undoes broadcasting: sums a cotangent over the axes along which its input was stretched.
fn sum_to(grad: &Grad, i: usize, cotangent: Tensor) -> Result<Tensor> {
    let want = grad.input_meta(i).shape;
    if cotangent.shape_inline() == want {
        return Ok(cotangent);
    }
    let lead = cotangent.rank().checked_sub(want.rank()).ok_or_else(|| {
        Error::internal(
            grad.apply.op.name(),
            format!("gradient of shape {:?} for an input of shape {want:?}", cotangent.shape()),
        )
    })?;
    let axes: Vec<usize> = (0..cotangent.rank())
        .filter(|&axis| axis < lead || (want[axis - lead] == 1 && cotangent.shape()[axis] != 1))
        .collect();
    let summed = if lead > 0 && axes.len() == lead {
        grad.last(i, Reduce::sum(&axes, false), &[&cotangent])?
    } else {
        Tensor::run(Reduce::sum(&axes, true), &[&cotangent])?
    };
    if summed.shape_inline() == want { Ok(summed) } else { summed.reshape(want) }
}
