//! Element-wise operations in a row, done on a strip of elements at a time: what passes between them stays in
//! the cache and needs no memory of its own.

use crate::{
    DType, Layout, MAX_RANK, Op, Place, Result, Role, Shape, Sharing, Source, Trace, Value,
    cpu::{
        kernel,
        memory::Memory,
        operand::{In, Out},
        parallel,
    },
    layout::collapse_all,
};
use std::{mem::take, ops::Range, panic::Location, sync::Arc};

/// Elements of a strip: as many as lie in a core's second cache several times over, and enough to make the call
/// of a kernel cheap.
const STRIP: usize = 1 << 13;
/// Operations of a group, at most: the strips of more than these may not lie in a cache.
const MOST: usize = 64;

/// Whether each element of the result depends on the same element of the operands alone.
fn element_wise(op: &Op) -> bool {
    use Op::{
        Binary, Cast, Compare, CompareScalar, Copy, Mask, Scalar, Unary, UnaryBackward, Where,
    };
    matches!(
        op,
        Unary(_) | UnaryBackward(_) | Binary(_) | Scalar(_) | Compare(_) | CompareScalar(_)
    ) || matches!(op, Where(_) | Mask(_) | Cast(_) | Copy(_))
}

/// Where an operation finds an operand.
enum Operand {
    /// In memory from outside, by its number; the layout shows the shape of all strips together.
    Outside(usize, Layout),
    /// In the strip that an operation before it wrote, by the number of that strip.
    Strip(usize),
}

/// One operation of a group.
struct Link {
    op: Op,
    ins: Vec<(Operand, DType)>,
    /// The strip it writes.
    out: usize,
    dtype: DType,
    at: &'static Location<'static>,
}

/// Several operations as one walk over memory.
pub(super) struct Strips {
    links: Vec<Link>,
    /// Bytes of each strip that only the group sees; the strips of its outputs are numbered after them.
    scratch: Vec<usize>,
    cut: Cut,
    /// What it reads from outside.
    pub ins: Vec<Place>,
    /// What others read of it.
    pub outs: Vec<Place>,
}

/// How a shape is cut into strips: ranges along `axis`, for each index of the axes before it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cut {
    shape: Shape,
    axis: usize,
    /// Indices along the axis in one strip.
    height: usize,
}

impl Cut {
    /// `None` where strips would not begin at whole words of memory, in which kernels get it.
    fn of(shape: Shape) -> Option<Cut> {
        let below = |axis: usize| shape[axis + 1..].iter().product::<usize>();
        let axis = (0..shape.rank()).find(|&axis| below(axis) <= STRIP)?;
        let mut height = (STRIP / below(axis).max(1)).clamp(1, shape[axis].max(1));
        if height < shape[axis] && (height * below(axis)) % 2 == 1 {
            height += 1;
        }
        let cut = Cut { shape, axis, height };
        let whole_words = cut.outer() == 1 || (shape[axis] * below(axis)).is_multiple_of(2);
        whole_words.then_some(cut)
    }

    /// Elements for one index of the axis.
    fn below(&self) -> usize {
        self.shape[self.axis + 1..].iter().product()
    }

    fn outer(&self) -> usize {
        self.shape[..self.axis].iter().product()
    }

    /// Strips for one index of the axes before.
    fn per_outer(&self) -> usize {
        self.shape[self.axis].div_ceil(self.height)
    }

    fn count(&self) -> usize {
        self.outer() * self.per_outer()
    }

    /// The indices along the axis that strip `k` shows.
    fn rows(&self, k: usize) -> Range<usize> {
        let start = k % self.per_outer() * self.height;
        start..self.shape[self.axis].min(start + self.height)
    }

    /// The first element of strip `k`; for `k = count`, one past the last.
    fn start(&self, k: usize) -> usize {
        let (outer, rest) = (k / self.per_outer(), k % self.per_outer());
        (outer * self.shape[self.axis] + rest * self.height) * self.below()
    }

    /// What strip `k` shows of a view of the whole shape.
    fn strip(&self, view: &Layout, k: usize) -> Layout {
        let rows = self.rows(k);
        let mut offset = view.offset + rows.start * view.strides[self.axis];
        let mut outer = k / self.per_outer();
        for axis in (0..self.axis).rev() {
            offset += outer % self.shape[axis] * view.strides[axis];
            outer /= self.shape[axis];
        }
        let mut shape = [0; MAX_RANK];
        let rank = self.shape.rank() - self.axis;
        shape[..rank].copy_from_slice(&self.shape[self.axis..]);
        shape[0] = rows.len();
        let strides = Shape::from_checked(&view.strides[self.axis..]);
        Layout { shape: Shape::from_checked(&shape[..rank]), strides, offset }
    }
}

impl Strips {
    /// The group that `calls` of the trace make, if they can be done in strips.
    fn of(trace: &Trace, calls: Range<usize>, uses: &Uses) -> Option<Strips> {
        let shape = trace.calls.get(calls.start)?.outs.first()?.layout.shape;
        let group = &trace.calls[calls.clone()];
        let makes = |value: usize| uses.maker_in(value, &calls).map(|call| call - calls.start);

        let mut outside: Vec<Place> = Vec::new();
        for place in group.iter().flat_map(|call| &call.ins) {
            if makes(place.value).is_none() && !outside.contains(place) {
                outside.push(*place);
            }
        }
        // The last view is that of the outputs.
        let mut views: Vec<Layout> =
            outside.iter().map(|place| place.layout.stretched(shape)).collect();
        views.push(Layout::contiguous(shape));
        collapse_all(&mut views);
        let whole = views.pop()?;
        let one = Shape::from_checked(&[1]);
        // A single element keeps an axis to be cut along.
        let scalar = whole.shape.rank() == 0;
        let cut = Cut::of(if scalar { one } else { whole.shape })?;
        if scalar {
            let stretch = |view: &Layout| Layout { shape: one, strides: one, offset: view.offset };
            views = views.iter().map(stretch).collect();
        }

        // Strips share memory as values of a plan do.
        let escapes = |value: usize| uses.after(value, calls.end);
        let strip = cut.height * cut.below();
        let values: Vec<Value> = (group.iter())
            .map(|call| Value {
                source: Source::Temporary,
                bytes: strip * call.outs[0].dtype.size(),
                role: Role::Scratch,
            })
            .collect();
        let kept = |link: &usize| escapes(group[*link].outs[0].value);
        let inside = |call: &crate::Call| -> Vec<usize> {
            call.values().filter_map(makes).filter(|link| !kept(link)).collect()
        };
        let sharing = Sharing::new(&values, &group.iter().map(inside).collect::<Vec<_>>(), &[]);
        let outs: Vec<usize> = (0..group.len()).filter(kept).collect();
        let strip_of = |link: usize| match outs.binary_search(&link) {
            Ok(out) => Some(sharing.bytes.len() + out),
            Err(_) => sharing.buffer_of[link],
        };

        let mut links = Vec::with_capacity(group.len());
        for (i, call) in group.iter().enumerate() {
            let operand = |place: &Place| -> Option<(Operand, DType)> {
                let operand = match makes(place.value) {
                    Some(link) => Operand::Strip(strip_of(link)?),
                    None => {
                        let at = outside.iter().position(|other| other == place)?;
                        Operand::Outside(at, views[at])
                    }
                };
                Some((operand, place.dtype))
            };
            links.push(Link {
                op: call.op.clone(),
                ins: call.ins.iter().map(operand).collect::<Option<_>>()?,
                out: strip_of(i)?,
                dtype: call.outs[0].dtype,
                at: call.at,
            });
        }
        let outs = outs.iter().map(|&link| group[link].outs[0]).collect();
        Some(Strips { links, scratch: sharing.bytes, cut, ins: outside, outs })
    }

    /// Runs the operations; `reading` and `writing` are the memory of `ins` and `outs`.
    pub fn run(
        &self,
        memory: &Arc<Memory>,
        reading: &[&[u64]],
        writing: Vec<&mut [u64]>,
    ) -> Result<()> {
        let (cut, count) = (&self.cut, self.cut.count());
        let threads = parallel::threads(cut.shape.numel() * self.links.len());
        let each = if threads == 1 { count } else { count.div_ceil(threads * 4) };
        let mut left = writing;
        let mut tasks = Vec::with_capacity(count.div_ceil(each.max(1)));
        for first in (0..count).step_by(each.max(1)) {
            let strips = first..count.min(first + each);
            let elements = cut.start(strips.end) - cut.start(first);
            let parts = left.iter_mut().zip(&self.outs);
            let parts: Vec<&mut [u64]> = parts
                .map(|(left, place)| take_words(left, elements * place.dtype.size()))
                .collect();
            tasks.push((strips, parts));
        }
        parallel::try_run(threads, tasks, |(strips, parts)| {
            self.run_some(memory, reading, parts, strips)
        })
    }

    /// Runs the operations on some strips; `writing` is what these strips write.
    fn run_some(
        &self,
        memory: &Arc<Memory>,
        reading: &[&[u64]],
        mut writing: Vec<&mut [u64]>,
        strips: Range<usize>,
    ) -> Result<()> {
        let scratch = self.scratch.iter().map(|&bytes| memory.scratch(bytes));
        let mut scratch = scratch.collect::<Result<Vec<_>>>()?;
        for k in strips {
            let elements = self.cut.rows(k).len() * self.cut.below();
            let shape = self.cut.strip(&Layout::contiguous(self.cut.shape), k).shape;
            let mut memories: Vec<&mut [u64]> =
                scratch.iter_mut().map(|words| words.of_mut()).collect();
            for (part, place) in writing.iter_mut().zip(&self.outs) {
                memories.push(take_words(part, elements * place.dtype.size()));
            }
            for link in &self.links {
                let words = take(&mut memories[link.out]);
                let mut out = [Out { words, layout: Layout::contiguous(shape), dtype: link.dtype }];
                let operand = |(operand, dtype): &(Operand, DType)| match operand {
                    Operand::Outside(i, view) => {
                        In { words: reading[*i], layout: self.cut.strip(view, k), dtype: *dtype }
                    }
                    Operand::Strip(i) => {
                        let layout = Layout::contiguous(shape);
                        In { words: &*memories[*i], layout, dtype: *dtype }
                    }
                };
                let ins: Vec<In<'_>> = link.ins.iter().map(operand).collect();
                kernel(memory, &link.op, &ins, &mut out).map_err(|e| e.at(link.at))?;
                let [out] = out;
                memories[link.out] = out.words;
            }
        }
        Ok(())
    }
}

/// Cuts so many bytes from the front; a part of a word at the end counts as a whole one.
fn take_words<'a>(left: &mut &'a mut [u64], bytes: usize) -> &'a mut [u64] {
    let words = take(left);
    let (front, rest) = words.split_at_mut(bytes.div_ceil(size_of::<u64>()).min(words.len()));
    *left = rest;
    front
}

/// Which calls write and read the values of a trace.
struct Uses {
    /// The call that writes it, and whether it is the only one.
    writer: Vec<Option<(usize, bool)>>,
    /// One past the last call that reads it; `usize::MAX` for what the step returns.
    last: Vec<usize>,
}

impl Uses {
    fn of(trace: &Trace) -> Uses {
        let mut uses =
            Uses { writer: vec![None; trace.values.len()], last: vec![0; trace.values.len()] };
        for (i, call) in trace.calls.iter().enumerate() {
            for place in &call.outs {
                let writer = &mut uses.writer[place.value];
                *writer = Some((i, writer.is_none()));
            }
            call.ins.iter().for_each(|place| uses.last[place.value] = i + 1);
        }
        trace.outputs.iter().for_each(|place| uses.last[place.value] = usize::MAX);
        uses
    }

    /// The one of these calls that writes the value, if no other call does.
    fn maker_in(&self, value: usize, calls: &Range<usize>) -> Option<usize> {
        self.writer[value]
            .filter(|(call, only)| *only && calls.contains(call))
            .map(|(call, _)| call)
    }

    /// Whether anyone needs the value after the calls before `end`.
    fn after(&self, value: usize, end: usize) -> bool {
        self.last[value] > end
    }
}

/// The groups of a trace, each with the calls it takes in: two or more, one right after the other, with results of
/// one shape.
pub(super) fn groups(trace: &Trace) -> Vec<(Range<usize>, Strips)> {
    let uses = Uses::of(trace);
    // An f16 operand goes through memory of its own, and so stays alone.
    let fits = |at: usize| {
        let call = &trace.calls[at];
        let [out] = call.outs.as_slice() else { return false };
        let value = &trace.values[out.value];
        let numel = out.layout.numel();
        element_wise(&call.op)
            && call.ins.iter().chain([out]).all(|place| place.dtype != DType::F16)
            && matches!(value.source, Source::Temporary)
            && uses.writer[out.value] == Some((at, true))
            && out.layout == Layout::contiguous(out.layout.shape)
            && numel > 0
            && numel * out.dtype.size() == value.bytes
    };
    // What the group itself makes is read as it was written, or not in this group.
    let joins = |call: &crate::Call, group: Range<usize>| {
        let first = trace.calls.get(group.start).filter(|_| !group.is_empty());
        let shape = |call: &crate::Call| call.outs[0].layout.shape;
        let straight = |place: &Place| {
            let maker = uses.maker_in(place.value, &group);
            maker.is_none_or(|maker| trace.calls[maker].outs[0] == *place)
        };
        first.is_none_or(|first| shape(first) == shape(call)) && call.ins.iter().all(straight)
    };
    let mut groups = Vec::new();
    let mut start = 0;
    while start < trace.calls.len() {
        let mut end = start;
        while let Some(call) = trace.calls.get(end)
            && end - start < MOST
            && fits(end)
            && joins(call, start..end)
        {
            end += 1;
        }
        if end - start >= 2
            && let Some(group) = Strips::of(trace, start..end, &uses)
        {
            groups.push((start..end, group));
        }
        start = end.max(start + 1);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_are_all_elements_once_and_begin_at_whole_words() {
        let shapes: [&[usize]; 7] = [
            &[1],
            &[100_003],
            &[5, 20_001],
            &[4, 20_002],
            &[3, 8196, 3],
            &[2, 3, 2, 5000, 4],
            &[9, 8192],
        ];
        for shape in shapes {
            let shape = Shape::from_checked(shape);
            let Some(cut) = Cut::of(shape) else {
                assert_eq!(&shape[..], [5, 20_001], "whose rows begin at half words");
                continue;
            };
            let whole = Layout::contiguous(shape);
            let mut next = 0;
            for k in 0..cut.count() {
                let strip = cut.strip(&whole, k);
                assert_eq!((strip.offset, cut.start(k)), (next, next), "{shape:?}, strip {k}");
                assert!(
                    strip.is_contiguous() && strip.offset % 2 == 0 && strip.numel() <= 2 * STRIP
                );
                next += strip.numel();
            }
            assert_eq!((next, cut.start(cut.count())), (shape.numel(), shape.numel()));
        }
    }
}
