//! Device memory: a pool of buffers by size, and the ledger of who uses it.

use crate::fault::{Sticky, scoped};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use wgrad_core::{Error, ErrorKind, Ledger, MemoryReport, Result, Role};

/// The pool. Buffers return at once when dropped: all work goes through one ordered stream, so what
/// still uses a buffer runs before whatever its next owner does.
pub(crate) struct Pool {
    device: wgpu::Device,
    sticky: Arc<Sticky>,
    max_buffer: u64,
    ledger: Ledger,
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    by_size: HashMap<u64, Vec<wgpu::Buffer>>,
    bytes: u64,
}

/// A buffer in use.
pub(crate) struct GpuBuf {
    buffer: Option<wgpu::Buffer>,
    size: u64,
    role: Role,
    pool: Arc<Pool>,
}

impl GpuBuf {
    /// The wgpu buffer; `None` only while being dropped.
    pub fn raw(&self) -> Result<&wgpu::Buffer> {
        self.buffer.as_ref().ok_or_else(|| Error::internal("gpu", "a buffer used after its drop"))
    }
}

impl Drop for GpuBuf {
    fn drop(&mut self) {
        self.pool.ledger.sub(self.role, self.size as usize);
        if let Some(buffer) = self.buffer.take() {
            let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
            // What is kept for reuse never makes more than was needed at once before.
            let report = self.pool.ledger.report((free.bytes + self.size) as usize);
            if report.in_use() + report.pooled <= report.peak {
                free.by_size.entry(self.size).or_default().push(buffer);
                free.bytes += self.size;
            }
        }
    }
}

/// The size a request is rounded up to, so that buffers are reused: steps of an eighth of the power
/// of two below, at least 256 bytes. Always a multiple of 16, so that vec4 bindings see whole vectors.
fn size_class(bytes: usize) -> u64 {
    let bytes = (bytes as u64).max(1);
    let step = (bytes.next_power_of_two() / 16).max(256);
    bytes.next_multiple_of(step)
}

impl Pool {
    pub fn new(device: wgpu::Device, sticky: Arc<Sticky>, max_buffer: u64) -> Arc<Pool> {
        Arc::new(Pool {
            device,
            sticky,
            max_buffer,
            ledger: Ledger::default(),
            free: Mutex::new(Free::default()),
        })
    }

    /// Memory for `bytes`. `relieve` is called once if the device has none left: it should finish
    /// pending work, so that freed buffers really are free.
    pub fn alloc(
        self: &Arc<Self>,
        bytes: usize,
        role: Role,
        relieve: impl FnOnce() -> Result<()>,
    ) -> Result<Arc<GpuBuf>> {
        self.sticky.check()?;
        let most = self.max_buffer & !15;
        let size =
            if bytes as u64 <= most { size_class(bytes).min(most) } else { size_class(bytes) };
        if size > most {
            return Err(Error::size(
                "alloc",
                format!(
                    "{bytes} bytes in one tensor; this adapter's buffers have at most {}; split the tensor",
                    most
                ),
            ));
        }
        let pooled = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            let buffer = free.by_size.get_mut(&size).and_then(Vec::pop);
            if buffer.is_some() {
                free.bytes -= size;
            }
            buffer
        };
        let buffer = match pooled {
            Some(buffer) => buffer,
            None => match self.create(size) {
                Err(e) if e.kind() == ErrorKind::Memory => {
                    relieve()?;
                    self.trim();
                    self.create(size).map_err(|_| self.out_of_memory(bytes))?
                }
                other => other?,
            },
        };
        self.ledger.add(role, size as usize);
        Ok(Arc::new(GpuBuf { buffer: Some(buffer), size, role, pool: self.clone() }))
    }

    fn create(&self, size: u64) -> Result<wgpu::Buffer> {
        scoped(&self.device, "alloc", || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgrad tensor"),
                size,
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
    }

    fn out_of_memory(&self, bytes: usize) -> Error {
        let report = self.report();
        let mut owners: Vec<(usize, Role)> =
            Role::ALL.iter().map(|&role| (report.role(role), role)).collect();
        owners.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let owners: Vec<String> = owners
            .iter()
            .filter(|(bytes, _)| *bytes > 0)
            .map(|(bytes, role)| format!("{role:?} {bytes}"))
            .collect();
        Error::memory(
            "alloc",
            format!(
                "no memory for {bytes} bytes; in use {} ({}); drop tensors or use a smaller batch",
                report.in_use(),
                owners.join(", ")
            ),
        )
    }

    pub fn report(&self) -> MemoryReport {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        self.ledger.report(free.bytes as usize)
    }

    /// Gives all unused buffers back.
    pub fn trim(&self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = Free::default();
    }
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn size_classes_waste_little_and_keep_vectors_whole() {
        assert_eq!(size_class(0), 256);
        assert_eq!(size_class(257), 512);
        for bytes in [1usize, 255, 4097, 1_000_003, 134_217_728, 134_217_729] {
            let size = size_class(bytes);
            assert!(size >= bytes as u64 && size.is_multiple_of(256), "{bytes}");
            assert!(size <= (bytes as u64).max(2048) * 9 / 8 + 256, "{bytes} -> {size}");
        }
    }
}
