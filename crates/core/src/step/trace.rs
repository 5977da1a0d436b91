//! A step as data: which operations ran on which values, in order.

use crate::{Buf, DType, Layout, Op, Role};
use std::{cmp::Reverse, collections::BTreeMap, panic::Location};

/// What a recorded step does. Nothing in it has run.
#[derive(Clone, Default)]
pub struct Trace {
    /// All memory the step touches.
    pub values: Vec<Value>,
    /// The operations, in order.
    pub calls: Vec<Call>,
    /// What the step returns, each contiguous.
    pub outputs: Vec<Place>,
}

/// One piece of memory.
#[derive(Clone)]
pub struct Value {
    /// Where it comes from.
    pub source: Source,
    /// Its size.
    pub bytes: usize,
    /// What it is used for.
    pub role: Role,
}

/// Where a value comes from.
#[derive(Clone)]
pub enum Source {
    /// The step's input of this number.
    Input(usize),
    /// Memory that lives outside the step: parameters, moments, constants.
    External(Buf),
    /// Memory that only the step sees.
    Temporary,
}

/// Some elements of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Number of the value.
    pub value: usize,
    /// Which elements.
    pub layout: Layout,
    /// Their type.
    pub dtype: DType,
}

/// One operation.
#[derive(Clone)]
pub struct Call {
    /// What is done.
    pub op: Op,
    /// What it reads (and changes, where it works in place).
    pub ins: Vec<Place>,
    /// What it writes.
    pub outs: Vec<Place>,
    /// The line that asked for it.
    pub at: &'static Location<'static>,
}

impl Call {
    /// All values it touches, some perhaps twice.
    pub fn values(&self) -> impl Iterator<Item = usize> {
        self.ins.iter().chain(&self.outs).map(|place| place.value)
    }
}

impl Trace {
    /// For each output whether its memory can be given away as it is: the step's own, all of it, and returned once.
    pub fn given_away(&self) -> Vec<bool> {
        let whole = |place: &Place| {
            let value = &self.values[place.value];
            matches!(value.source, Source::Temporary)
                && place.layout == Layout::contiguous(place.layout.shape)
                && place.layout.numel() * place.dtype.size() == value.bytes
                && self.outputs.iter().filter(|other| other.value == place.value).count() == 1
        };
        self.outputs.iter().map(whole).collect()
    }

    /// Whether the operations of `call` number `i` are the same in both; NaN equals itself here.
    fn same_call(&self, other: &Trace, i: usize) -> bool {
        let (Some(a), Some(b)) = (self.calls.get(i), other.calls.get(i)) else { return false };
        let same_op = a.op == b.op || format!("{:?}", a.op) == format!("{:?}", b.op);
        let same_values = a.values().zip(b.values()).all(|(x, y)| self.same_value(other, x, y));
        same_op && same_values && a.ins == b.ins && a.outs == b.outs
    }

    fn same_value(&self, other: &Trace, x: usize, y: usize) -> bool {
        match (self.values.get(x), other.values.get(y)) {
            (Some(a), Some(b)) => match (&a.source, &b.source) {
                (Source::Input(i), Source::Input(j)) => i == j,
                (Source::External(a), Source::External(b)) => a.same(b),
                (Source::Temporary, Source::Temporary) => a.bytes == b.bytes,
                _ => false,
            },
            _ => false,
        }
    }

    /// The first call at which two recordings part, if they do.
    pub(super) fn first_difference(&self, other: &Trace) -> Option<usize> {
        let calls = self.calls.len().max(other.calls.len());
        (0..calls).find(|&i| !self.same_call(other, i)).or_else(|| {
            let same =
                |(a, b): (&Place, &Place)| a == b && self.same_value(other, a.value, b.value);
            let equal = self.outputs.len() == other.outputs.len()
                && self.outputs.iter().zip(&other.outputs).all(same);
            (!equal).then_some(calls)
        })
    }
}

/// How the memory of temporaries is shared: those that are never needed at the same time get one buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// The buffer of each value; `None` for inputs and external memory.
    pub buffer_of: Vec<Option<usize>>,
    /// Sizes of the buffers.
    pub bytes: Vec<usize>,
}

impl Sharing {
    /// Shares buffers among the temporaries of `values`. `calls` gives, in order, the values that each
    /// launch or operation touches; values in `kept` stay until the end. What one call touches never shares.
    ///
    /// The largest value chooses first, each the smallest buffer that is free while it lives (greedy by size: Pisarchyk
    /// and Lee 2020). In order of time, a few bytes that live long would hold a large buffer.
    pub fn new(values: &[Value], calls: &[Vec<usize>], kept: &[usize]) -> Sharing {
        // From the first call that touches a value to the last.
        let mut lives: Vec<Option<(usize, usize)>> = vec![None; values.len()];
        for (i, touched) in calls.iter().enumerate() {
            for &value in touched {
                lives[value] = Some((lives[value].map_or(i, |(first, _)| first), i));
            }
        }
        for &value in kept {
            // Also what nothing touches but the step returns: memory that was never written.
            lives[value] = Some((lives[value].map_or(0, |(first, _)| first), calls.len()));
        }
        let mut order: Vec<(usize, (usize, usize))> = (0..values.len())
            .filter(|&value| matches!(values[value].source, Source::Temporary))
            .filter_map(|value| Some((value, lives[value]?)))
            .collect();
        order.sort_by_key(|&(value, (first, _))| (Reverse(values[value].bytes), first));

        let mut sharing = Sharing { buffer_of: vec![None; values.len()], bytes: Vec::new() };
        // For each buffer, the lives of its values: end by start.
        let mut taken: Vec<BTreeMap<usize, usize>> = Vec::new();
        for (value, (first, last)) in order {
            let free = |taken: &BTreeMap<usize, usize>| {
                taken.range(..=last).next_back().is_none_or(|(_, &end)| end < first)
            };
            // Buffers come in order of size, so the last one fits best.
            let buffer = taken.iter().rposition(free).unwrap_or_else(|| {
                sharing.bytes.push(values[value].bytes);
                taken.push(BTreeMap::new());
                taken.len() - 1
            });
            taken[buffer].insert(first, last);
            sharing.buffer_of[value] = Some(buffer);
        }
        sharing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(bytes: &[usize]) -> Vec<Value> {
        let value = |&bytes| Value { source: Source::Temporary, bytes, role: Role::Activations };
        bytes.iter().map(value).collect()
    }

    #[test]
    fn a_chain_needs_two_buffers_and_what_one_call_touches_never_shares() {
        let calls: Vec<Vec<usize>> = (0..9).map(|i| vec![i, i + 1]).collect();
        let sharing = Sharing::new(&values(&[8; 10]), &calls, &[]);
        assert_eq!(sharing.bytes, [8, 8]);
        for call in &calls {
            assert_ne!(sharing.buffer_of[call[0]], sharing.buffer_of[call[1]]);
        }
    }

    #[test]
    fn few_bytes_that_live_long_hold_no_large_buffer() {
        // 0 ends before 1 begins, which lives to the end; 2 can have the memory of 0 all the same.
        let calls = vec![vec![0], vec![1], vec![2], vec![1]];
        let sharing = Sharing::new(&values(&[100, 4, 100]), &calls, &[]);
        assert_eq!(sharing.bytes, [100, 4]);
    }

    #[test]
    fn kept_values_keep_their_buffer_and_the_best_fit_is_taken() {
        // 0 and 1 end at call 1; 2 needs 6 bytes and takes the buffer of 8, not that of 100.
        let calls = vec![vec![0], vec![0, 1], vec![2], vec![3]];
        let sharing = Sharing::new(&values(&[100, 8, 6, 4]), &calls, &[2]);
        assert_eq!(sharing.buffer_of[2], sharing.buffer_of[1]);
        assert_ne!(sharing.buffer_of[3], sharing.buffer_of[2]);
        assert_eq!(sharing.bytes, [100, 8]);
    }
}
