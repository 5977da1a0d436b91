//! Reads: a copy to memory the host can map, and with it the fault word.

use crate::{fault::FAULT_BYTES, fault::scoped, recorder::Recorder};
use futures_intrusive::channel::shared::oneshot_channel;
use std::{ops::Range, sync::Arc};
use wgrad_core::{Error, Pending, Result};

/// Staging buffers up to this size are kept for reuse.
const KEPT_STAGING: u64 = 16 << 20;

impl Recorder {
    /// Reads a byte range as it is after everything recorded before, and the fault word with it, which
    /// is then reported and cleared if `settle` says so.
    pub fn download(
        self: &Arc<Self>,
        src: Option<(&wgpu::Buffer, Range<usize>)>,
        settle: bool,
    ) -> Result<Pending> {
        self.sticky.check()?;
        let (buffer, range) = match src {
            Some((buffer, range)) => (Some(buffer), range),
            None => (None, 0..0),
        };
        // Copies go by whole words.
        let from = range.start & !3;
        let bytes = (range.end - from).next_multiple_of(4) as u64;
        // Small ones are kept for reuse, so they come in few sizes.
        let need = bytes + FAULT_BYTES;
        let size = if need <= KEPT_STAGING { need.next_power_of_two().max(256) } else { need };
        let mut state = self.state();
        let reused = state.staging.iter().position(|b| b.size() == size);
        let staging = match reused {
            Some(i) => state.staging.swap_remove(i),
            None => scoped(&self.device, "read", || {
                self.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("wgrad staging"),
                    size,
                    usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                    mapped_at_creation: false,
                })
            })?,
        };
        let mut encoder = self.take_encoder(&mut state);
        encoder.copy_buffer_to_buffer(&self.fault, 0, &staging, 0, FAULT_BYTES);
        if let Some(buffer) = buffer.filter(|_| bytes > 0) {
            encoder.copy_buffer_to_buffer(buffer, from as u64, &staging, FAULT_BYTES, bytes);
        }
        // What was recorded up to here is what this read can speak for.
        let upto = state.watch.serial();
        self.submit(&mut state, encoder)?;
        self.count(|c| c.downloads += 1);
        drop(state);
        let (sender, receiver) = oneshot_channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            let _ = sender.send(result);
        });
        let (reader, driver) = (self.clone(), self.clone());
        let skip = range.start - from;
        let length = range.end - range.start;
        let read = async move {
            match receiver.receive().await {
                Some(Ok(())) => {}
                _ => {
                    reader.sticky.check()?;
                    return Err(Error::lost("read", "the device gave no answer; it may be lost"));
                }
            }
            let (fault, bytes) = {
                let view = staging
                    .get_mapped_range(..)
                    .map_err(|e| Error::internal("read", format!("mapped memory: {e}")))?;
                let fault: Vec<u32> = bytemuck::pod_collect_to_vec(&view[..FAULT_BYTES as usize]);
                let start = FAULT_BYTES as usize + skip;
                (fault, view[start..start + length].to_vec())
            };
            staging.unmap();
            {
                let mut state = reader.state();
                if state.staging.len() < 16 && staging.size() <= KEPT_STAGING {
                    state.staging.push(staging);
                }
            }
            if settle {
                reader.settle(&fault, upto).await?;
            }
            Ok(bytes)
        };
        Ok(Pending::new(Box::pin(read), move |timeout| driver.wait(timeout)))
    }

    /// Waits until everything recorded is done, and reports any fault.
    pub fn sync(self: &Arc<Self>) -> Result<()> {
        self.download(None, true)?.wait(wgrad_core::READ_TIMEOUT).map(|_| ())
    }
}
