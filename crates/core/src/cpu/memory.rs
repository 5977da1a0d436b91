//! Host memory: buffers counted by the ledger, their locks, and the stages between them and kernels.

use super::operand::{Dst, In, Out, Src, map1};
use super::shape;
use crate::{DType, Error, Layout, Ledger, MemoryReport, Op, Result, Role, View, foreign_buffer};
use bytemuck::{Pod, Zeroable};
use half::{f16, slice::HalfFloatSliceExt};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem::take,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// The host memory of one device: its ledger, and pieces kept for reuse, since the system charges a
/// page fault for every 4 KiB that it takes back and gives again, and new memory must be cleared.
#[derive(Default)]
pub(super) struct Memory {
    ledger: Ledger,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// In the order in which they came, by number.
    pieces: BTreeMap<u64, Vec<Line>>,
    /// Length in lines and number of each.
    by_length: BTreeSet<(usize, u64)>,
    bytes: usize,
    /// How many ever came.
    count: u64,
}

impl Kept {
    /// Of the pieces of that length the one that came last.
    fn take(&mut self, lines: usize) -> Option<Vec<Line>> {
        let (_, number) = *self.by_length.range((lines, 0)..=(lines, u64::MAX)).next_back()?;
        self.remove(number)
    }

    fn put(&mut self, piece: Vec<Line>) {
        self.bytes += size_of_val(&*piece);
        self.count += 1;
        self.by_length.insert((piece.len(), self.count));
        self.pieces.insert(self.count, piece);
    }

    fn remove(&mut self, number: u64) -> Option<Vec<Line>> {
        let piece = self.pieces.remove(&number)?;
        self.by_length.remove(&(piece.len(), number));
        self.bytes -= size_of_val(&*piece);
        Some(piece)
    }

    /// The pieces that nobody wanted for the longest time, as many as there are beyond `bytes`.
    fn shrink(&mut self, bytes: usize) -> Vec<Vec<Line>> {
        let mut gone = Vec::new();
        while self.bytes > bytes
            && let Some((&oldest, _)) = self.pieces.first_key_value()
        {
            gone.extend(self.remove(oldest));
        }
        gone
    }
}

/// A line of the cache: memory is cut in whole ones, so that vectors of any width lie aligned.
#[derive(Clone, Copy, Default, Pod, Zeroable)]
#[repr(C, align(64))]
pub(super) struct Line([u64; 8]);

/// The smallest piece that is kept, in bytes.
const KEPT: usize = 1 << 10;

impl Memory {
    /// Initialised memory: zeros, or what a piece held before.
    fn words(self: &Arc<Self>, bytes: usize, role: Role) -> Result<Words> {
        let count = bytes.div_ceil(size_of::<Line>());
        let lines = match self.reuse(count, bytes, role) {
            Some(lines) => lines,
            None => {
                let mut lines = match reserve(count) {
                    Some(lines) => lines,
                    None => {
                        self.trim();
                        reserve(count).ok_or_else(|| self.none_left(bytes))?
                    }
                };
                let mut kept = self.kept();
                self.ledger.add(role, bytes);
                let gone = kept.shrink(self.room());
                drop(kept);
                // The system takes its time: others need not wait for it.
                drop(gone);
                lines.resize(count, Line::default());
                lines
            }
        };
        Ok(Words { lines, bytes, role, memory: self.clone() })
    }

    /// Working space for one operation; it may hold anything.
    pub fn scratch(self: &Arc<Self>, bytes: usize) -> Result<Words> {
        self.words(bytes, Role::Scratch)
    }

    fn none_left(&self, bytes: usize) -> Error {
        let report = self.report();
        let largest = Role::ALL.into_iter().max_by_key(|&role| report.role(role));
        let owner = largest.map_or(String::new(), |role| {
            format!(", {} of them {role:?}", report.role(role)).to_lowercase()
        });
        let used = report.in_use();
        Error::memory(
            "alloc",
            format!("{bytes} bytes are not to be had; {used} bytes are in use{owner}"),
        )
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes may be kept: with what is in use no more than the device ever used at once.
    fn room(&self) -> usize {
        let report = self.ledger.report(0);
        report.peak.saturating_sub(report.in_use())
    }

    fn reuse(&self, count: usize, bytes: usize, role: Role) -> Option<Vec<Line>> {
        let mut kept = self.kept();
        let lines = kept.take(count)?;
        self.ledger.add(role, bytes);
        Some(lines)
    }

    /// Keeps a piece, if need be instead of older ones.
    fn keep(&self, piece: Vec<Line>) {
        let bytes = size_of_val(&*piece);
        let mut kept = self.kept();
        let room = self.room();
        if bytes < KEPT || bytes > room {
            return;
        }
        let gone = kept.shrink(room - bytes);
        kept.put(piece);
        drop(kept);
        drop(gone);
    }

    pub fn report(&self) -> MemoryReport {
        let kept = self.kept();
        self.ledger.report(kept.bytes)
    }

    pub fn trim(&self) {
        let gone = take(&mut *self.kept());
        drop(gone);
    }
}

/// Room for so many lines, and none in it yet.
fn reserve(count: usize) -> Option<Vec<Line>> {
    let mut lines = Vec::new();
    lines.try_reserve_exact(count).ok()?;
    Some(lines)
}

/// A piece of memory in the ledger.
pub(super) struct Words {
    lines: Vec<Line>,
    bytes: usize,
    role: Role,
    memory: Arc<Memory>,
}

impl Words {
    /// The memory as numbers of one type.
    pub fn of<T: Pod>(&self) -> &[T] {
        bytemuck::cast_slice(&self.lines)
    }

    /// The memory as numbers of one type.
    pub fn of_mut<T: Pod>(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        self.memory.ledger.sub(self.role, self.bytes);
        self.memory.keep(take(&mut self.lines));
    }
}

/// One buffer of the backend.
pub(super) struct CpuBuf(RwLock<Words>);

impl CpuBuf {
    pub fn new(bytes: usize, role: Role, memory: &Arc<Memory>) -> Result<Self> {
        Ok(Self(RwLock::new(memory.words(bytes, role)?)))
    }

    fn read(&self) -> RwLockReadGuard<'_, Words> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Words> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of some bytes, which lie inside the buffer.
    pub fn download(&self, range: Range<usize>) -> Vec<u8> {
        self.read().of::<u8>()[range].to_vec()
    }

    /// Copies bytes of this buffer, which is another one, to byte `at` of `to`; both ranges lie inside.
    pub fn copy_to(&self, range: Range<usize>, to: &CpuBuf, at: usize) {
        let (from, mut to) = (self.read(), to.write());
        let from = &from.of::<u8>()[range];
        to.of_mut::<u8>()[at..at + from.len()].copy_from_slice(from);
    }

    /// Overwrites bytes from `at` on, which lie inside the buffer.
    pub fn upload(&self, at: usize, bytes: &[u8]) {
        self.write().of_mut::<u8>()[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

enum Guard<'a> {
    Read(RwLockReadGuard<'a, Words>),
    Write(RwLockWriteGuard<'a, Words>),
}

impl Guard<'_> {
    fn words(&self) -> &[u64] {
        match self {
            Guard::Read(guard) => guard.of(),
            Guard::Write(guard) => guard.of(),
        }
    }
}

/// All buffers of one operation, each locked once.
struct Held<'a> {
    guards: Vec<Guard<'a>>,
    /// The guard of each input.
    ins: Vec<usize>,
    /// The guard of each output.
    outs: Vec<usize>,
}

impl<'a> Held<'a> {
    /// Locks in the order of addresses, so that operations on other threads cannot block each other.
    fn lock(op: &'static str, ins: &'a [View], outs: &'a [View]) -> Result<Self> {
        let buffer = |view: &'a View| -> Result<&'a CpuBuf> {
            view.buf.downcast().ok_or_else(|| foreign_buffer(op))
        };
        let ins = ins.iter().map(buffer).collect::<Result<Vec<_>>>()?;
        let outs = outs.iter().map(buffer).collect::<Result<Vec<_>>>()?;
        let address = |buffer: &CpuBuf| std::ptr::from_ref(buffer).addr();
        let mut distinct: Vec<&CpuBuf> = ins.iter().chain(&outs).copied().collect();
        distinct.sort_by_key(|buffer| address(buffer));
        distinct.dedup_by_key(|buffer| address(buffer));
        let written = |buffer: &CpuBuf| outs.iter().any(|out| std::ptr::eq(*out, buffer));
        let guards = distinct
            .iter()
            .map(|buffer| match written(buffer) {
                true => Guard::Write(buffer.write()),
                false => Guard::Read(buffer.read()),
            })
            .collect();
        let place = |buffer: &&CpuBuf| distinct.partition_point(|d| address(d) < address(buffer));
        Ok(Self {
            guards,
            ins: ins.iter().map(place).collect(),
            outs: outs.iter().map(place).collect(),
        })
    }
}

/// An operand in memory of its own, as a kernel wants it.
struct Stage {
    words: Words,
    layout: Layout,
    dtype: DType,
}

impl Stage {
    /// An input in memory of its own, under the same strides: f16 widened to f32, others as they are.
    fn input(memory: &Arc<Memory>, words: &[u64], view: &View) -> Result<Stage> {
        let (start, end) = (view.layout.offset, view.layout.end());
        let count = end.saturating_sub(start);
        let dtype = if view.dtype == DType::F16 { DType::F32 } else { view.dtype };
        let mut own = memory.words(count * dtype.size(), Role::Scratch)?;
        if count > 0 && view.dtype == DType::F16 {
            let from = &bytemuck::cast_slice::<u64, f16>(words)[start..end];
            from.convert_to_f32_slice(&mut own.of_mut()[..count]);
        } else if count > 0 {
            let size = dtype.size();
            let from = &bytemuck::cast_slice::<u64, u8>(words)[start * size..end * size];
            own.of_mut::<u8>()[..count * size].copy_from_slice(from);
        }
        Ok(Stage { words: own, layout: Layout { offset: 0, ..view.layout }, dtype })
    }

    /// Contiguous memory for an output; with what is there now if the operation works in place.
    fn output(memory: &Arc<Memory>, words: &[u64], view: &View, in_place: bool) -> Result<Stage> {
        let dtype = if view.dtype == DType::F16 { DType::F32 } else { view.dtype };
        let layout = Layout::contiguous(view.layout.shape);
        let own = memory.words(layout.numel() * dtype.size(), Role::Scratch)?;
        let mut stage = Stage { words: own, layout, dtype };
        if in_place {
            let now = Stage::input(memory, words, view)?;
            shape::copy("load", &now.as_in(), &mut stage.as_out())?;
        }
        Ok(stage)
    }

    /// Puts an output where it belongs: the one place where f16 results are rounded, ties to even.
    fn store(&self, words: &mut [u64], view: &View) -> Result<()> {
        let (from, layout) = (self.as_in(), view.layout);
        if view.dtype == DType::F16 {
            let Src { data, .. } = from.of::<f32>();
            let to = bytemuck::cast_slice_mut::<u64, f16>(words);
            if layout.is_contiguous() {
                let n = layout.numel();
                if n > 0 {
                    to[layout.offset..layout.offset + n].convert_from_f32_slice(&data[..n]);
                }
            } else {
                map1(from.of::<f32>(), Dst { data: to, layout }, f16::from_f32);
            }
            return Ok(());
        }
        shape::copy("store", &from, &mut Out { words, layout, dtype: view.dtype })
    }

    fn as_in(&self) -> In<'_> {
        In { words: self.words.of(), layout: self.layout, dtype: self.dtype }
    }

    fn as_out(&mut self) -> Out<'_> {
        Out { words: self.words.of_mut(), layout: self.layout, dtype: self.dtype }
    }
}

/// Whether a kernel reads input `i`; what it changes in place it finds in the outputs.
fn reads(op: &Op, i: usize) -> bool {
    match op {
        Op::Fill(_) | Op::Random(_) | Op::TakeRandom(_) | Op::AdaptScale(_) => false,
        Op::Assign(_) | Op::Adjust(_) => i == 1,
        Op::Update(op) => i == 1 || i == 2 || op.flags() == Some(i),
        _ => true,
    }
}

/// Whether the kernel wants its outputs contiguous.
fn contiguous_outputs(op: &Op) -> bool {
    use Op::{Adjust, CrossEntropy, Linear, MatMul, Random, Update};
    use Op::{AvgPool, AvgPoolBackward, Conv, ConvInput, ConvWeight, MaxPool, MaxPoolBackward};
    matches!(op, MatMul(_) | Linear(_) | Random(_) | Update(_) | Adjust(_) | CrossEntropy(_))
        || matches!(op, Conv(_) | ConvInput(_) | ConvWeight(_))
        || matches!(op, MaxPool(_) | MaxPoolBackward(_) | AvgPool(_) | AvgPoolBackward(_))
        || matches!(op, Op::Norm(_) | Op::NormBackward(_) | Op::NormSums(_) | Op::Dropout(_))
        || matches!(op, Op::BatchNorm(_) | Op::BatchNormBackward(_) | Op::BatchNormSums(_))
}

/// The memory behind each lock: for reading, or else for writing.
fn memories<'a>(guards: &'a mut [Guard<'_>]) -> (Vec<&'a [u64]>, Vec<Option<&'a mut [u64]>>) {
    let memory = |guard: &'a mut Guard<'_>| -> (&'a [u64], Option<&'a mut [u64]>) {
        match guard {
            Guard::Read(guard) => (guard.of(), None),
            Guard::Write(guard) => (&[], Some(guard.of_mut())),
        }
    };
    guards.iter_mut().map(memory).unzip()
}

/// Locks the buffers and runs `kernel` on their contents. What a kernel cannot take where it lies goes
/// through a stage: f16 (widened, and rounded once at the end), inputs in a buffer that is also
/// written, several outputs in one buffer.
pub(super) fn with_operands(
    memory: &Arc<Memory>,
    op: &Op,
    ins: &[View],
    outs: &[View],
    kernel: impl FnOnce(&[In<'_>], &mut [Out<'_>]) -> Result<()>,
) -> Result<()> {
    let Held { mut guards, ins: in_guards, outs: out_guards } = Held::lock(op.name(), ins, outs)?;

    let mut in_stages = Vec::with_capacity(ins.len());
    for (i, (view, &guard)) in ins.iter().zip(&in_guards).enumerate() {
        let guard = &guards[guard];
        let stage = view.dtype == DType::F16 || matches!(guard, Guard::Write(_));
        let load = || Stage::input(memory, guard.words(), view);
        in_stages.push((reads(op, i) && stage).then(load).transpose()?);
    }
    let mut out_stages = Vec::with_capacity(outs.len());
    for (i, (view, &guard)) in outs.iter().zip(&out_guards).enumerate() {
        let stage = view.dtype == DType::F16
            || out_guards[..i].contains(&guard)
            || (contiguous_outputs(op) && !view.layout.is_contiguous());
        let make = || Stage::output(memory, guards[guard].words(), view, op.in_place());
        out_stages.push(stage.then(make).transpose()?);
    }

    let (shared, mut unique) = memories(&mut guards);
    let reading: Vec<In<'_>> = (ins.iter().zip(&in_guards).zip(&in_stages))
        .map(|((view, &guard), stage)| match stage {
            Some(stage) => stage.as_in(),
            None => In { words: shared[guard], layout: view.layout, dtype: view.dtype },
        })
        .collect();
    let mut writing: Vec<Out<'_>> = (outs.iter().zip(&out_guards).zip(&mut out_stages))
        .map(|((view, &guard), stage)| match stage {
            Some(stage) => stage.as_out(),
            None => {
                let words = unique[guard].take().unwrap_or(&mut []);
                Out { words, layout: view.layout, dtype: view.dtype }
            }
        })
        .collect();
    kernel(&reading, &mut writing)?;

    for ((view, &guard), stage) in outs.iter().zip(&out_guards).zip(&out_stages) {
        if let (Some(stage), Guard::Write(words)) = (stage, &mut guards[guard]) {
            stage.store(words.of_mut(), view)?;
        }
    }
    Ok(())
}

/// Locks the buffers of views and runs `work` on their memory: what `ins` show for reading, what `outs` show for
/// writing. Each output has a buffer that no other operand has.
pub(super) fn with_buffers(
    op: &'static str,
    ins: &[View],
    outs: &[View],
    work: impl FnOnce(&[&[u64]], Vec<&mut [u64]>) -> Result<()>,
) -> Result<()> {
    let Held { mut guards, ins: in_guards, outs: out_guards } = Held::lock(op, ins, outs)?;
    let (shared, mut unique) = memories(&mut guards);
    let reading: Vec<&[u64]> = in_guards.iter().map(|&guard| shared[guard]).collect();
    let writing = out_guards.iter().map(|&guard| unique[guard].take());
    let writing = writing.collect::<Option<Vec<_>>>();
    let writing = writing.ok_or_else(|| Error::internal(op, "two outputs in one buffer"))?;
    work(&reading, writing)
}
