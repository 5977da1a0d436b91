//! The one ordered stream: launches, uploads and reads (`readback`), in the order they were asked for.
//! Launches gather in one pass and are submitted when something is read or uploaded, or when the
//! recorded work passes a bound.

use crate::{
    Caps,
    fault::{FAULT_BYTES, NO_FAULT, Sticky, scoped},
    launch::{Launch, Program, Slot},
    memory::{GpuBuf, Pool},
    pipeline::{PARAMS_BYTES, Pipeline, Pipelines},
    watch::WatchList,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};
use wgrad_core::{Buf, Error, ErrorKind, Result, Role, View, foreign_buffer};

/// Launches gathered before a submit.
const MAX_LAUNCHES: usize = 256;
/// Submits in flight before recording waits: bounds memory and latency.
const MAX_IN_FLIGHT: usize = 8;
/// Bytes uploaded before a submit, so that wgpu can let go of its copies.
const MAX_UPLOADED: usize = 64 << 20;
/// How long a wait for the device asks again and again before it sleeps.
const AWAKE: Duration = Duration::from_micros(300);

/// A launch ready to be encoded any number of times.
pub(crate) struct Ready {
    pub pipeline: Arc<Pipeline>,
    pub params_at: u32,
    pub grid: [u32; 2],
    pub work: u64,
}

#[derive(Default)]
pub(crate) struct State {
    launches: Vec<(Ready, wgpu::BindGroup)>,
    /// Parameters of all launches since the last submit.
    params: Vec<u8>,
    /// Estimated work since the last submit.
    pub work: u64,
    /// What was encoded since the last submit.
    encoder: Option<wgpu::CommandEncoder>,
    /// How many submits there were.
    pub submits: u64,
    pub watch: WatchList,
    /// Bytes written since the last submit: wgpu holds them twice until one is done.
    uploaded: usize,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
    /// Buffers for reads, kept for reuse.
    pub staging: Vec<wgpu::Buffer>,
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

/// What keeps memory for later that can be had anew.
pub(crate) trait Trim: Send + Sync {
    fn trim(&self);
}

pub(crate) struct Recorder {
    pub device: wgpu::Device,
    queue: wgpu::Queue,
    caps: Caps,
    pub sticky: Arc<Sticky>,
    pool: Arc<Pool>,
    pipelines: Pipelines,
    arena: wgpu::Buffer,
    pub fault: wgpu::Buffer,
    zeros: wgpu::Buffer,
    spare: wgpu::Buffer,
    max_work: u64,
    state: Mutex<State>,
    /// What plans keep beyond a run.
    caches: Mutex<Vec<Weak<dyn Trim>>>,
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
        let (arena, fault, zeros, spare) = scoped(&device, "open", || {
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
                buffer("wgrad spare", 256, wgpu::BufferUsages::STORAGE),
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
            spare,
            state: Mutex::default(),
            caches: Mutex::default(),
            counts: Mutex::default(),
            listener: Mutex::default(),
        })
    }

    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn count(&self, f: impl FnOnce(&mut Counts)) {
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

    /// The same as a handle.
    pub fn buf(&self, bytes: usize, role: Role) -> Result<Buf> {
        Ok(Buf::new(self.alloc(bytes, role)?, bytes))
    }

    /// Has `trim` let go of what `cache` keeps.
    pub fn trims(&self, cache: &Arc<dyn Trim>) {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches.retain(|cache| cache.strong_count() > 0);
        caches.push(Arc::downgrade(cache));
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
            let full = state.params.len() >= MAX_LAUNCHES * PARAMS_BYTES as usize
                || (state.work > 0 && state.work.saturating_add(launch.work) > self.max_work);
            if full {
                self.flush(&mut state)?;
            }
            self.push(&mut state, op, launch, pipeline, ins, outs, &scratch)?;
        }
        let check = program.launches.iter().any(|l| l.watch.is_some()) && state.watch.is_full();
        drop(state);
        if check { self.check_watched() } else { Ok(()) }
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
        let params_at = state.params.len();
        if launch.params.len() * 4 > PARAMS_BYTES as usize {
            return Err(Error::internal(op, "a kernel's parameters are too long"));
        }
        let group = self.bind(launch, &pipeline, &self.arena, |slot| match slot {
            Slot::In(i) => raw(op, &ins[i]),
            Slot::Out(i) => raw(op, &outs[i]),
            Slot::Scratch(i) => scratch[i].raw(),
            Slot::Fault | Slot::Zeros | Slot::Spare => Err(Error::internal(op, "not an operand")),
        })?;
        let mut words = launch.params.clone();
        if let Some(watch) = launch.watch {
            let (at, index) = (wgrad_core::caller(), ins[watch.input].clone());
            words[watch.serial_word] = state.watch.add(op, at, index, watch.limit);
        }
        state.params.extend_from_slice(bytemuck::cast_slice(&words));
        state.params.resize(params_at + PARAMS_BYTES as usize, 0);
        self.ran(std::slice::from_ref(&launch.kernel));
        let (params_at, grid, work) = (params_at as u32, launch.grid, launch.work);
        state.launches.push((Ready { pipeline, params_at, grid, work }, group));
        state.work = state.work.saturating_add(launch.work);
        Ok(())
    }

    /// The bind group of a launch: its parameters in `params`, by dynamic offset, and what `buffer` says its
    /// operands are.
    pub fn bind<'b>(
        &'b self,
        launch: &Launch,
        pipeline: &Pipeline,
        params: &'b wgpu::Buffer,
        buffer: impl Fn(Slot) -> Result<&'b wgpu::Buffer>,
    ) -> Result<wgpu::BindGroup> {
        let entry = |binding, buffer, size| wgpu::BindGroupEntry {
            binding,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset: 0,
                size: wgpu::BufferSize::new(size),
            }),
        };
        let mut entries = vec![entry(0, params, PARAMS_BYTES)];
        for binding in &launch.bindings {
            let buffer = match binding.slot {
                Slot::Fault => &self.fault,
                Slot::Zeros => &self.zeros,
                Slot::Spare => &self.spare,
                operand => buffer(operand)?,
            };
            let shown = buffer.size().min(self.caps.max_binding & !3);
            entries.push(entry(binding.at, buffer, shown));
        }
        Ok(self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(launch.kernel.name),
            layout: &pipeline.layout,
            entries: &entries,
        }))
    }

    /// Counts kernels that were recorded, and tells them to who listens.
    pub fn ran(&self, kernels: &[wgrad_shaders::Kernel]) {
        if let Some(heard) = &mut *self.listener.lock().unwrap_or_else(PoisonError::into_inner) {
            heard.extend_from_slice(kernels);
        }
        self.count(|c| c.dispatches += kernels.len() as u64);
    }

    /// Submits what is recorded.
    pub fn flush(&self, state: &mut State) -> Result<()> {
        if state.launches.is_empty() && state.encoder.is_none() {
            return Ok(());
        }
        self.submit_now(state)
    }

    /// Submits what is recorded and what was written, even if no launch is.
    fn submit_now(&self, state: &mut State) -> Result<()> {
        let encoder = self.take_encoder(state);
        self.submit(state, encoder)
    }

    /// The encoder of what was recorded since the last submit, all launches in it.
    pub fn take_encoder(&self, state: &mut State) -> wgpu::CommandEncoder {
        self.gather(state);
        state.encoder.take().unwrap_or_else(|| self.new_encoder())
    }

    fn new_encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("wgrad") })
    }

    /// Encodes the gathered launches as one pass.
    pub fn gather(&self, state: &mut State) {
        let launches = std::mem::take(&mut state.launches);
        if !launches.is_empty() {
            // Their work was counted as they came.
            self.pass(state, 0, launches.iter().map(|(launch, group)| (launch, group)));
        }
    }

    /// Encodes launches as one pass, with so much work beyond what was counted before.
    pub fn pass<'l>(
        &self,
        state: &mut State,
        work: u64,
        launches: impl Iterator<Item = (&'l Ready, &'l wgpu::BindGroup)>,
    ) {
        state.work = state.work.saturating_add(work);
        let encoder = state.encoder.get_or_insert_with(|| self.new_encoder());
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("wgrad"),
            timestamp_writes: None,
        });
        for (launch, group) in launches {
            pass.set_pipeline(&launch.pipeline.raw);
            pass.set_bind_group(0, group, &[launch.params_at]);
            pass.dispatch_workgroups(launch.grid[0], launch.grid[1], 1);
        }
    }

    /// Encodes a copy; all launches recorded before must have been gathered.
    pub fn copy(
        &self,
        state: &mut State,
        (from, from_at): (&wgpu::Buffer, u64),
        (to, to_at): (&wgpu::Buffer, u64),
        bytes: u64,
    ) {
        let encoder = state.encoder.get_or_insert_with(|| self.new_encoder());
        encoder.copy_buffer_to_buffer(from, from_at, to, to_at, bytes);
    }

    pub fn submit(&self, state: &mut State, encoder: wgpu::CommandEncoder) -> Result<()> {
        if !state.params.is_empty() {
            // Written before this submit runs and after all earlier ones: the arena can be reused.
            self.queue.write_buffer(&self.arena, 0, &state.params);
            state.params.clear();
        }
        let index = self.queue.submit([encoder.finish()]);
        state.work = 0;
        state.uploaded = 0;
        state.submits += 1;
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

    /// A uniform buffer, for the parameters of a plan.
    pub fn uniform(&self, bytes: u64) -> Result<wgpu::Buffer> {
        scoped(&self.device, "plan", || {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgrad plan"),
                size: bytes,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        })
    }

    /// Writes bytes to a buffer that nothing recorded uses.
    pub fn write_at(&self, to: &wgpu::Buffer, at: u64, bytes: &[u8]) {
        self.queue.write_buffer(to, at, bytes);
    }

    pub fn pipeline(&self, launch: &Launch) -> Result<Arc<Pipeline>> {
        self.pipelines.get(launch, &self.caps)
    }

    /// Builds the pipelines that these launches lack, side by side.
    pub fn prepare<'a>(&self, launches: impl Iterator<Item = &'a Launch>) {
        self.pipelines.prepare(launches, &self.caps);
    }

    pub fn max_work(&self) -> u64 {
        self.max_work
    }

    /// Looks whether watched indices were legal; a fault found here is told by the next read.
    pub fn check_watched(self: &Arc<Self>) -> Result<()> {
        match self.sync() {
            Err(error) if error.kind() == ErrorKind::Index => {
                // Not this operation's fault: whoever reads next hears of it.
                self.state().watch.owe(error);
                Ok(())
            }
            other => other,
        }
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

    pub fn wait(&self, timeout: Duration) -> Result<()> {
        // Small steps are done before a sleeping thread would be awake again (benches/LOG.md). Others run meanwhile,
        // which on software adapters are the ones that do the work.
        let start = Instant::now();
        while start.elapsed() < AWAKE.min(timeout) {
            match self.device.poll(wgpu::PollType::Poll) {
                Ok(status) if status.is_queue_empty() => return self.sticky.check(),
                Ok(_) => std::thread::yield_now(),
                Err(_) => break,
            }
        }
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

    /// Gives the device up.
    pub fn destroy(&self) {
        self.sticky
            .set(Error::lost("gpu", "the device was given up with destroy(); open a new one"));
        self.device.destroy();
    }

    /// Gives unused memory back.
    pub fn trim(&self) {
        let caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner).clone();
        caches.iter().filter_map(Weak::upgrade).for_each(|cache| cache.trim());
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

pub(crate) fn raw<'v>(op: &'static str, view: &'v View) -> Result<&'v wgpu::Buffer> {
    view.buf.downcast::<GpuBuf>().ok_or_else(|| foreign_buffer(op))?.raw()
}
