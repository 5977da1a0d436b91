//! A plan's results: memory that callers keep, without a copy where that can be.

use super::memory::{Memory, raw_buf};
use crate::{
    launch::{Launch, Slot},
    pipeline::Pipeline,
    recorder::Recorder,
};
use std::sync::Arc;
use wgrad_core::{Buf, DType, Error, Layout, Result, Role, Trace, View, foreign_buffer};

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
}

/// Memory for the results that are given away, and the bind groups of all launches over it. Callers' tensors are the
/// other handles: a set without any is free for the next run.
struct Set {
    bufs: Vec<Buf>,
    groups: Vec<wgpu::BindGroup>,
}

/// Which set a run writes.
#[derive(Clone, Copy)]
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
    bindings: Vec<Bindings>,
    /// Kept alive for the bind groups too, which do not keep pooled buffers from being given to others.
    bufs: Vec<Option<Buf>>,
    params: wgpu::Buffer,
}

impl Outputs {
    pub fn new(
        trace: &Trace,
        away: &[bool],
        memory: Memory,
        bindings: Vec<Bindings>,
        params: wgpu::Buffer,
    ) -> Result<Outputs> {
        let (mut outputs, mut given) = (Vec::new(), Vec::new());
        for (place, &away) in trace.outputs.iter().zip(away) {
            outputs.push(if away {
                given.push((place.value, trace.values[place.value].bytes));
                Output::Given(given.len() - 1, place.layout, place.dtype)
            } else {
                Output::Copied(memory.view(place)?)
            });
        }
        let (sets, spare, bufs) = (Vec::new(), None, memory.bufs);
        Ok(Outputs { outputs, given, sets, spare, bindings, bufs, params })
    }

    /// The set for the next run, made if there is none free and not too many.
    pub fn choose(&mut self, recorder: &Recorder) -> Result<Choice> {
        let free = |set: &Set| !set.bufs.iter().any(Buf::is_shared);
        if let Some(at) = self.sets.iter().position(free) {
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
        let buf = |&(_, bytes): &(usize, usize)| {
            Ok(Buf::new(recorder.alloc(bytes, Role::Activations)?, bytes))
        };
        let bufs = self.given.iter().map(buf).collect::<Result<Vec<Buf>>>()?;
        let raw = |value: usize| {
            let buf = match self.given.iter().position(|&(given, _)| given == value) {
                Some(i) => bufs.get(i),
                None => self.bufs.get(value).and_then(Option::as_ref),
            };
            raw_buf(buf.ok_or_else(|| foreign_buffer("plan"))?)
        };
        let group = |b: &Bindings| {
            recorder.bind(&b.launch, &b.pipeline, &self.params, |slot| match slot {
                Slot::In(i) => raw(b.ins[i]),
                Slot::Out(i) => raw(b.outs[i]),
                Slot::Scratch(i) => raw(b.scratch + i),
                Slot::Fault | Slot::Zeros | Slot::Spare => {
                    Err(Error::internal("plan", "not a value"))
                }
            })
        };
        let groups = self.bindings.iter().map(group).collect::<Result<_>>()?;
        Ok(Set { bufs, groups })
    }

    fn set(&self, choice: Choice) -> Result<&Set> {
        let set = match choice {
            Choice::Free(at) => self.sets.get(at),
            Choice::Spare => self.spare.as_ref(),
        };
        set.ok_or_else(|| Error::internal("plan", "results without memory"))
    }

    /// The bind groups of all launches.
    pub fn groups(&self, choice: Choice) -> Result<&[wgpu::BindGroup]> {
        Ok(&self.set(choice)?.groups)
    }

    /// The memory that a run's results come in.
    pub fn fresh(&self, recorder: &Recorder, choice: Choice) -> Result<Vec<View>> {
        let fresh = |layout: &Layout, dtype: DType| -> Result<View> {
            let layout = Layout::contiguous(layout.shape);
            let bytes = layout.numel() * dtype.size();
            let buf = Buf::new(recorder.alloc(bytes, Role::Activations)?, bytes);
            Ok(View { buf, layout, dtype })
        };
        let set = self.set(choice)?;
        let view = |output: &Output| match (output, choice) {
            (Output::Given(i, layout, dtype), Choice::Free(_)) => {
                Ok(View { buf: set.bufs[*i].clone(), layout: *layout, dtype: *dtype })
            }
            (Output::Given(_, layout, dtype), Choice::Spare) => fresh(layout, *dtype),
            (Output::Copied(view), _) => fresh(&view.layout, view.dtype),
        };
        self.outputs.iter().map(view).collect()
    }

    /// What must be copied at the end of a run: from where, and into which of the results.
    pub fn copies<'v>(&self, choice: Choice, results: &'v [View]) -> Vec<(View, &'v View)> {
        let from = |output: &Output| match (output, choice) {
            (Output::Given(..), Choice::Free(_)) => None,
            (Output::Given(i, layout, dtype), Choice::Spare) => {
                let buf = self.spare.as_ref()?.bufs.get(*i)?.clone();
                Some(View { buf, layout: *layout, dtype: *dtype })
            }
            (Output::Copied(view), _) => Some(view.clone()),
        };
        let pairs = self.outputs.iter().zip(results);
        pairs.filter_map(|(output, to)| Some((from(output)?, to))).collect()
    }
}
