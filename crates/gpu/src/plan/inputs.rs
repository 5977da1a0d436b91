//! A plan's inputs: bound where they lie, or copied where that cannot be.

use super::memory::Memory;
use crate::recorder::Recorder;
use wgrad_core::{Buf, Result, Role, Source, Trace, View};

pub(super) struct Inputs {
    inputs: Vec<Input>,
    /// Memory from outside the step, which launches may write while they read an input.
    external: Vec<Buf>,
}

struct Input {
    bytes: usize,
    /// Whether the step writes it.
    written: bool,
    /// The plan's own memory, made when it is needed first.
    own: Option<Buf>,
}

impl Inputs {
    pub fn new(trace: &Trace, memory: &Memory) -> Inputs {
        let sizes = trace.values.iter().filter_map(|value| match value.source {
            Source::Input(_) => Some(value.bytes),
            _ => None,
        });
        let input = |(bytes, &written): (usize, &bool)| Input { bytes, written, own: None };
        let external = trace.values.iter().filter_map(|value| match &value.source {
            Source::External(buf) => Some(buf.clone()),
            _ => None,
        });
        Inputs {
            inputs: sizes.zip(&memory.written).map(input).collect(),
            external: external.collect(),
        }
    }

    /// Where each input of a run is found: in the caller's memory, if it starts there, the step does not write it,
    /// and it is not also what the step works on; else in memory that it must be copied to.
    pub fn given(&mut self, recorder: &Recorder, views: &[View]) -> Result<Vec<Buf>> {
        let mut given = Vec::with_capacity(views.len());
        for (input, view) in self.inputs.iter_mut().zip(views) {
            let outside = self.external.iter().any(|buf| buf.same(&view.buf));
            if view.layout.offset == 0 && !input.written && !outside {
                given.push(view.buf.clone());
                continue;
            }
            let own = match input.own.take() {
                Some(own) => own,
                None => recorder.buf(input.bytes, Role::Activations)?,
            };
            given.push(input.own.insert(own).clone());
        }
        Ok(given)
    }
}
