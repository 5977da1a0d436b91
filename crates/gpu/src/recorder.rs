//! The one ordered stream: launches, copies, uploads and reads, in the order they were asked for.
//! Launches gather in one pass and are submitted when something is read or uploaded, or when the
//! recorded work passes a bound.

use crate::{
    Caps,
    fault::{FAULT_BYTES, NO_FAULT, Sticky, scoped},
    launch::{Launch, Program, Slot, Watch},
    memory::{GpuBuf, Pool},
    pipeline::{PARAMS_BYTES, Pipeline, Pipelines},
};
use futures_intrusive::channel::shared::oneshot_channel;
use std::{
    collections::VecDeque,
    ops::Range,
    panic::Location,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use wgrad_core::{DType, Error, ErrorKind, Pending, Result, Role, View, foreign_buffer};

/// Launches gathered before a submit.
const MAX_LAUNCHES: usize = 256;
/// Submits in flight before recording waits: bounds memory and latency.
const MAX_IN_FLIGHT: usize = 8;
/// Index operands remembered for messages before a check is forced, and their bytes.
const MAX_WATCHED: usize = 1024;
const MAX_WATCHED_BYTES: usize = 64 << 20;
/// Bytes uploaded before a submit, so that wgpu can let go of its copies.
const MAX_UPLOADED: usize = 64 << 20;
/// Staging buffers up to this size are kept for reuse.
const KEPT_STAGING: u64 = 16 << 20;
/// Reported faults remembered for reads that were under way.
const MAX_REPORTED: usize = 64;

/// A launch ready to be encoded.
struct Recorded {
    pipeline: Arc<Pipeline>,
    group: wgpu::BindGroup,
    params_at: u32,
    grid: [u32; 2],
}

/// A launch that checks indices, kept until its outcome is known.
struct Watched {
    serial: u32,
    op: &'static str,
    at: Option<&'static Location<'static>>,
    index: View,
    limit: usize,
}

#[derive(Default)]
struct State {
    launches: Vec<Recorded>,
    params: Vec<u8>,
    work: u64,
    serial: u32,
    watched: Vec<Watched>,
    /// Bytes written since the last submit: wgpu holds them twice until one is done.
    uploaded: usize,
    /// Faults already reported, for reads that were under way at the time.
    reported: VecDeque<(u32, Error)>,
    /// A fault that was found where nobody could be told; the next read tells.
    owed: Option<Error>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    staging: Vec<wgpu::Buffer>,
}

impl Watched {
    fn error(&self, value: i64, position: usize) -> Error {
        let error = wgrad_core::bad_index(self.op, value, position, self.limit);
        match self.at {
            Some(at) => error.at(at),
            None => error,
        }
    }
}

impl State {
    fn watched_bytes(&self) -> usize {
        self.watched.iter().map(|w| w.index.buf.bytes()).sum()
    }
}

/// Counts for tests and reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Dispatches recorded.
    pub dispatches: u64,
    /// Submits made.
    pub submits: u64,
    /// Reads started.
    pub downloads: u64,
    /// Uploads made.
    pub uploads: u64,
    /// Pipelines built.
    pub pipelines: u64,
}

pub(crate) struct Recorder {
    device: wgpu::Device,
    queue: wgpu::Queue,
    caps: Caps,
    sticky: Arc<Sticky>,
    pool: Arc<Pool>,
    pipelines: Pipelines,
    arena: wgpu::Buffer,
    fault: wgpu::Buffer,
    zeros: wgpu::Buffer,
    max_work: u64,
    state: Mutex<State>,
    counts: Mutex<Counts>,
    /// Names of the kernels dispatched, while a test listens.
    listener: Mutex<Option<Vec<wgrad_shaders::Kernel>>>,
}

impl Recorder {
    pub fn new(
        device: wgpu::Device,
        queue: wgpu::Queue,
        caps: Caps,
        sticky: Arc<Sticky>,
        pool: Arc<Pool>,
        pipelines: Pipelines,
    ) -> Result<Recorder> {
        let buffer = |label, size, usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage: usage | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let (arena, fault, zeros) = scoped(&device, "open", || {
            (
                buffer(
                    "wgrad params",
                    MAX_LAUNCHES as u64 * PARAMS_BYTES,
                    wgpu::BufferUsages::UNIFORM,
                ),
                buffer(
                    "wgrad fault",
                    FAULT_BYTES,
                    wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
                ),
                // New buffers read as zero.
                buffer("wgrad zeros", 256, wgpu::BufferUsages::STORAGE),
            )
        })?;
        queue.write_buffer(&fault, 0, bytemuck::cast_slice(&NO_FAULT));
        Ok(Recorder {
            // No submit may run long enough for a driver's watchdog (2 s on Windows).
            max_work: if caps.software { 2_000_000_000 } else { 100_000_000_000 },
            device,
            queue,
            caps,
            sticky,
            pool,
            pipelines,
            arena,
            fault,
            zeros,
            state: Mutex::default(),
            counts: Mutex::default(),
            listener: Mutex::default(),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, f: impl FnOnce(&mut Counts)) {
        f(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn counts(&self) -> Counts {
        let counts = *self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        Counts { pipelines: self.pipelines.count() as u64, ..counts }
    }

    /// Runs `f` and returns the kernels dispatched meanwhile, from all threads.
    pub fn listen<T>(&self, f: impl FnOnce() -> T) -> (T, Vec<wgrad_shaders::Kernel>) {
        let lock = || self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        *lock() = Some(Vec::new());
        let value = f();
        let heard = lock().take().unwrap_or_default();
        (value, heard)
    }

    pub fn alloc(&self, bytes: usize, role: Role) -> Result<Arc<GpuBuf>> {
        self.pool.alloc(bytes, role, || {
            {
                let mut state = self.state();
                self.submit_now(&mut state)?;
                state.staging.clear();
            }
            self.wait(Duration::from_secs(60))
        })
    }

    /// Records a program.
    pub fn record(
        self: &Arc<Self>,
        op: &'static str,
        program: &Program,
        ins: &[View],
        outs: &[View],
    ) -> Result<()> {
        self.sticky.check()?;
        let scratch: Vec<Arc<GpuBuf>> = program
            .scratch
            .iter()
            .map(|&bytes| self.alloc(bytes, Role::Scratch))
            .collect::<Result<_>>()?;
        // All or nothing: every pipeline is there before anything is recorded, and no other thread
        // comes in between.
        let pipelines: Vec<Arc<Pipeline>> = program
            .launches
            .iter()
            .map(|launch| self.pipelines.get(launch, &self.caps))
            .collect::<Result<_>>()?;
        let mut state = self.state();
        for (launch, pipeline) in program.launches.iter().zip(pipelines) {
            let full = state.launches.len() >= MAX_LAUNCHES
                || (state.work > 0 && state.work.saturating_add(launch.work) > self.max_work);
            if full {
                self.flush(&mut state)?;
            }
            self.push(&mut state, op, launch, pipeline, ins, outs, &scratch)?;
        }
        let check = state.watched.len() >= MAX_WATCHED || state.watched_bytes() > MAX_WATCHED_BYTES;
        drop(state);
        if check && let Err(error) = self.sync() {
            if error.kind() != ErrorKind::Index {
                return Err(error);
            }
            // Not this operation's fault: whoever reads next hears of it.
            self.state().owed.get_or_insert(error);
        }
        Ok(())
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "the operands of one operation, passed through once"
    )]
    fn push(
        &self,
        state: &mut State,
        op: &'static str,
        launch: &Launch,
        pipeline: Arc<Pipeline>,
        ins: &[View],
        outs: &[View],
        scratch: &[Arc<GpuBuf>],
    ) -> Result<()> {
        let mut words = launch.params.clone();
        if let Some(Watch { input, limit, serial_word }) = launch.watch {
            words[serial_word] = state.serial;
            state.watched.push(Watched {
                serial: state.serial,
                op,
                at: wgrad_core::caller(),
                index: ins[input].clone(),
                limit,
            });
            state.serial += 1;
        }
        let params_at = state.params.len();
        state.params.extend_from_slice(bytemuck::cast_slice(&words));
        if state.params.len() > params_at + PARAMS_BYTES as usize {
            return Err(Error::internal(op, "a kernel's parameters are too long"));
        }
        state.params.resize(params_at + PARAMS_BYTES as usize, 0);
        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &self.arena,
                offset: 0,
                size: wgpu::BufferSize::new(PARAMS_BYTES),
            }),
        }];
        for binding in &launch.bindings {
            let buffer = match binding.slot {
                Slot::In(i) => raw(op, &ins[i])?,
                Slot::Out(i) => raw(op, &outs[i])?,
                Slot::Scratch(i) => scratch[i].raw()?,
                Slot::Fault => &self.fault,
                Slot::Zeros => &self.zeros,
            };
            let shown = buffer.size().min(self.caps.max_binding & !3);
            entries.push(wgpu::BindGroupEntry {
                binding: binding.at,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: 0,
                    size: wgpu::BufferSize::new(shown),
                }),
            });
        }
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(launch.kernel.name),
            layout: &pipeline.layout,
            entries: &entries,
        });
        if let Some(heard) = &mut *self.listener.lock().unwrap_or_else(PoisonError::into_inner) {
            heard.push(launch.kernel.clone());
        }
        state.launches.push(Recorded {
            pipeline,
            group,
            params_at: params_at as u32,
            grid: launch.grid,
        });
        state.work = state.work.saturating_add(launch.work);
        self.count(|c| c.dispatches += 1);
        Ok(())
    }

    /// Submits what is recorded.
    fn flush(&self, state: &mut State) -> Result<()> {
        if state.launches.is_empty() {
            return Ok(());
        }
        let encoder = self.encode(state);
        self.submit(state, encoder)
    }

    /// Submits what is recorded and what was written, even if no launch is.
    fn submit_now(&self, state: &mut State) -> Result<()> {
        let encoder = self.encode(state);
        self.submit(state, encoder)
    }

    fn encode(&self, state: &mut State) -> wgpu::CommandEncoder {
        let mut encoder = self
            .device
            .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("wgrad") });
        if !state.launches.is_empty() {
            // Written before the next submit runs and after all earlier ones: the arena can be reused.
            self.queue.write_buffer(&self.arena, 0, &state.params);
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("wgrad"),
                timestamp_writes: None,
            });
            for launch in &state.launches {
                pass.set_pipeline(&launch.pipeline.raw);
                pass.set_bind_group(0, &launch.group, &[launch.params_at]);
                pass.dispatch_workgroups(launch.grid[0], launch.grid[1], 1);
            }
        }
        state.launches.clear();
        state.params.clear();
        state.work = 0;
        encoder
    }

    fn submit(&self, state: &mut State, encoder: wgpu::CommandEncoder) -> Result<()> {
        let index = self.queue.submit([encoder.finish()]);
        state.uploaded = 0;
        self.count(|c| c.submits += 1);
        state.in_flight.push_back(index);
        if state.in_flight.len() > MAX_IN_FLIGHT
            && let Some(oldest) = state.in_flight.pop_front()
        {
            self.poll(wgpu::PollType::Wait {
                submission_index: Some(oldest),
                timeout: Some(Duration::from_secs(60)),
            })?;
        }
        self.sticky.check()
    }

    fn poll(&self, how: wgpu::PollType) -> Result<()> {
        match self.device.poll(how) {
            Ok(_) => self.sticky.check(),
            Err(wgpu::PollError::Timeout) => {
                self.sticky.check()?;
                Err(Error::timeout(
                    "gpu",
                    "the device did not finish in time; use smaller operations",
                ))
            }
            Err(e) => {
                self.sticky.check()?;
                Err(Error::lost("gpu", format!("waiting for the device failed: {e}")))
            }
        }
    }

    fn wait(&self, timeout: Duration) -> Result<()> {
        self.poll(wgpu::PollType::Wait { submission_index: None, timeout: Some(timeout) })
    }

    /// Writes bytes, after everything recorded before.
    pub fn upload(&self, dst: &wgpu::Buffer, at: usize, bytes: &[u8]) -> Result<()> {
        self.sticky.check()?;
        let mut state = self.state();
        // Written at once it could overtake a recorded launch that still uses this memory.
        self.flush(&mut state)?;
        let whole = bytes.len() & !3;
        self.queue.write_buffer(dst, at as u64, &bytes[..whole]);
        if whole < bytes.len() {
            let mut last = [0; 4];
            last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.queue.write_buffer(dst, (at + whole) as u64, &last);
        }
        self.count(|c| c.uploads += 1);
        state.uploaded += bytes.len();
        if state.uploaded > MAX_UPLOADED {
            self.submit_now(&mut state)?;
        }
        self.sticky.check()
    }

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
        let mut encoder = self.encode(&mut state);
        encoder.copy_buffer_to_buffer(&self.fault, 0, &staging, 0, FAULT_BYTES);
        if let Some(buffer) = buffer.filter(|_| bytes > 0) {
            encoder.copy_buffer_to_buffer(buffer, from as u64, &staging, FAULT_BYTES, bytes);
        }
        // What was recorded up to here is what this read can speak for.
        let upto = state.serial;
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

    /// Looks at a fault word that was read: forgets what went well, reports and clears what did not.
    async fn settle(self: &Arc<Self>, fault: &[u32], upto: u32) -> Result<()> {
        let &[serial, position, ..] = fault else {
            return Err(Error::internal("read", "the fault word is too short"));
        };
        if serial == u32::MAX {
            let mut state = self.state();
            state.watched.retain(|w| w.serial >= upto);
            return state.owed.take().map_or(Ok(()), Err);
        }
        let (watched, later) = {
            let mut state = self.state();
            let at = state.watched.iter().position(|w| w.serial == serial);
            let Some(at) = at else {
                // Another read has reported it already; what this one holds is no better.
                let known = state.reported.iter().find(|(s, _)| *s == serial);
                return known.map_or(Ok(()), |(_, error)| Err(error.clone()));
            };
            let watched = state.watched.swap_remove(at);
            // The word holds the first fault only: what was recorded after it is checked on the host.
            let recorded = std::mem::take(&mut state.watched);
            (watched, recorded.into_iter().filter(|w| w.serial > serial).collect::<Vec<_>>())
        };
        if let Err(error) = self.upload(&self.fault, 0, bytemuck::cast_slice(&NO_FAULT)) {
            // Still pending: the next read reports it.
            let mut state = self.state();
            state.watched.extend(later);
            state.watched.push(watched);
            return Err(error);
        }
        let indices = self.indices(&watched.index).await?;
        let value = indices.get(position as usize).copied().unwrap_or_default();
        let error = watched.error(value, position as usize);
        let mut owed = None;
        for watched in &later {
            let indices = self.indices(&watched.index).await?;
            let bad = indices.iter().position(|&i| !(0..watched.limit as i64).contains(&i));
            if let Some(at) = bad.filter(|_| owed.is_none()) {
                owed = Some(watched.error(indices[at], at));
            }
        }
        let mut state = self.state();
        if let Some(owed) = owed {
            state.owed.get_or_insert(owed);
        }
        state.reported.push_back((serial, error.clone()));
        if state.reported.len() > MAX_REPORTED {
            state.reported.pop_front();
        }
        Err(error)
    }

    /// All indices of an index operand, in row-major order.
    fn indices(
        self: &Arc<Self>,
        index: &View,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Vec<i64>>> + Send>> {
        let layout = index.layout;
        let signed = index.dtype == DType::I32;
        let read = raw("read", index).and_then(|buffer| {
            self.download(Some((buffer, layout.offset * 4..layout.end() * 4)), false)
        });
        Box::pin(async move {
            let words: Vec<u32> = bytemuck::pod_collect_to_vec(&read?.await?);
            let word = |position: usize| {
                let (mut rest, mut at) = (position, 0);
                for axis in (0..layout.shape.rank()).rev() {
                    at += rest % layout.shape[axis] * layout.strides[axis];
                    rest /= layout.shape[axis];
                }
                let word = words.get(at).copied().unwrap_or(u32::MAX);
                if signed { i64::from(word as i32) } else { i64::from(word) }
            };
            Ok((0..layout.numel()).map(word).collect())
        })
    }

    /// Waits until everything recorded is done, and reports any fault.
    pub fn sync(self: &Arc<Self>) -> Result<()> {
        self.download(None, true)?.wait(wgrad_core::READ_TIMEOUT).map(|_| ())
    }

    /// Gives the device up.
    pub fn destroy(&self) {
        self.sticky
            .set(Error::lost("gpu", "the device was given up with destroy(); open a new one"));
        self.device.destroy();
    }

    /// Gives unused memory back.
    pub fn trim(&self) {
        let mut state = self.state();
        if let Err(error) = self.submit_now(&mut state) {
            log::warn!("trim: {error}");
        }
        state.staging.clear();
        drop(state);
        self.pool.trim();
        let _ = self.device.poll(wgpu::PollType::Poll);
    }
}

fn raw<'v>(op: &'static str, view: &'v View) -> Result<&'v wgpu::Buffer> {
    view.buf.downcast::<GpuBuf>().ok_or_else(|| foreign_buffer(op))?.raw()
}
