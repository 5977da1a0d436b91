//! Work on several threads. Pieces are cut so that no result depends on how many threads there are or on
//! which of them does what: every sum lies within one piece, or is cut by sizes alone.

use crate::{Error, Result};
use std::sync::{Mutex, PoisonError};

/// Elementary steps below which waking another thread costs more than it saves.
const WORTH: usize = 1 << 18;

/// How many threads pay for so many elementary steps (elements moved, or multiply-adds by the dozen).
pub(super) fn threads(steps: usize) -> usize {
    if steps < WORTH { 1 } else { rayon_core::current_num_threads() }
}

/// Does all tasks; each thread takes the next one when it is done with one, the caller's among them.
pub(super) fn run<T: Send>(threads: usize, tasks: Vec<T>, work: impl Fn(T) + Sync) {
    let threads = threads.min(tasks.len());
    if threads <= 1 {
        return tasks.into_iter().for_each(work);
    }
    let queue = Mutex::new(tasks.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let drain = || {
        while let Some(task) = next() {
            work(task);
        }
    };
    together(threads, &drain);
}

/// The same for tasks that may fail; the first error of any.
pub(super) fn try_run<T: Send>(
    threads: usize,
    tasks: Vec<T>,
    work: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    run(threads, tasks, |task| {
        if let Err(error) = work(task) {
            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Runs `work` on so many threads at once. Not generic: each copy of rayon's scope is several kilobytes of program.
fn together(threads: usize, work: &(dyn Fn() + Sync)) {
    rayon_core::in_place_scope(|scope| {
        (1..threads).for_each(|_| scope.spawn(|_| work()));
        work();
    });
}
