//! A recorded step on the CPU: its operations one after the other, with memory planned once.

mod strips;

use super::{Cpu, kernel, memory};
use crate::{
    Backend, Buf, Layout, Op, Place, Plan, PlanReport, Result, Role, Sharing, Source, Trace, View,
    foreign_buffer,
};
use memory::{CpuBuf, Memory};
use std::{panic::Location, sync::Arc};
use strips::Strips;

/// What is done at once.
enum Work<'t> {
    Call(&'t crate::Call),
    Strips(Strips),
}

impl Work<'_> {
    fn operands(&self) -> [&[Place]; 2] {
        match self {
            Work::Call(call) => [&call.ins, &call.outs],
            Work::Strips(strips) => [&strips.ins, &strips.outs],
        }
    }
}

/// The same without its places.
enum Kernel {
    One(Op, &'static Location<'static>),
    Strips(Strips),
}

/// A kernel with its operands in place.
struct Ready {
    kernel: Kernel,
    ins: Vec<View>,
    outs: Vec<View>,
}

/// A step ready to run.
struct CpuPlan {
    memory: Arc<Memory>,
    kernels: Vec<Ready>,
    /// Memory of each input, to be filled before a run.
    inputs: Vec<Buf>,
    outputs: Vec<Output>,
    /// What stands in for memory that is given away, between runs.
    nothing: Buf,
    report: PlanReport,
}

/// How an output gets fresh memory at each run.
struct Output {
    view: View,
    /// Of its value, for memory that is given away.
    bytes: usize,
    /// Operands that get the fresh memory, if it is written there at once: kernel, whether it is an output of it,
    /// and position.
    operands: Option<Vec<(usize, bool, usize)>>,
}

/// The calls of a trace in order, element-wise ones in a row as one.
fn works(trace: &Trace) -> Vec<Work<'_>> {
    let mut works = Vec::with_capacity(trace.calls.len());
    let mut next = 0;
    for (calls, strips) in strips::groups(trace) {
        works.extend(trace.calls[next..calls.start].iter().map(Work::Call));
        works.push(Work::Strips(strips));
        next = calls.end;
    }
    works.extend(trace.calls[next..].iter().map(Work::Call));
    works
}

/// Plans a step.
pub(super) fn plan(cpu: &Cpu, trace: &Trace) -> Result<Box<dyn Plan>> {
    let works = works(trace);
    let away = trace.given_away();
    let outputs = || trace.outputs.iter().map(|place| place.value).zip(&away);
    let given: Vec<usize> = outputs().filter(|(_, away)| **away).map(|(value, _)| value).collect();
    let kept: Vec<usize> = outputs().filter(|(_, away)| !**away).map(|(value, _)| value).collect();
    // What is given away has memory of its own at each run.
    let own = |work: &Work<'_>| {
        let values = work.operands().into_iter().flatten().map(|place| place.value);
        values.filter(|value| !given.contains(value)).collect()
    };
    let touched: Vec<Vec<usize>> = works.iter().map(own).collect();
    let sharing = Sharing::new(&trace.values, &touched, &kept);
    let buffers = (sharing.bytes.iter())
        .map(|&bytes| cpu.alloc(bytes, Role::Activations))
        .collect::<Result<Vec<_>>>()?;
    let mut inputs = Vec::new();
    let mut bufs = Vec::with_capacity(trace.values.len());
    for (i, (value, buffer)) in trace.values.iter().zip(&sharing.buffer_of).enumerate() {
        bufs.push(match (&value.source, buffer) {
            (Source::Temporary, _) if given.contains(&i) => Some(fresh(&cpu.memory, value.bytes)?),
            (Source::External(buf), _) => Some(buf.clone()),
            (Source::Input(_), _) => {
                let buf = cpu.alloc(value.bytes, Role::Activations)?;
                inputs.push(buf.clone());
                Some(buf)
            }
            // A temporary that nothing touches has no memory.
            (Source::Temporary, buffer) => buffer.map(|i| buffers[i].clone()),
        });
    }
    let views = |places: &[Place]| -> Result<Vec<View>> {
        let view = |place: &Place| {
            let buf = bufs[place.value].clone().ok_or_else(|| foreign_buffer("step"))?;
            let view = View { buf, layout: place.layout, dtype: place.dtype };
            view.check("step")?;
            Ok(view)
        };
        places.iter().map(view).collect()
    };
    let bytes = |place: &Place| place.layout.numel() * place.dtype.size();
    let moved = works.iter().flat_map(Work::operands).flatten().map(bytes).sum();
    let temporaries = trace.values.iter().filter(|v| matches!(v.source, Source::Temporary));
    let report = PlanReport {
        operations: trace.calls.len(),
        dispatches: works.len(),
        submits: 0,
        pipelines: 0,
        buffers: buffers.len(),
        bytes: sharing.bytes.iter().sum(),
        bytes_unshared: temporaries.map(|value| value.bytes).sum(),
        bytes_moved: moved,
    };
    let places = trace.outputs.iter().zip(views(&trace.outputs)?).zip(away);
    let outputs = places
        .map(|((place, view), given)| Output {
            view,
            bytes: trace.values[place.value].bytes,
            operands: given.then(|| operands_of(&works, place.value)),
        })
        .collect();
    let ready = |work: Work<'_>| -> Result<Ready> {
        let [ins, outs] = work.operands();
        let (ins, outs) = (views(ins)?, views(outs)?);
        let kernel = match work {
            Work::Call(call) => Kernel::One(call.op.clone(), call.at),
            Work::Strips(strips) => Kernel::Strips(strips),
        };
        Ok(Ready { kernel, ins, outs })
    };
    let kernels = works.into_iter().map(ready).collect::<Result<_>>()?;
    let (memory, nothing) = (cpu.memory.clone(), fresh(&cpu.memory, 0)?);
    let mut plan = CpuPlan { memory, kernels, inputs, outputs, nothing, report };
    plan.let_go();
    Ok(Box::new(plan))
}

/// Where a value is an operand.
fn operands_of(works: &[Work<'_>], value: usize) -> Vec<(usize, bool, usize)> {
    let mut found = Vec::new();
    for (w, work) in works.iter().enumerate() {
        for (out, places) in [false, true].into_iter().zip(work.operands()) {
            let here = places.iter().enumerate().filter(|(_, place)| place.value == value);
            found.extend(here.map(|(i, _)| (w, out, i)));
        }
    }
    found
}

impl Ready {
    fn run(&self, memory: &Arc<Memory>) -> Result<()> {
        match &self.kernel {
            Kernel::One(op, at) => {
                memory::with_operands(memory, op, &self.ins, &self.outs, |ins, outs| {
                    kernel(memory, op, ins, outs)
                })
                .map_err(|e| e.at(at))
            }
            Kernel::Strips(strips) => {
                memory::with_buffers("step", &self.ins, &self.outs, |reading, writing| {
                    strips.run(memory, reading, writing)
                })
            }
        }
    }
}

impl CpuPlan {
    /// Binds the memory of output number `i`.
    fn bind(&mut self, i: usize, buf: &Buf) {
        let Some(output) = self.outputs.get_mut(i) else { return };
        output.view.buf = buf.clone();
        for &(kernel, out, at) in output.operands.iter().flatten() {
            let kernel = &mut self.kernels[kernel];
            let views = if out { &mut kernel.outs } else { &mut kernel.ins };
            views[at].buf = buf.clone();
        }
    }

    /// Runs with new memory for what is given away.
    fn run_with_fresh(&mut self, inputs: &[View]) -> Result<Vec<View>> {
        for i in 0..self.outputs.len() {
            if self.outputs[i].operands.is_some() {
                let buf = fresh(&self.memory, self.outputs[i].bytes)?;
                self.bind(i, &buf);
            }
        }
        for (to, from) in self.inputs.iter().zip(inputs) {
            copy(from, to, 0)?;
        }
        for kernel in &self.kernels {
            kernel.run(&self.memory)?;
        }
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for Output { view, operands, .. } in &self.outputs {
            outputs.push(if operands.is_some() {
                view.clone()
            } else {
                let layout = Layout::contiguous(view.layout.shape);
                let buf = fresh(&self.memory, layout.numel() * view.dtype.size())?;
                copy(view, &buf, 0)?;
                View { buf, layout, dtype: view.dtype }
            });
        }
        Ok(outputs)
    }

    /// Leaves what is given away to whoever has it, so that its memory is free for the next run as soon as they are
    /// done with it.
    fn let_go(&mut self) {
        let nothing = self.nothing.clone();
        for i in 0..self.outputs.len() {
            if self.outputs[i].operands.is_some() {
                self.bind(i, &nothing);
            }
        }
    }
}

impl Plan for CpuPlan {
    fn run(&mut self, inputs: &[View]) -> Result<Vec<View>> {
        let outputs = self.run_with_fresh(inputs);
        self.let_go();
        outputs
    }

    fn report(&self) -> PlanReport {
        self.report
    }
}

/// New memory.
fn fresh(memory: &Arc<Memory>, bytes: usize) -> Result<Buf> {
    Ok(Buf::new(Arc::new(CpuBuf::new(bytes, Role::Activations, memory)?), bytes))
}

/// Copies a contiguous view to byte `at` of a buffer.
fn copy(from: &View, to: &Buf, at: usize) -> Result<()> {
    let buffer = |buf: &Buf| buf.downcast_arc::<CpuBuf>().ok_or_else(|| foreign_buffer("step"));
    let (size, start) = (from.dtype.size(), from.layout.offset);
    let range = start * size..(start + from.layout.numel()) * size;
    if !range.is_empty() {
        buffer(&from.buf)?.copy_to(range, &*buffer(to)?, at);
    }
    Ok(())
}
