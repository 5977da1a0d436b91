//! The GPU backend of wgrad: Vulkan, Metal and DX12 through wgpu. The one crate that names wgpu.
//!
//! Programs use the `wgrad` crate; what is public here beyond [`open`] serves tests and tools.

mod adapter;
mod caps;
mod fault;
pub mod kernels;
pub mod launch;
mod memory;
mod pipeline;
mod plan;
mod readback;
mod recorder;
mod roofline;
mod watch;

pub use adapter::{AdapterChoice, AdapterSummary, adapters, help};
pub use caps::{Caps, Cooperative};
pub use kernels::{MatMulVariant, Square, Tile};
pub use pipeline::Checks;
pub use plan::lower_trace;
pub use recorder::Counts;
pub use roofline::{Roofline, roofline, roofline_launches};

use launch::Operand;
use memory::{GpuBuf, Pool};
use recorder::Recorder;
use std::{any::Any, ops::Range, panic::Location, sync::Arc};
use wgrad_core::{
    Backend, Buf, DType, Device, DeviceInfo, Layout, MemoryReport, Op, Pending, Plan, Result, Role,
    Trace, View, foreign_buffer, ops::copy::Copy,
};
use wgrad_shaders::Kernel;

/// Settings of a device beyond the adapter; for tests and measurements.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A matmul variant to use wherever a product is asked for.
    pub force_matmul: Option<MatMulVariant>,
    /// Capabilities to choose kernels by instead of the adapter's own; what the adapter lacks must
    /// not be claimed. Lets a software adapter run the kernels meant for real GPUs.
    pub caps: Option<Caps>,
    /// Multiply large f32 matrices on the adapter's matrix units, if it has any: several times as fast, but
    /// each operand is rounded to f16 (11 bits, up to 65504) and only the sums are f32. Off by default;
    /// [`Caps::cooperative`] says whether the adapter can. Without effect on software adapters.
    pub fast_f16_products: bool,
    /// A change to one kernel's text: tests break kernels on purpose and demand to notice.
    pub edit: Option<Edit>,
}

/// A replacement in a kernel's text.
#[derive(Clone, Debug)]
pub struct Edit {
    /// The kernel's name.
    pub kernel: String,
    /// What to replace; it must occur.
    pub from: String,
    /// By what.
    pub to: String,
}

/// Opens an adapter.
///
/// # Errors
/// `Device` if no adapter fits or it does not open (the text says what to install), `Config` if an
/// environment variable (`WGRAD_ADAPTER`, `WGRAD_BACKEND`, `WGRAD_LIMITS`, `WGRAD_CHECKS`) has a bad value.
#[track_caller]
pub fn open(choice: &AdapterChoice) -> Result<Device> {
    let at = Location::caller();
    pollster::block_on(open_with(choice, &Options::default())).map_err(|e| e.at(at))
}

/// Opens an adapter, as a future; with settings.
pub async fn open_with(choice: &AdapterChoice, options: &Options) -> Result<Device> {
    let forced = options.force_matmul.or(options.caps.and_then(|caps| caps.force_matmul));
    let cooperative = matches!(forced, Some(MatMulVariant::Cooperative { .. }));
    let opened = adapter::open(choice, options.fast_f16_products || cooperative).await?;
    let mut caps = options.caps.unwrap_or(opened.caps);
    caps.force_matmul = forced;
    caps.cooperative = opened.caps.cooperative;
    let sticky = Arc::new(fault::Sticky::default());
    sticky.watch(&opened.device);
    let pool = Pool::new(opened.device.clone(), sticky.clone(), opened.caps.max_buffer);
    let pipelines =
        pipeline::Pipelines::new(opened.device.clone(), opened.checks, options.edit.clone());
    let recorder =
        Recorder::new(opened.device, opened.queue, caps, sticky, pool.clone(), pipelines)?;
    let info = DeviceInfo {
        kind: opened.info.kind,
        name: opened.info.name,
        driver: format!("{} {}", opened.info.api, opened.info.driver),
    };
    Ok(Device::new(Box::new(Gpu { info, caps, pool, recorder: Arc::new(recorder) })))
}

/// The process-wide GPU device: the best adapter, opened at first use.
#[track_caller]
pub fn gpu() -> Result<Device> {
    static GPU: std::sync::OnceLock<Result<Device>> = std::sync::OnceLock::new();
    let at = Location::caller();
    GPU.get_or_init(|| open(&AdapterChoice::Auto)).clone().map_err(|e| e.at(at))
}

/// The backend behind a GPU [`Device`].
pub struct Gpu {
    info: DeviceInfo,
    caps: Caps,
    pool: Arc<Pool>,
    recorder: Arc<Recorder>,
}

impl Gpu {
    /// The GPU behind a device, if it is one.
    pub fn of(device: &Device) -> Option<&Gpu> {
        device.backend().as_any().downcast_ref()
    }

    /// What kernels are chosen by.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Dispatches, submits, reads and pipelines so far.
    pub fn counts(&self) -> Counts {
        self.recorder.counts()
    }

    /// Gives the adapter up: every later call fails with `ErrorKind::Lost`, as after a driver's crash.
    pub fn destroy(&self) {
        self.recorder.destroy();
    }

    /// Runs `f` and returns the kernels that were dispatched meanwhile; for tests.
    pub fn kernels_of<T>(&self, f: impl FnOnce() -> T) -> (T, Vec<Kernel>) {
        self.recorder.listen(f)
    }

    fn operand(view: &View) -> Operand {
        Operand { layout: view.layout, dtype: view.dtype }
    }

    /// A contiguous copy in scratch memory of an operand that shares its buffer with an output: one
    /// launch may not read and write one buffer.
    fn apart(&self, x: &View) -> Result<View> {
        let layout = Layout::contiguous(x.layout.shape);
        let bytes = layout.numel() * x.dtype.size();
        let copy = View { buf: self.alloc(bytes, Role::Scratch)?, layout, dtype: x.dtype };
        self.run(&Copy.into(), std::slice::from_ref(x), std::slice::from_ref(&copy))?;
        Ok(copy)
    }
}

impl Backend for Gpu {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, dtype: DType) -> bool {
        dtype != DType::F64
    }

    fn alloc(&self, bytes: usize, role: Role) -> Result<Buf> {
        self.recorder.buf(bytes, role)
    }

    fn upload(&self, dst: &Buf, at: usize, bytes: &[u8]) -> Result<()> {
        let buffer = dst.downcast::<GpuBuf>().ok_or_else(|| foreign_buffer("upload"))?;
        self.recorder.upload(buffer.raw()?, at, bytes)
    }

    fn download(&self, src: &Buf, range: Range<usize>) -> Result<Pending> {
        let buffer = src.downcast::<GpuBuf>().ok_or_else(|| foreign_buffer("read"))?;
        self.recorder.download(Some((buffer.raw()?, range)), true)
    }

    fn run(&self, op: &Op, ins: &[View], outs: &[View]) -> Result<()> {
        let mut ins = std::borrow::Cow::Borrowed(ins);
        if !op.in_place() || matches!(op, Op::Assign(_)) {
            let from = usize::from(op.in_place()); // the first input of `assign` is its output
            for i in from..ins.len() {
                if outs.iter().any(|y| y.buf.same(&ins[i].buf)) {
                    ins.to_mut()[i] = self.apart(&ins[i])?;
                }
            }
        }
        let operands =
            |views: &[View]| -> Vec<Operand> { views.iter().map(Self::operand).collect() };
        let program = kernels::lower(op, &operands(&ins), &operands(outs), &self.caps)?;
        self.recorder.record(op.name(), &program, &ins, outs)
    }

    fn plan(&self, trace: &Trace) -> Result<Box<dyn Plan>> {
        plan::plan(self, trace)
    }

    fn sync(&self) -> Result<()> {
        self.recorder.sync()
    }

    fn memory(&self) -> MemoryReport {
        self.pool.report()
    }

    fn trim(&self) {
        self.recorder.trim();
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
