//! A recorded step on the CPU: its operations one after the other, with memory planned once.

use super::{Cpu, kernel, memory};
use crate::{
    Backend, Buf, Layout, Op, Plan, PlanReport, Result, Role, Sharing, Source, Trace, View,
    foreign_buffer,
};
use memory::{CpuBuf, Memory};
use std::{panic::Location, sync::Arc};

/// One operation with its operands in place.
struct Ready {
    op: Op,
    ins: Vec<View>,
    outs: Vec<View>,
    at: &'static Location<'static>,
}

/// A step ready to run.
struct CpuPlan {
    memory: Arc<Memory>,
    calls: Vec<Ready>,
    /// Memory of each input, to be filled before a run.
    inputs: Vec<Buf>,
    outputs: Vec<Output>,
    report: PlanReport,
}

/// How an output gets fresh memory at each run.
struct Output {
    view: View,
    /// Operands that get the fresh memory, if it is written there at once: call, whether it is an output of the call,
    /// and position.
    operands: Option<Vec<(usize, bool, usize)>>,
}

/// Plans a step.
pub(super) fn plan(cpu: &Cpu, trace: &Trace) -> Result<Box<dyn Plan>> {
    let away = trace.given_away();
    let outputs = || trace.outputs.iter().map(|place| place.value).zip(&away);
    let given: Vec<usize> = outputs().filter(|(_, away)| **away).map(|(value, _)| value).collect();
    let kept: Vec<usize> = outputs().filter(|(_, away)| !**away).map(|(value, _)| value).collect();
    // What is given away has memory of its own at each run.
    let own = |call: &crate::Call| call.values().filter(|value| !given.contains(value)).collect();
    let touched: Vec<Vec<usize>> = trace.calls.iter().map(own).collect();
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
    let views = |places: &[crate::Place]| -> Result<Vec<View>> {
        let view = |place: &crate::Place| {
            let buf = bufs[place.value].clone().ok_or_else(|| foreign_buffer("step"))?;
            Ok(View { buf, layout: place.layout, dtype: place.dtype })
        };
        places.iter().map(view).collect()
    };
    let mut calls = Vec::with_capacity(trace.calls.len());
    for call in &trace.calls {
        let (ins, outs) = (views(&call.ins)?, views(&call.outs)?);
        for view in ins.iter().chain(&outs) {
            view.check(call.op.name())?;
        }
        calls.push(Ready { op: call.op.clone(), ins, outs, at: call.at });
    }
    let moved = |call: &Ready| -> usize {
        let bytes = |view: &View| view.layout.numel() * view.dtype.size();
        call.ins.iter().chain(&call.outs).map(bytes).sum()
    };
    let temporaries = trace.values.iter().filter(|v| matches!(v.source, Source::Temporary));
    let report = PlanReport {
        operations: calls.len(),
        dispatches: calls.len(),
        submits: 0,
        pipelines: 0,
        buffers: buffers.len(),
        bytes: sharing.bytes.iter().sum(),
        bytes_unshared: temporaries.map(|value| value.bytes).sum(),
        bytes_moved: calls.iter().map(moved).sum(),
    };
    let views = views(&trace.outputs)?;
    let places = trace.outputs.iter().zip(views).zip(away);
    let outputs = places
        .map(|((place, view), given)| Output {
            view,
            operands: given.then(|| operands_of(trace, place.value)),
        })
        .collect();
    Ok(Box::new(CpuPlan { memory: cpu.memory.clone(), calls, inputs, outputs, report }))
}

/// Where a value is an operand.
fn operands_of(trace: &Trace, value: usize) -> Vec<(usize, bool, usize)> {
    let mut found = Vec::new();
    for (c, call) in trace.calls.iter().enumerate() {
        for (out, places) in [(false, &call.ins), (true, &call.outs)] {
            let here = places.iter().enumerate().filter(|(_, place)| place.value == value);
            found.extend(here.map(|(i, _)| (c, out, i)));
        }
    }
    found
}

impl Plan for CpuPlan {
    fn run(&mut self, inputs: &[View]) -> Result<Vec<View>> {
        for output in &mut self.outputs {
            let Some(operands) = &output.operands else { continue };
            output.view.buf = fresh(&self.memory, output.view.buf.bytes())?;
            for &(call, out, i) in operands {
                let call = &mut self.calls[call];
                let views = if out { &mut call.outs } else { &mut call.ins };
                views[i].buf = output.view.buf.clone();
            }
        }
        for (to, from) in self.inputs.iter().zip(inputs) {
            copy(from, to, 0)?;
        }
        for call in &self.calls {
            memory::with_operands(&self.memory, &call.op, &call.ins, &call.outs, |ins, outs| {
                kernel(&self.memory, &call.op, ins, outs)
            })
            .map_err(|e| e.at(call.at))?;
        }
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for Output { view, operands } in &self.outputs {
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
