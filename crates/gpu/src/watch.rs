//! Launches whose indices come from data: what to say should one report a fault.

use crate::{
    fault::NO_FAULT,
    recorder::{Recorder, raw},
};
use std::{collections::VecDeque, panic::Location, sync::Arc};
use wgrad_core::{DType, Error, Result, View};

/// Index operands remembered for messages before a check is forced, and their bytes.
const MAX_WATCHED: usize = 1024;
const MAX_WATCHED_BYTES: usize = 64 << 20;
/// Reported faults remembered for reads that were under way.
const MAX_REPORTED: usize = 64;

/// A launch that checks indices, kept until its outcome is known.
pub(crate) struct Watched {
    serial: u32,
    op: &'static str,
    at: Option<&'static Location<'static>>,
    index: View,
    limit: usize,
}

impl Watched {
    fn error(&self, value: i64, position: usize) -> Error {
        let error = wgrad_core::bad_index(self.op, value, position, self.limit);
        match self.at {
            Some(at) => error.at(at),
            None => error,
        }
    }
}

/// What is watched, and what was found.
#[derive(Default)]
pub(crate) struct WatchList {
    serial: u32,
    watched: Vec<Watched>,
    /// Faults already reported, for reads that were under way at the time.
    reported: VecDeque<(u32, Error)>,
    /// A fault that was found where nobody could be told; the next read tells.
    owed: Option<Error>,
}

impl WatchList {
    /// Remembers a launch; the result is its serial number.
    pub fn add(
        &mut self,
        op: &'static str,
        at: Option<&'static Location<'static>>,
        index: View,
        limit: usize,
    ) -> u32 {
        let serial = self.serial;
        self.watched.push(Watched { serial, op, at, index, limit });
        self.serial += 1;
        serial
    }

    /// The number that the next launch gets.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// Whether so much is remembered that a check is due.
    pub fn is_full(&self) -> bool {
        let bytes: usize = self.watched.iter().map(|w| w.index.buf.bytes()).sum();
        self.watched.len() >= MAX_WATCHED || bytes > MAX_WATCHED_BYTES
    }

    /// Nothing went wrong before launch `upto`: forgets what came before, and tells what is owed.
    fn clean(&mut self, upto: u32) -> Result<()> {
        self.watched.retain(|w| w.serial >= upto);
        self.owed.take().map_or(Ok(()), Err)
    }

    /// The launch that failed, and those recorded after it: the fault word holds the first fault only.
    /// Where another read has reported it already, what that one said.
    fn take(&mut self, serial: u32) -> Result<(Watched, Vec<Watched>), Result<()>> {
        let Some(at) = self.watched.iter().position(|w| w.serial == serial) else {
            let known = self.reported.iter().find(|(s, _)| *s == serial);
            return Err(known.map_or(Ok(()), |(_, error)| Err(error.clone())));
        };
        let failed = self.watched.swap_remove(at);
        let recorded = std::mem::take(&mut self.watched);
        Ok((failed, recorded.into_iter().filter(|w| w.serial > serial).collect()))
    }

    /// Undoes [`take`](WatchList::take).
    fn restore(&mut self, failed: Watched, later: Vec<Watched>) {
        self.watched.push(failed);
        self.watched.extend(later);
    }

    /// Keeps a fault for the next read.
    pub fn owe(&mut self, error: Error) {
        self.owed.get_or_insert(error);
    }

    fn reported(&mut self, serial: u32, error: Error) {
        self.reported.push_back((serial, error));
        if self.reported.len() > MAX_REPORTED {
            self.reported.pop_front();
        }
    }
}

impl Recorder {
    /// Looks at a fault word that was read: forgets what went well, reports and clears what did not.
    pub async fn settle(self: &Arc<Self>, fault: &[u32], upto: u32) -> Result<()> {
        let &[serial, position, ..] = fault else {
            return Err(Error::internal("read", "the fault word is too short"));
        };
        if serial == u32::MAX {
            return self.state().watch.clean(upto);
        }
        let (watched, later) = match self.state().watch.take(serial) {
            Ok(taken) => taken,
            Err(known) => return known,
        };
        if let Err(error) = self.upload(&self.fault, 0, bytemuck::cast_slice(&NO_FAULT)) {
            // Still pending: the next read reports it.
            self.state().watch.restore(watched, later);
            return Err(error);
        }
        let indices = self.indices(&watched.index).await?;
        let value = indices.get(position as usize).copied().unwrap_or_default();
        let error = watched.error(value, position as usize);
        let mut owed = None;
        for watched in &later {
            let indices = self.indices(&watched.index).await?;
            let bad = indices.iter().position(|&i| !(0..watched.limit as i64).contains(&i));
            if let Some(at) = bad.filter(|_| owed.is_none()) {
                owed = Some(watched.error(indices[at], at));
            }
        }
        let mut state = self.state();
        if let Some(owed) = owed {
            state.watch.owe(owed);
        }
        state.watch.reported(serial, error.clone());
        Err(error)
    }

    /// All indices of an index operand, in row-major order.
    fn indices(
        self: &Arc<Self>,
        index: &View,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Vec<i64>>> + Send>> {
        let layout = index.layout;
        let signed = index.dtype == DType::I32;
        let read = raw("read", index).and_then(|buffer| {
            self.download(Some((buffer, layout.offset * 4..layout.end() * 4)), false)
        });
        Box::pin(async move {
            let words: Vec<u32> = bytemuck::pod_collect_to_vec(&read?.await?);
            let word = |position: usize| {
                let (mut rest, mut at) = (position, 0);
                for axis in (0..layout.shape.rank()).rev() {
                    at += rest % layout.shape[axis] * layout.strides[axis];
                    rest /= layout.shape[axis];
                }
                let word = words.get(at).copied().unwrap_or(u32::MAX);
                if signed { i64::from(word as i32) } else { i64::from(word) }
            };
            Ok((0..layout.numel()).map(word).collect())
        })
    }
}
