//! Dropout from Philox: the same integers as on GPUs, and the same elements dropped.

use super::{
    number::{Number, for_float},
    operand::{In, Out},
    parallel,
};
use crate::{
    Error, Result,
    ops::dropout::{Dropout, TakeRandom},
    philox::philox4x32,
};

fn counter(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// A copy of the state, which then moves on.
pub(super) fn take(op: &TakeRandom, copy: &mut Out<'_>, state: &mut Out<'_>) -> Result<()> {
    let (mut copy, mut state) = (copy.of::<u32>(), state.of::<u32>());
    let state = state.elements_mut();
    copy.elements_mut().iter_mut().zip(&*state).for_each(|(to, from)| *to = *from);
    let [_, _, low, high] = state else {
        return Err(Error::internal("dropout", "the state has four numbers"));
    };
    let next = counter(*low, *high).wrapping_add(op.blocks);
    [*low, *high] = [next as u32, (next >> 32) as u32];
    Ok(())
}

/// Counters that a thread takes at once.
const PIECE: usize = 1 << 12;

pub(super) fn dropout(op: &Dropout, x: &In<'_>, state: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    let state = state.of::<u32>().elements();
    let &[key0, key1, low, high] = &state[..] else {
        return Err(Error::internal("dropout", "the state has four numbers"));
    };
    let first = counter(low, high);
    for_float!(x.dtype, "dropout", T => {
        let x = x.of::<T>().elements();
        let mut y = y.of::<T>();
        let scale = T::from_f64(f64::from(op.scale));
        let pieces = x.chunks(4 * PIECE).zip(y.elements_mut().chunks_mut(4 * PIECE));
        let tasks: Vec<_> = (0u64..).step_by(PIECE).zip(pieces).collect();
        parallel::run(parallel::threads(x.len()), tasks, |(block, (x, y))| {
            for (i, (x, y)) in (block..).zip(x.chunks(4).zip(y.chunks_mut(4))) {
                let at = first.wrapping_add(i);
                let bits = philox4x32([at as u32, (at >> 32) as u32, 0, 0], [key0, key1]);
                for ((y, x), bits) in y.iter_mut().zip(x).zip(bits) {
                    *y = if bits <= op.last { T::ZERO } else { *x * scale };
                }
            }
        });
    });
    Ok(())
}
