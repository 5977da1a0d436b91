//! The memory of a plan's values.

use crate::{memory::GpuBuf, recorder::Recorder};
use wgrad_core::{Buf, Place, Result, Role, Sharing, Source, Trace, Value, View, foreign_buffer};

/// A buffer for each value, but for those whose memory is given away with the results.
pub(super) struct Memory {
    pub bufs: Vec<Option<Buf>>,
    /// For each input whether the step writes it: then it must be a copy.
    pub written: Vec<bool>,
    /// Sizes of the buffers that temporaries share.
    pub shared: Vec<usize>,
}

impl Memory {
    /// `touched`: the values of each item; `away`: which outputs are given away; `watched`: values that must
    /// last to the end.
    pub fn new(
        recorder: &Recorder,
        values: &[Value],
        touched: &[Vec<usize>],
        trace: &Trace,
        away: &[bool],
        watched: &[usize],
    ) -> Result<Memory> {
        let outputs = || trace.outputs.iter().map(|place| place.value).zip(away);
        let given: Vec<usize> =
            outputs().filter(|(_, away)| **away).map(|(value, _)| value).collect();
        let stay = outputs().filter(|(_, away)| !**away).map(|(value, _)| value);
        let kept: Vec<usize> = stay.chain(watched.iter().copied()).collect();
        let own = |values: &Vec<usize>| {
            values.iter().copied().filter(|value| !given.contains(value)).collect()
        };
        let touched: Vec<Vec<usize>> = touched.iter().map(own).collect();
        let sharing = Sharing::new(values, &touched, &kept);
        let mut roles = vec![Role::Scratch; sharing.bytes.len()];
        for (value, buffer) in values.iter().zip(&sharing.buffer_of) {
            // Shared memory counts for a role of what it is for: anything but scratch.
            if let (Some(buffer), false) = (*buffer, value.role == Role::Scratch) {
                roles[buffer] = value.role;
            }
        }
        let alloc = |(&bytes, &role): (&usize, &Role)| recorder.buf(bytes, role);
        let shared = sharing.bytes.iter().zip(&roles).map(alloc).collect::<Result<Vec<Buf>>>()?;
        let mut memory = Memory {
            bufs: Vec::with_capacity(values.len()),
            written: Vec::new(),
            shared: sharing.bytes,
        };
        let writes =
            |i: usize| trace.calls.iter().flat_map(|call| &call.outs).any(|place| place.value == i);
        for (i, (value, buffer)) in values.iter().zip(&sharing.buffer_of).enumerate() {
            let buf = match (&value.source, buffer) {
                (Source::External(buf), _) => Some(buf.clone()),
                (Source::Input(_), _) => {
                    memory.written.push(writes(i));
                    None
                }
                (Source::Temporary, buffer) => buffer.map(|i| shared[i].clone()),
            };
            memory.bufs.push(buf);
        }
        Ok(memory)
    }

    /// A place as an operand.
    pub fn view(&self, place: &Place) -> Result<View> {
        let buf = self.bufs.get(place.value).cloned().flatten();
        let buf = buf.ok_or_else(|| foreign_buffer("plan"))?;
        Ok(View { buf, layout: place.layout, dtype: place.dtype })
    }
}

/// The wgpu buffer behind a handle.
pub(super) fn raw_buf(buf: &Buf) -> Result<&wgpu::Buffer> {
    buf.downcast::<GpuBuf>().ok_or_else(|| foreign_buffer("plan"))?.raw()
}
