//! Recording: while a step's closure runs on this thread, operations are noted instead of run.

use super::trace::{Call, Place, Source, Trace, Value};
use crate::{Buf, Device, Error, Op, Result, Role, Storage, View, backend, storage::next_id};
use std::{cell::RefCell, collections::HashMap, panic::Location, sync::Arc};

thread_local! {
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

/// What has been noted so far.
struct Recording {
    id: u64,
    device: Device,
    trace: Trace,
    /// Numbers of external values, by the address of their memory, which the trace keeps alive.
    external: HashMap<usize, usize>,
    /// External memory changed in place, and how often: its versions go up while the closure runs, so that backward
    /// inside it is checked, and are put back at the end, since nothing has run.
    changed: Vec<(Arc<Storage>, u64)>,
}

impl Drop for Recording {
    fn drop(&mut self) {
        for (storage, changes) in &self.changed {
            storage.unbump(*changes);
        }
    }
}

/// Memory that exists in a recording only.
struct Traced {
    recording: u64,
    value: usize,
}

/// What a recording gave.
pub(super) struct Recorded {
    pub trace: Trace,
    /// External memory that the step changes in place.
    pub changed: Vec<Arc<Storage>>,
}

/// Ends the recording of this thread, on an unwinding panic too.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        RECORDING.with_borrow_mut(|recording| *recording = None);
    }
}

/// Whether this thread records a step.
pub fn active() -> bool {
    RECORDING.with_borrow(Option::is_some)
}

/// Runs `f` with all operations on this thread noted; it returns what the step returns.
pub(super) fn record(device: &Device, f: impl FnOnce() -> Result<Vec<View>>) -> Result<Recorded> {
    let recording = Recording {
        id: next_id(),
        device: device.clone(),
        trace: Trace::default(),
        external: HashMap::new(),
        changed: Vec::new(),
    };
    RECORDING.with_borrow_mut(|slot| *slot = Some(recording));
    let end = End;
    let outputs = f()?;
    let recorded = with(|recording| {
        for view in &outputs {
            let place = recording.place("step", view)?;
            recording.trace.outputs.push(place);
        }
        let trace = std::mem::take(&mut recording.trace);
        let changed = recording.changed.iter().map(|(storage, _)| storage.clone()).collect();
        Ok(Recorded { trace, changed })
    });
    drop(end);
    recorded.unwrap_or_else(|| Err(Error::internal("step", "the recording ended early")))
}

/// Calls `f` with this thread's recording, if there is one.
fn with<T>(f: impl FnOnce(&mut Recording) -> T) -> Option<T> {
    RECORDING.with_borrow_mut(|recording| recording.as_mut().map(f))
}

impl Recording {
    fn add(&mut self, value: Value) -> usize {
        self.trace.values.push(value);
        self.trace.values.len() - 1
    }

    fn place(&mut self, op: &'static str, view: &View) -> Result<Place> {
        let value = match view.buf.downcast::<Traced>() {
            Some(traced) if traced.recording == self.id => traced.value,
            Some(_) => return Err(escaped(op)),
            None => {
                let address = view.buf.address();
                match self.external.get(&address) {
                    Some(&value) => value,
                    None => {
                        let value = self.add(Value {
                            source: Source::External(view.buf.clone()),
                            bytes: view.buf.bytes(),
                            role: Role::Parameters,
                        });
                        self.external.insert(address, value);
                        value
                    }
                }
            }
        };
        Ok(Place { value, layout: view.layout, dtype: view.dtype })
    }

    fn check(&self, op: &'static str, device: &Device) -> Result<()> {
        if self.device == *device {
            return Ok(());
        }
        Err(Error::device(
            op,
            format!(
                "a step on {} cannot work on {} too; do that outside the step",
                self.device.info().name,
                device.info().name
            ),
        ))
    }
}

/// New memory within the recording; `None` if there is none.
pub(crate) fn alloc(
    device: &Device,
    op: &'static str,
    bytes: usize,
    role: Role,
) -> Option<Result<Buf>> {
    with(|recording| {
        recording.check(op, device)?;
        let value = recording.add(Value { source: Source::Temporary, bytes, role });
        Ok(Buf::new(Arc::new(Traced { recording: recording.id, value }), bytes))
    })
}

/// The memory of input `i` within the recording.
pub(super) fn input(i: usize, bytes: usize) -> Option<Buf> {
    with(|recording| {
        let source = Source::Input(i);
        let value = recording.add(Value { source, bytes, role: Role::Activations });
        Buf::new(Arc::new(Traced { recording: recording.id, value }), bytes)
    })
}

/// Notes an operation; `None` if nothing is recorded.
pub(crate) fn note(device: &Device, op: &Op, ins: &[View], outs: &[View]) -> Option<Result<()>> {
    with(|recording| {
        recording.check(op.name(), device)?;
        let mut places = |views: &[View]| -> Result<Vec<Place>> {
            views.iter().map(|view| recording.place(op.name(), view)).collect()
        };
        let (ins, outs) = (places(ins)?, places(outs)?);
        let at = backend::caller().unwrap_or(Location::caller());
        recording.trace.calls.push(Call { op: op.clone(), ins, outs, at });
        Ok(())
    })
}

/// Notes that memory from outside is changed in place.
pub(crate) fn note_change(storage: &Arc<Storage>) {
    with(|recording| {
        if storage.buf().downcast::<Traced>().is_some() {
            return;
        }
        match recording.changed.iter_mut().find(|(known, _)| known.id() == storage.id()) {
            Some((_, changes)) => *changes += 1,
            None => recording.changed.push((storage.clone(), 1)),
        }
    });
}

/// An error while a step is recorded: nothing has run then, so there is nothing to read, and what is written
/// now would not be written again.
#[track_caller]
pub(crate) fn forbid(op: &'static str, remedy: &str) -> Result<()> {
    if !active() {
        return Ok(());
    }
    Err(Error::graph(op, format!("not inside a step, which is recorded before it runs; {remedy}")))
}

/// An error if the memory exists in a recording only.
#[track_caller]
pub(crate) fn must_exist(op: &'static str, buf: &Buf) -> Result<()> {
    if buf.downcast::<Traced>().is_some() { Err(escaped(op)) } else { Ok(()) }
}

#[track_caller]
fn escaped(op: &'static str) -> Error {
    Error::graph(
        op,
        "this tensor was made inside a step and has no memory outside of it; return it from the step's closure",
    )
}
