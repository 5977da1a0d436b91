//! Matrix products: blocks that fit caches, tiles that fit registers (Goto and van de Geijn 2008).
//!
//! The rows of one operand are packed in panels as high as a tile, the columns of the other in panels as
//! wide; along k both are cut into slices. A tile multiplies a panel by a panel. An element of the product
//! is summed over k in an order that depends on k alone: not on its place, the threads, or the strides.

mod pack;
#[cfg(test)]
mod tests;
mod tile;

use super::{
    memory::{Line, Memory, Words},
    number::Float,
    parallel,
};
use crate::Result;
use pack::{pack, pack_group};
use std::{
    cell::RefCell,
    ops::Range,
    sync::{Arc, PoisonError, RwLock},
};
pub(super) use tile::Tiled;

/// A matrix to be read, with any strides.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    /// From the first element on.
    pub data: &'a [T],
    pub rows: usize,
    pub columns: usize,
    /// Elements from one row to the next.
    pub row_step: usize,
    /// Elements from one column to the next.
    pub column_step: usize,
}

impl<T> Matrix<'_, T> {
    fn transposed(self) -> Self {
        let Matrix { data, rows, columns, row_step, column_step } = self;
        Matrix { data, rows: columns, columns: rows, row_step: column_step, column_step: row_step }
    }
}

/// What is done to a finished piece of a row of the product, which begins at the column given.
pub(super) type Finish<'a, T> = &'a (dyn Fn(usize, &mut [T]) + Sync);

/// `c = a b`, then `finish`; c is row-major and contiguous.
pub(super) struct Product<'a, T> {
    pub a: Matrix<'a, T>,
    pub b: Matrix<'a, T>,
    pub c: &'a mut [T],
    pub finish: Option<Finish<'a, T>>,
    /// At most so many threads.
    pub threads: usize,
}

/// The deepest slice along k: a panel as wide as a tile then stays in the L1 cache.
const DEPTH: usize = 320;
/// The most rows of a block, all of whose panels then stay in the L2 cache.
const ROWS: usize = 96;
/// Tasks for each thread, so that none waits long for another.
const SHARE: usize = 4;

/// How many threads pay for a product of so many multiply-adds.
pub(super) fn threads(work: usize) -> usize {
    parallel::threads(work / 16)
}

/// Equal slices of `0..k`, none deeper than `DEPTH`.
fn slices(k: usize) -> impl Iterator<Item = Range<usize>> {
    let depth = k.div_ceil(k.div_ceil(DEPTH).max(1)).max(1);
    (0..k).step_by(depth).map(move |first| first..k.min(first + depth))
}

/// Panels that are packed together: where rows of the right operand lie in one piece, as much of each as
/// the memory likes to give at once.
const GROUP: usize = 8;

/// Some panels of the right operand, one after the other; whoever needs one of them first packs all.
struct Group<'a, T, const NR: usize> {
    panels: &'a mut [[T; NR]],
    packed: bool,
}

/// What all tasks of a product share.
struct Shared<'a, T, const NR: usize> {
    left: Matrix<'a, T>,
    right: Matrix<'a, T>,
    /// By slice, then from left to right.
    groups: Vec<RwLock<Group<'a, T, NR>>>,
    /// Whether tiles hold the product transposed: its columns are then the rows of `left`.
    flipped: bool,
    finish: Option<Finish<'a, T>>,
}

/// A block of the product for one thread.
struct Task<'s, 'a, T, const NR: usize> {
    shared: &'s Shared<'a, T, NR>,
    /// Rows of the left operand.
    rows: Range<usize>,
    /// Panels of the right operand.
    panels: Range<usize>,
    /// With which of them to begin, so that threads do not all want the same one.
    begin: usize,
    /// Its part of each row of the product.
    out: Vec<&'a mut [T]>,
}

/// Cuts a product into tasks and hands them to `work`.
fn blocked<T: Float, const MR: usize, const NR: usize>(
    memory: &Arc<Memory>,
    product: Product<'_, T>,
    work: impl Fn(Task<'_, '_, T, NR>) + Sync,
) -> Result<()> {
    let Product { a, b, c, finish, threads } = product;
    let (m, n, k) = (a.rows, b.columns, a.columns);
    if m == 0 || n == 0 {
        return Ok(());
    }
    if k == 0 {
        c.fill(T::ZERO);
        if let Some(finish) = finish {
            c.chunks_exact_mut(n).for_each(|row| finish(0, row));
        }
        return Ok(());
    }
    // A product much narrower than a tile is computed transposed.
    let padded = |m: usize, n: usize| m.next_multiple_of(MR) * n.next_multiple_of(NR);
    let flipped = padded(n, m) < padded(m, n) / 4 * 3;
    let (left, right) = if flipped { (b.transposed(), a.transposed()) } else { (a, b) };

    let columns = right.columns.div_ceil(NR);
    let mut packed: Words = memory.scratch(columns * NR * k * size_of::<T>())?;
    let (mut rest, _) = packed.of_mut::<T>().as_chunks_mut::<NR>();
    let mut groups = Vec::with_capacity(columns.div_ceil(GROUP) * k.div_ceil(DEPTH));
    for slice in slices(k) {
        for first in (0..columns).step_by(GROUP) {
            let count = GROUP.min(columns - first);
            let (panels, after) = rest.split_at_mut(count * slice.len());
            groups.push(RwLock::new(Group { panels, packed: false }));
            rest = after;
        }
    }
    let shared = Shared { left, right, groups, flipped, finish };

    // Blocks of rows, and of columns where there are too few rows for all threads.
    let wanted = if threads > 1 { threads * SHARE } else { 1 };
    let height = left.rows.div_ceil(wanted).next_multiple_of(MR).min(ROWS.next_multiple_of(MR));
    let blocks = left.rows.div_ceil(height);
    let width = columns.div_ceil(wanted.div_ceil(blocks));
    let (heights, widths) = if flipped { (width * NR, height) } else { (height, width * NR) };
    let mut tasks = Vec::with_capacity(blocks * columns.div_ceil(width));
    for (i, rows) in c.chunks_mut(heights * n).enumerate() {
        let mut rows: Vec<_> = rows.chunks_exact_mut(n).collect();
        for j in 0..n.div_ceil(widths) {
            let out = rows.iter_mut().map(|row| {
                let here = widths.min(row.len());
                row.split_off_mut(..here).unwrap_or_default()
            });
            let (i, j, out) = if flipped { (j, i, out.collect()) } else { (i, j, out.collect()) };
            let rows = i * height..left.rows.min((i + 1) * height);
            let panels = j * width..columns.min((j + 1) * width);
            tasks.push(Task { shared: &shared, rows, begin: 0, panels, out });
        }
    }
    let count = tasks.len();
    for (t, task) in tasks.iter_mut().enumerate() {
        task.begin = t * task.panels.len() / count;
    }
    parallel::run(threads, tasks, work);
    Ok(())
}

thread_local! {
    /// The packed rows of the block that a thread works on.
    static BLOCK: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

impl<T: Float, const NR: usize> Task<'_, '_, T, NR> {
    /// Compiled once for each set of instructions, with all that it calls.
    #[inline(always)]
    fn run<const MR: usize, const FUSED: bool>(mut self) {
        let height = self.rows.len().next_multiple_of(MR);
        // Taken and put back, since a closure would be compiled without this function's instructions.
        let mut block = BLOCK.take();
        let lines = (height * DEPTH * size_of::<T>()).div_ceil(size_of::<Line>());
        if block.len() < lines {
            block.resize(lines, Line::default());
        }
        let (panels, _) = bytemuck::cast_slice_mut::<_, T>(&mut block).as_chunks_mut::<MR>();
        self.multiply::<MR, FUSED>(panels);
        BLOCK.set(block);
        let Some(finish) = self.shared.finish else { return };
        let first = if self.shared.flipped { self.rows.start } else { self.panels.start * NR };
        self.out.iter_mut().for_each(|row| finish(first, row));
    }

    #[inline(always)]
    fn multiply<const MR: usize, const FUSED: bool>(&mut self, block: &mut [[T; MR]]) {
        let shared = self.shared;
        let groups = shared.right.columns.div_ceil(NR).div_ceil(GROUP);
        let count = self.panels.len();
        for (s, slice) in slices(shared.left.columns).enumerate() {
            let depth = slice.len();
            for (first, panel) in self.rows.clone().step_by(MR).zip(block.chunks_exact_mut(depth)) {
                pack(shared.left, first, self.rows.end, slice.clone(), panel);
            }
            for j in (0..count).map(|j| self.panels.start + (self.begin + j) % count) {
                let group = &shared.groups[s * groups + j / GROUP];
                let mut read = group.read().unwrap_or_else(PoisonError::into_inner);
                if !read.packed {
                    drop(read);
                    let mut write = group.write().unwrap_or_else(PoisonError::into_inner);
                    if !write.packed {
                        let right = shared.right.transposed();
                        pack_group(right, j / GROUP * GROUP * NR, slice.clone(), write.panels);
                        write.packed = true;
                    }
                    drop(write);
                    read = group.read().unwrap_or_else(PoisonError::into_inner);
                }
                let right = &read.panels[j % GROUP * depth..][..depth];
                let corner = (j - self.panels.start) * NR;
                for (i, left) in block.chunks_exact(depth).enumerate() {
                    if i * MR >= self.rows.len() {
                        break;
                    }
                    let tile = tile::multiply::<T, MR, NR, FUSED>(left, right);
                    if shared.flipped {
                        tile::store_flipped(&tile, &mut self.out, corner, i * MR, s > 0);
                    } else {
                        tile::store(&tile, &mut self.out, i * MR, corner, s > 0);
                    }
                }
            }
        }
    }
}
