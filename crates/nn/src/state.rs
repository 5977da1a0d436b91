//! What a run must keep to go on exactly: tensors that change in place, and counters on the host.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use wgrad_core::Tensor;

/// Something with a state beside a model's parameters: an optimizer, a schedule, a loss scale, a position in
/// the data. It shows its tensors and counters under names, and whoever saves or restores works on those:
/// all are checked before the first is changed.
pub trait State {
    /// Shows every tensor and counter to the visitor.
    fn state(&self, v: &mut StateVisitor);
}

/// A whole number of some state, shared by its clones.
#[derive(Clone, Default)]
pub struct Count(Arc<AtomicU64>);

impl Count {
    /// A counter that stands at `value`.
    pub fn new(value: u64) -> Self {
        Self(Arc::new(AtomicU64::new(value)))
    }

    /// The number itself.
    pub(crate) fn shared(&self) -> Arc<AtomicU64> {
        self.0.clone()
    }

    /// Where it stands.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Puts it at `value`.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl fmt::Debug for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())
    }
}

/// A number (f64, kept to the bit) of some state, shared by its clones.
#[derive(Clone)]
pub struct Real(Count);

impl Real {
    /// A number that is `value`.
    pub fn new(value: f64) -> Self {
        Self(Count::new(value.to_bits()))
    }

    /// What it is.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.get())
    }

    /// Makes it `value`.
    pub fn set(&self, value: f64) {
        self.0.set(value.to_bits());
    }
}

impl fmt::Debug for Real {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.get())
    }
}

/// A piece of state: a handle through which it is read and written.
#[derive(Clone, Debug)]
pub enum StateEntry {
    /// A tensor that is changed in place.
    Tensor(Tensor),
    /// A whole number.
    Count(Count),
    /// A number.
    Real(Real),
    /// A number that is not restored: it must be the same here as where the state was saved.
    Setting(u64),
}

/// Gathers the pieces of a state with their names.
#[derive(Default)]
pub struct StateVisitor {
    path: String,
    found: Vec<(String, StateEntry)>,
}

impl StateVisitor {
    /// All pieces of `state`, by name.
    pub fn over(state: &(impl State + ?Sized)) -> Vec<(String, StateEntry)> {
        let mut visitor = StateVisitor::default();
        state.state(&mut visitor);
        visitor.found
    }

    /// A state within this one, under its name.
    pub fn part(&mut self, name: impl fmt::Display, part: &(impl State + ?Sized)) {
        let length = self.path.len();
        self.path = self.name(name);
        part.state(self);
        self.path.truncate(length);
    }

    /// A tensor that is changed in place: contiguous, as a moment or an average is.
    pub fn tensor(&mut self, name: impl fmt::Display, tensor: &Tensor) {
        self.push(name, StateEntry::Tensor(tensor.detach()));
    }

    /// A whole number.
    pub fn count(&mut self, name: impl fmt::Display, count: &Count) {
        self.push(name, StateEntry::Count(count.clone()));
    }

    /// A number.
    pub fn real(&mut self, name: impl fmt::Display, real: &Real) {
        self.push(name, StateEntry::Real(real.clone()));
    }

    /// A setting that must be the same when the state is restored: a batch size, a seed.
    pub fn setting(&mut self, name: impl fmt::Display, value: u64) {
        self.push(name, StateEntry::Setting(value));
    }

    fn push(&mut self, name: impl fmt::Display, entry: StateEntry) {
        let name = self.name(name);
        self.found.push((name, entry));
    }

    fn name(&self, name: impl fmt::Display) -> String {
        let dot = if self.path.is_empty() { "" } else { "." };
        format!("{}{dot}{name}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Inner(Count);
    impl State for Inner {
        fn state(&self, v: &mut StateVisitor) {
            v.count("steps", &self.0);
        }
    }
    struct Outer(Inner, Real);
    impl State for Outer {
        fn state(&self, v: &mut StateVisitor) {
            v.part("inner", &self.0);
            v.real("rate", &self.1);
        }
    }

    #[test]
    fn names_and_handles() {
        let outer = Outer(Inner(Count::new(3)), Real::new(0.1));
        let found = StateVisitor::over(&outer);
        assert_eq!(
            found.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(),
            ["inner.steps", "rate"]
        );
        if let StateEntry::Count(count) = &found[0].1 {
            count.set(7);
        }
        assert_eq!(outer.0.0.get(), 7);
        assert_eq!(outer.1.get().to_bits(), 0.1f64.to_bits());
    }
}
