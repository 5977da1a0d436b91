//! A plan's results: memory that callers keep, without a copy where that can be.

use super::memory::{Memory, raw_buf};
use crate::{
    launch::{Launch, Slot},
    pipeline::Pipeline,
    recorder::{Recorder, Trim},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wgrad_core::{Buf, DType, Error, Layout, Result, Role, Source, Trace, View, foreign_buffer};

/// Sets of memory per plan. Callers that keep more results get copies.
const MAX_SETS: usize = 8;

/// One launch with its bindings as values: what it takes to make its bind group.
pub(super) struct Bindings {
    pub launch: Launch,
    pub pipeline: Arc<Pipeline>,
    /// The values of inputs, outputs and the first scratch, as the slots count them.
    pub ins: Vec<usize>,
    pub outs: Vec<usize>,
    pub scratch: usize,
}

/// Where one result lies at the end of a run.
enum Output {
    /// In the set of the run, at this position: all of it.
    Given(usize, Layout, DType),
    /// In the step's own memory.
    Copied(View),
    /// In the input of this number.
    Input(usize, Layout, DType),
}

/// Memory for the results that are given away. Callers' tensors are the other handles: a set without any is
/// free for the next run.
type Set = Vec<Buf>;

/// Bind groups of all launches, in order.
pub(super) type Groups = Arc<[wgpu::BindGroup]>;

/// Those over one set of results and the inputs of one run.
struct Bound {
    choice: Choice,
    inputs: Vec<wgpu::Buffer>,
    groups: Groups,
}

/// What is bound, the latest used last. It keeps the inputs' buffers, so `trim` empties it.
#[derive(Default)]
struct Cache(Mutex<Vec<Bound>>);

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Vec<Bound>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trim for Cache {
    fn trim(&self) {
        self.lock().clear();
    }
}

/// Bind groups kept per plan: batches come in a few buffers by turns.
const MAX_BOUND: usize = 16;

/// Which set a run writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// One that nobody else has, to be given away.
    Free(usize),
    /// The spare one, from which results are copied.
    Spare,
}

/// The results of a plan, and all that is bound.
pub(super) struct Outputs {
    outputs: Vec<Output>,
    /// Values that are given away, with their bytes.
    given: Vec<(usize, usize)>,
    sets: Vec<Set>,
    spare: Option<Set>,
    bound: Arc<Cache>,
    bindings: Vec<Bindings>,
    /// The number of the input behind each value that is one.
    input_of: Vec<Option<usize>>,
    /// Kept alive for the bind groups too, which do not keep pooled buffers from being given to others.
    bufs: Vec<Option<Buf>>,
    params: wgpu::Buffer,
}

impl Outputs {
    pub fn new(
        recorder: &Recorder,
        trace: &Trace,
        away: &[bool],
        memory: Memory,
        bindings: Vec<Bindings>,
        params: wgpu::Buffer,
    ) -> Result<Outputs> {
        let (mut outputs, mut given) = (Vec::new(), Vec::new());
        for (place, &away) in trace.outputs.iter().zip(away) {
            outputs.push(match (away, &trace.values[place.value].source) {
                (true, _) => {
                    given.push((place.value, trace.values[place.value].bytes));
                    Output::Given(given.len() - 1, place.layout, place.dtype)
                }
                (false, Source::Input(i)) => Output::Input(*i, place.layout, place.dtype),
                (false, _) => Output::Copied(memory.view(place)?),
            });
        }
        let input = |value: &wgrad_core::Value| match value.source {
            Source::Input(i) => Some(i),
            _ => None,
        };
        let input_of = trace.values.iter().map(input).collect();
        let (sets, spare, bufs) = (Vec::new(), None, memory.bufs);
        let bound = Arc::new(Cache::default());
        recorder.trims(&(bound.clone() as Arc<dyn Trim>));
        Ok(Outputs { outputs, given, sets, spare, bound, bindings, input_of, bufs, params })
    }

    /// The set for the next run over these inputs, made if there is none free and not too many; and what is bound.
    pub fn choose(
        &mut self,
        recorder: &Recorder,
        inputs: &[wgpu::Buffer],
    ) -> Result<(Choice, Groups)> {
        let choice = self.free(recorder, inputs)?;
        let mut all = self.bound.lock();
        let known = |bound: &Bound| bound.choice == choice && bound.inputs == inputs;
        let bound = match all.iter().position(known) {
            Some(at) => all.remove(at),
            None => {
                let groups = self.bind(recorder, choice, inputs)?.into();
                if all.len() >= MAX_BOUND {
                    all.remove(0);
                }
                Bound { choice, inputs: inputs.to_vec(), groups }
            }
        };
        let groups = bound.groups.clone();
        all.push(bound);
        Ok((choice, groups))
    }

    /// A free set; one that is bound to these inputs already, if there is.
    fn free(&mut self, recorder: &Recorder, inputs: &[wgpu::Buffer]) -> Result<Choice> {
        let free = |at: usize| self.sets.get(at).is_some_and(|set| !set.iter().any(Buf::is_shared));
        let matching = |bound: &&Bound| {
            bound.inputs == inputs && matches!(bound.choice, Choice::Free(at) if free(at))
        };
        let known = self.bound.lock().iter().find(matching).map(|bound| bound.choice);
        if let Some(choice) = known {
            return Ok(choice);
        }
        if let Some(at) = (0..self.sets.len()).find(|&at| free(at)) {
            return Ok(Choice::Free(at));
        }
        if self.sets.len() < MAX_SETS {
            let set = self.make(recorder)?;
            self.sets.push(set);
            return Ok(Choice::Free(self.sets.len() - 1));
        }
        if self.spare.is_none() {
            self.spare = Some(self.make(recorder)?);
        }
        Ok(Choice::Spare)
    }

    fn make(&self, recorder: &Recorder) -> Result<Set> {
        let buf = |&(_, bytes): &(usize, usize)| recorder.buf(bytes, Role::Activations);
        self.given.iter().map(buf).collect()
    }

    fn bind(
        &self,
        recorder: &Recorder,
        choice: Choice,
        inputs: &[wgpu::Buffer],
    ) -> Result<Vec<wgpu::BindGroup>> {
        let set = self.set(choice)?;
        let raw = |value: usize| {
            if let Some(input) = self.input_of.get(value).copied().flatten() {
                return inputs.get(input).ok_or_else(|| foreign_buffer("plan"));
            }
            let buf = match self.given.iter().position(|&(given, _)| given == value) {
                Some(i) => set.get(i),
                None => self.bufs.get(value).and_then(Option::as_ref),
            };
            raw_buf(buf.ok_or_else(|| foreign_buffer("plan"))?)
        };
        let group = |b: &Bindings| {
            // Browsers refuse a buffer that is bound twice to be written.
            let writes = b.launch.bindings.iter().filter(|binding| binding.write);
            let mut written: Vec<usize> = Vec::new();
            for value in writes.filter_map(|binding| match binding.slot {
                Slot::Out(i) => b.outs.get(i).copied(),
                Slot::Scratch(i) => Some(b.scratch + i),
                _ => None,
            }) {
                if written.contains(&value) {
                    return Err(Error::internal("plan", "a buffer is bound twice to be written"));
                }
                written.push(value);
            }
            recorder.bind(&b.launch, &b.pipeline, &self.params, |slot| match slot {
                Slot::In(i) => raw(b.ins[i]),
                Slot::Out(i) => raw(b.outs[i]),
                Slot::Scratch(i) => raw(b.scratch + i),
                Slot::Fault | Slot::Zeros | Slot::Spare => {
                    Err(Error::internal("plan", "not a value"))
                }
            })
        };
        self.bindings.iter().map(group).collect()
    }

    fn set(&self, choice: Choice) -> Result<&Set> {
        let set = match choice {
            Choice::Free(at) => self.sets.get(at),
            Choice::Spare => self.spare.as_ref(),
        };
        set.ok_or_else(|| Error::internal("plan", "results without memory"))
    }

    /// The memory that a run's results come in.
    pub fn fresh(&self, recorder: &Recorder, choice: Choice) -> Result<Vec<View>> {
        let fresh = |layout: &Layout, dtype: DType| -> Result<View> {
            let layout = Layout::contiguous(layout.shape);
            let bytes = layout.numel() * dtype.size();
            let buf = recorder.buf(bytes, Role::Activations)?;
            Ok(View { buf, layout, dtype })
        };
        let set = self.set(choice)?;
        let view = |output: &Output| match (output, choice) {
            (Output::Given(i, layout, dtype), Choice::Free(_)) => {
                Ok(View { buf: set[*i].clone(), layout: *layout, dtype: *dtype })
            }
            (Output::Given(_, layout, dtype), Choice::Spare) => fresh(layout, *dtype),
            (Output::Copied(view), _) => fresh(&view.layout, view.dtype),
            (Output::Input(_, layout, dtype), _) => fresh(layout, *dtype),
        };
        self.outputs.iter().map(view).collect()
    }

    /// What must be copied at the end of a run: from where, and into which of the results.
    pub fn copies<'v>(
        &self,
        choice: Choice,
        inputs: &[Buf],
        results: &'v [View],
    ) -> Vec<(View, &'v View)> {
        let from = |output: &Output| match (output, choice) {
            (Output::Given(..), Choice::Free(_)) => None,
            (Output::Given(i, layout, dtype), Choice::Spare) => {
                let buf = self.spare.as_ref()?.get(*i)?.clone();
                Some(View { buf, layout: *layout, dtype: *dtype })
            }
            (Output::Copied(view), _) => Some(view.clone()),
            (Output::Input(i, layout, dtype), _) => {
                Some(View { buf: inputs.get(*i)?.clone(), layout: *layout, dtype: *dtype })
            }
        };
        let pairs = self.outputs.iter().zip(results);
        pairs.filter_map(|(output, to)| Some((from(output)?, to))).collect()
    }
}
