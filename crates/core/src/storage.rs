//! A tensor's memory: never moved, its identity never reused, its changes counted.

use crate::Buf;
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// Memory with an identity and a version. Views share it.
#[derive(Debug)]
pub struct Storage {
    id: u64,
    version: AtomicU64,
    buf: Buf,
    /// While the number is not 0, no recorded step may change the contents, for this reason.
    held: OnceLock<(Arc<AtomicU64>, &'static str)>,
}

impl Storage {
    pub(crate) fn new(buf: Buf) -> Self {
        Self { id: next_id(), version: AtomicU64::new(0), buf, held: OnceLock::new() }
    }

    /// Unique in this process, never reused.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How often the contents were changed in place.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// While `number` is not 0, recorded steps that change the contents do not run: they fail with `reason`. For state
    /// whose owner sees a step only when it is recorded. For life: a second call changes nothing.
    pub fn hold_while(&self, number: Arc<AtomicU64>, reason: &'static str) {
        let _ = self.held.set((number, reason));
    }

    /// Why no recorded step may change the contents now.
    pub(crate) fn held(&self) -> Option<&'static str> {
        let (number, reason) = self.held.get()?;
        (number.load(Ordering::Acquire) != 0).then_some(*reason)
    }

    pub(crate) fn bump(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes changes back that were noted and not made.
    pub(crate) fn unbump(&self, changes: u64) {
        self.version.fetch_sub(changes, Ordering::AcqRel);
    }

    pub(crate) fn buf(&self) -> &Buf {
        &self.buf
    }
}

impl std::fmt::Debug for Buf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buf({} bytes)", self.bytes())
    }
}

/// A number that grows with each call: for storages and graph nodes alike.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
