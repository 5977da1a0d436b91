//! A recorded step on a GPU: launches, bind groups and memory made once, replayed in one submit.

mod fuse;
mod inputs;
mod memory;
mod outputs;
mod products;

use crate::{
    Caps, Gpu,
    launch::{Launch, Slot, Watch},
    pipeline::PARAMS_BYTES,
    recorder::{Ready, Recorder, State, raw},
};
use fuse::Item;
use inputs::Inputs;
use memory::{Memory, raw_buf};
use outputs::{Bindings, Outputs};
use std::{collections::HashSet, ops::Range, panic::Location, sync::Arc};
use wgrad_core::{
    DType, Error, Layout, Plan, PlanReport, Result, Role, Source, Trace, Value, View,
};

/// A launch that checks indices: where its serial number goes, and where the indices are.
struct Checked {
    op: &'static str,
    at: &'static Location<'static>,
    watch: Watch,
    params_at: u64,
    indices: Indices,
}

/// Where checked indices are found after a run.
enum Indices {
    /// In the caller's own tensor, the step's input of this number, looked at like this.
    Input(usize, Layout, DType),
    /// In the step's own copy of the input of this number, which it writes: copied out.
    Written(usize, Layout, DType),
    /// In memory from outside the step.
    External(View),
    /// In the step's own memory, which the next run overwrites: copied out.
    Temporary(View),
}

struct GpuPlan {
    recorder: Arc<Recorder>,
    launches: Vec<Ready>,
    params: wgpu::Buffer,
    checked: Vec<Checked>,
    inputs: Inputs,
    outputs: Outputs,
    /// The submit that the latest run waits for, if nothing has made it yet.
    waiting: Option<u64>,
    kernels: Vec<wgrad_shaders::Kernel>,
    report: PlanReport,
}

/// The launches of a recorded step, in order: a pure function of what was recorded and the adapter's capabilities.
pub fn lower_trace(trace: &Trace, caps: &Caps) -> Result<Vec<Launch>> {
    let items = fuse::items(trace, &mut trace.values.clone(), caps);
    let launches = items.iter().map(|item| Ok(item.lower(caps)?.launches));
    Ok(launches.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Plans a step.
pub(crate) fn plan(gpu: &Gpu, trace: &Trace) -> Result<Box<dyn Plan>> {
    let recorder = &gpu.recorder;
    let mut values = trace.values.clone();
    let items = fuse::items(trace, &mut values, &gpu.caps);
    // What each item touches; each item's launches, and its first scratch value.
    let (mut touched, mut programs) = (Vec::new(), Vec::new());
    let mut watched = Vec::new();
    for item in &items {
        let program = item.lower(&gpu.caps).map_err(|e| e.at(item.at))?;
        let first = values.len();
        let (source, role) = (Source::Temporary, Role::Scratch);
        let scratch =
            program.scratch.iter().map(|&bytes| Value { source: source.clone(), bytes, role });
        values.extend(scratch);
        touched.push(item.values().chain(first..values.len()).collect::<Vec<usize>>());
        let watches = program.launches.iter().filter_map(|launch| launch.watch);
        watched.extend(watches.map(|watch| item.ins[watch.input].value));
        programs.push((program, first));
    }
    let away: Vec<bool> = (trace.outputs.iter().zip(trace.given_away()))
        .map(|(place, away)| away && !watched.contains(&place.value))
        .collect();
    let memory = Memory::new(recorder, &values, &touched, trace, &away, &watched)?;

    recorder.prepare(programs.iter().flat_map(|(program, _)| &program.launches));
    let count: usize = programs.iter().map(|(program, _)| program.launches.len()).sum();
    let mut words = vec![0u8; count.max(1) * PARAMS_BYTES as usize];
    let params = recorder.uniform(words.len() as u64)?;
    let (mut launches, mut checked, mut bindings) = (Vec::new(), Vec::new(), Vec::new());
    for (item, (program, first)) in items.iter().zip(&programs) {
        for launch in &program.launches {
            let at = launches.len() * PARAMS_BYTES as usize;
            let own: &[u8] = bytemuck::cast_slice(&launch.params);
            words[at..at + PARAMS_BYTES as usize]
                .get_mut(..own.len())
                .ok_or_else(|| Error::internal(item.name(), "a kernel's parameters are too long"))?
                .copy_from_slice(own);
            if let Some(watch) = launch.watch {
                let place = &item.ins[watch.input];
                let indices = match values[place.value].source {
                    Source::Input(i) if memory.written.get(i) == Some(&true) => {
                        Indices::Written(i, place.layout, place.dtype)
                    }
                    Source::Input(i) => Indices::Input(i, place.layout, place.dtype),
                    Source::External(_) => Indices::External(memory.view(place)?),
                    Source::Temporary => Indices::Temporary(memory.view(place)?),
                };
                let (op, params_at) = (item.name(), at as u64);
                checked.push(Checked { op, at: item.at, watch, params_at, indices });
            }
            let pipeline = recorder.pipeline(launch).map_err(|e| e.at(item.at))?;
            let (grid, work, params_at) = (launch.grid, launch.work, at as u32);
            launches.push(Ready { pipeline: pipeline.clone(), params_at, grid, work });
            bindings.push(Bindings {
                launch: launch.clone(),
                pipeline,
                ins: item.ins.iter().map(|place| place.value).collect(),
                outs: item.outs.iter().map(|place| place.value).collect(),
                scratch: *first,
            });
        }
    }
    recorder.write_at(&params, 0, &words);
    let kernels: Vec<_> = bindings.iter().map(|b| b.launch.kernel.clone()).collect();
    let temporaries = values.iter().filter(|value| matches!(value.source, Source::Temporary));
    let report = PlanReport {
        operations: trace.calls.len(),
        dispatches: launches.len(),
        submits: pieces(&launches, 0, recorder.max_work()).len().max(1),
        pipelines: kernels.iter().collect::<HashSet<_>>().len(),
        buffers: memory.shared.len(),
        bytes: memory.shared.iter().sum(),
        bytes_unshared: temporaries.map(|value| value.bytes).sum(),
        bytes_moved: (items.iter().zip(&programs))
            .map(|(item, (program, _))| moved(item, &program.launches, &program.scratch))
            .sum(),
    };
    let inputs = Inputs::new(trace, &memory);
    let outputs = Outputs::new(recorder, trace, &away, memory, bindings, params.clone())?;
    Ok(Box::new(GpuPlan {
        recorder: recorder.clone(),
        launches,
        params,
        checked,
        inputs,
        outputs,
        waiting: None,
        kernels,
        report,
    }))
}

/// Bytes that an item's kernels read and write: each binding once, as much as the operand shows, and what lies beside
/// another result in one binding.
fn moved(item: &Item, launches: &[Launch], scratch: &[usize]) -> usize {
    let bytes = |place: &wgrad_core::Place| {
        // A broadcast operand is read from memory once.
        let shown = place.layout.end() - place.layout.offset.min(place.layout.end());
        place.layout.numel().min(shown) * place.dtype.size()
    };
    let binding = |slot: Slot| match slot {
        Slot::In(i) => bytes(&item.ins[i]),
        Slot::Out(i) => bytes(&item.outs[i]),
        Slot::Scratch(i) => scratch[i],
        Slot::Fault | Slot::Zeros | Slot::Spare => 0,
    };
    let bindings = || launches.iter().flat_map(|launch| &launch.bindings);
    let beside = |i: &usize| !bindings().any(|b| b.slot == Slot::Out(*i));
    let beside = (0..item.outs.len()).filter(beside).map(|i| binding(Slot::Out(i)));
    bindings().map(|b| binding(b.slot)).chain(beside).sum()
}

/// Launches in the pieces that they are submitted in, so that none does more than `most` work; `before` was recorded
/// already.
fn pieces(launches: &[Ready], before: u64, most: u64) -> Vec<Range<usize>> {
    let (mut pieces, mut from, mut work) = (Vec::new(), 0, before);
    for (i, launch) in launches.iter().enumerate() {
        if work > 0 && work.saturating_add(launch.work) > most {
            pieces.push(from..i);
            (from, work) = (i, 0);
        }
        work = work.saturating_add(launch.work);
    }
    pieces.push(from..launches.len());
    pieces
}

/// Byte range of a contiguous view, whole words.
fn range(view: &View) -> (u64, u64) {
    let size = view.dtype.size();
    let bytes = (view.layout.numel() * size).next_multiple_of(4);
    ((view.layout.offset * size) as u64, bytes as u64)
}

impl Plan for GpuPlan {
    fn run(&mut self, inputs: &[View]) -> Result<Vec<View>> {
        let recorder = self.recorder.clone();
        recorder.sticky.check()?;
        // All memory first, before anything is encoded.
        let given = self.inputs.given(&recorder, inputs)?;
        let raw_inputs =
            given.iter().map(|x| Ok(raw_buf(x)?.clone())).collect::<Result<Vec<_>>>()?;
        let (choice, groups) = self.outputs.choose(&recorder, &raw_inputs)?;
        let outputs = self.outputs.fresh(&recorder, choice)?;
        let copied = self.fresh_indices()?;
        let mut state = recorder.state();
        // One run of a plan per submit: its serial numbers are written before the submit, and a run that waits
        // for a later read would keep the device idle.
        if self.waiting == Some(state.submits) {
            recorder.flush(&mut state)?;
        }
        self.number(&mut state, inputs, &copied);
        recorder.gather(&mut state);
        for (to, view) in raw_inputs.iter().zip(inputs) {
            let ((at, bytes), from) = (range(view), raw("step", view)?);
            if bytes > 0 && from != to {
                recorder.copy(&mut state, (from, at), (to, 0), bytes);
            }
        }
        self.encode(&mut state, &groups)?;
        for (checked, to) in self.checked.iter().zip(&copied) {
            let from = match &checked.indices {
                Indices::Temporary(from) => raw("step", from)?,
                Indices::Written(i, ..) => &raw_inputs[*i],
                _ => continue,
            };
            if let Some(to) = to {
                let bytes = (to.buf.bytes() as u64).next_multiple_of(4);
                recorder.copy(&mut state, (from, 0), (raw("step", to)?, 0), bytes);
            }
        }
        for (from, to) in self.outputs.copies(choice, &given, &outputs) {
            let ((at, bytes), to) = (range(&from), raw("step", to)?);
            if bytes > 0 {
                recorder.copy(&mut state, (raw_buf(&from.buf)?, at), (to, 0), bytes);
            }
        }
        recorder.ran(&self.kernels);
        self.waiting = Some(state.submits);
        let check = !self.checked.is_empty() && state.watch.is_full();
        drop(state);
        if check {
            recorder.check_watched()?;
        }
        Ok(outputs)
    }

    fn report(&self) -> PlanReport {
        self.report
    }
}

impl GpuPlan {
    /// Fresh memory for checked indices that the next run overwrites.
    fn fresh_indices(&self) -> Result<Vec<Option<View>>> {
        let fresh = |checked: &Checked| match &checked.indices {
            Indices::Temporary(view) => {
                let buf = self.recorder.buf(view.buf.bytes(), Role::Scratch)?;
                Ok(Some(View { buf, ..view.clone() }))
            }
            Indices::Written(_, layout, dtype) => {
                let bytes = layout.end() * dtype.size();
                let buf = self.recorder.buf(bytes, Role::Scratch)?;
                Ok(Some(View { buf, layout: *layout, dtype: *dtype }))
            }
            _ => Ok(None),
        };
        self.checked.iter().map(fresh).collect()
    }

    /// Gives the launches that check indices their serial numbers for this run.
    fn number(&self, state: &mut State, inputs: &[View], copied: &[Option<View>]) {
        for (checked, copied) in self.checked.iter().zip(copied) {
            let index = match (&checked.indices, copied) {
                (Indices::Temporary(_) | Indices::Written(..), Some(view)) => view.clone(),
                (Indices::Input(i, layout, dtype) | Indices::Written(i, layout, dtype), _) => {
                    let Some(given) = inputs.get(*i) else { continue };
                    let layout = Layout { offset: layout.offset + given.layout.offset, ..*layout };
                    View { buf: given.buf.clone(), layout, dtype: *dtype }
                }
                (Indices::External(view) | Indices::Temporary(view), _) => view.clone(),
            };
            let serial = state.watch.add(checked.op, Some(checked.at), index, checked.watch.limit);
            let at = checked.params_at + checked.watch.serial_word as u64 * 4;
            self.recorder.write_at(&self.params, at, &serial.to_ne_bytes());
        }
    }

    /// Encodes all launches; where they are too much work for one submit, the first ones are submitted.
    fn encode(&self, state: &mut State, groups: &[wgpu::BindGroup]) -> Result<()> {
        let pieces = pieces(&self.launches, state.work, self.recorder.max_work());
        for (i, piece) in pieces.into_iter().enumerate() {
            if i > 0 {
                self.recorder.flush(state)?;
            }
            if !piece.is_empty() {
                let (launches, groups) = (&self.launches[piece.clone()], &groups[piece]);
                let work = launches.iter().map(|launch| launch.work).fold(0, u64::saturating_add);
                self.recorder.pass(state, work, launches.iter().zip(groups));
            }
        }
        Ok(())
    }
}
