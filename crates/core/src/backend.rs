//! What a device must be able to do. The CPU backend lives in [`crate::cpu`], the GPU one in its own crate.

use crate::{DType, Error, Layout, Op, Plan, Result, Trace};
use std::{
    any::Any,
    cell::Cell,
    fmt,
    future::Future,
    ops::Range,
    panic::Location,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// What memory is used for; the ledger counts by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Values that training changes.
    Parameters,
    /// Gradients of parameters.
    Gradients,
    /// Moments and other state of an optimizer.
    Optimizer,
    /// Everything an operation puts out.
    Activations,
    /// Working space within one operation.
    Scratch,
    /// Memory on the way to or from the device.
    Staging,
}

impl Role {
    /// All roles, in the order reports list them.
    pub const ALL: [Role; 6] = [
        Role::Parameters,
        Role::Gradients,
        Role::Optimizer,
        Role::Activations,
        Role::Scratch,
        Role::Staging,
    ];
}

/// Bytes in use by role, the most there ever was, and what the pool keeps for reuse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryReport {
    /// Bytes in use, in the order of [`Role::ALL`].
    pub by_role: [usize; 6],
    /// The largest sum of bytes in use so far.
    pub peak: usize,
    /// Bytes held by the pool and not in use.
    pub pooled: usize,
}

impl MemoryReport {
    /// Bytes in use, all roles together.
    pub fn in_use(&self) -> usize {
        self.by_role.iter().sum()
    }

    /// Bytes in use for one role.
    pub fn role(&self, role: Role) -> usize {
        self.by_role[role as usize]
    }
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: usize| bytes as f64 / (1 << 20) as f64;
        for role in Role::ALL {
            writeln!(
                f,
                "{:<12} {:>10.2} MiB",
                format!("{role:?}").to_lowercase(),
                mib(self.role(role))
            )?;
        }
        writeln!(f, "{:<12} {:>10.2} MiB", "in use", mib(self.in_use()))?;
        writeln!(f, "{:<12} {:>10.2} MiB", "peak", mib(self.peak))?;
        write!(f, "{:<12} {:>10.2} MiB", "pooled", mib(self.pooled))
    }
}

/// Counts bytes by role; every backend keeps one.
#[derive(Debug, Default)]
pub struct Ledger {
    by_role: [AtomicUsize; 6],
    total: AtomicUsize,
    peak: AtomicUsize,
}

impl Ledger {
    /// Books `bytes` in.
    pub fn add(&self, role: Role, bytes: usize) {
        self.by_role[role as usize].fetch_add(bytes, Ordering::Relaxed);
        let total = self.total.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(total, Ordering::Relaxed);
    }

    /// Books `bytes` out.
    pub fn sub(&self, role: Role, bytes: usize) {
        self.by_role[role as usize].fetch_sub(bytes, Ordering::Relaxed);
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The state now; `pooled` is for the backend to add.
    pub fn report(&self, pooled: usize) -> MemoryReport {
        MemoryReport {
            by_role: std::array::from_fn(|i| self.by_role[i].load(Ordering::Relaxed)),
            peak: self.peak.load(Ordering::Relaxed),
            pooled,
        }
    }
}

/// What kind of hardware a device runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// wgrad's own CPU backend.
    Cpu,
    /// A GPU adapter that is really a GPU.
    Gpu,
    /// A GPU adapter that is software, for example lavapipe.
    SoftwareGpu,
}

/// A device in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What it runs on.
    pub kind: DeviceKind,
    /// The adapter's name, or `cpu`.
    pub name: String,
    /// Driver and version, as far as known.
    pub driver: String,
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.driver.is_empty() {
            write!(f, ", {}", self.driver)?;
        }
        Ok(())
    }
}

/// A piece of device memory; what is inside only its backend knows.
#[derive(Clone)]
pub struct Buf {
    inner: Arc<dyn Any + Send + Sync>,
    bytes: usize,
}

impl Buf {
    /// Wraps a backend's own buffer of `bytes`.
    pub fn new(inner: Arc<dyn Any + Send + Sync>, bytes: usize) -> Self {
        Self { inner, bytes }
    }

    /// The usable size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The backend's own buffer, if it is of that type.
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        self.inner.downcast_ref()
    }

    /// The same, shared.
    pub fn downcast_arc<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.inner.clone().downcast().ok()
    }

    /// What tells it from all other memory that is alive.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.inner).cast::<()>().addr()
    }

    /// Whether there is another handle to it.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.inner) > 1
    }

    /// Whether both are the same memory.
    pub fn same(&self, other: &Buf) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

/// An operand: memory, how to look at it, and as what.
#[derive(Clone)]
pub struct View {
    /// The memory.
    pub buf: Buf,
    /// Which elements of it.
    pub layout: Layout,
    /// Their type.
    pub dtype: DType,
}

impl View {
    /// Checks that the view stays inside its buffer.
    pub fn check(&self, op: &'static str) -> Result<()> {
        self.layout.check(op, self.buf.bytes() / self.dtype.size())
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.dtype, self.layout)
    }
}

type Read = Pin<Box<dyn Future<Output = Result<Vec<u8>>> + Send>>;
type Drive = Box<dyn FnMut(Duration) -> Result<()> + Send>;

/// A read on its way from the device: await it, or [`wait`](Pending::wait) for it.
pub struct Pending {
    read: Read,
    drive: Option<Drive>,
}

impl Pending {
    /// A read that is already there.
    pub fn ready(bytes: Vec<u8>) -> Self {
        Self { read: Box::pin(std::future::ready(Ok(bytes))), drive: None }
    }

    /// A read that completes by itself; `drive` makes the device get on with it for at most the time
    /// given, so that a thread without an executor can wait.
    pub fn new(
        read: impl Future<Output = Result<Vec<u8>>> + Send + 'static,
        drive: impl FnMut(Duration) -> Result<()> + Send + 'static,
    ) -> Self {
        Self { read: Box::pin(read), drive: Some(Box::new(drive)) }
    }

    /// Blocks until the bytes are here, at most `timeout`.
    pub fn wait(mut self, timeout: Duration) -> Result<Vec<u8>> {
        let start = Instant::now();
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(bytes) = self.read.as_mut().poll(&mut context) {
                return bytes;
            }
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(Error::timeout(
                    "read",
                    format!(
                        "the device did not answer within {timeout:?}; wait longer, or check it"
                    ),
                ));
            }
            match &mut self.drive {
                Some(drive) => drive(left)?,
                None => std::thread::yield_now(),
            }
        }
    }
}

impl Future for Pending {
    type Output = Result<Vec<u8>>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.read.as_mut().poll(cx);
        // Nobody waits here, so a thread does: the device answers only while someone asks it. In a
        // browser the event loop does.
        #[cfg(not(target_family = "wasm"))]
        if polled.is_pending()
            && let Some(mut drive) = self.drive.take()
        {
            let helper = std::thread::Builder::new().name("wgrad read".to_owned());
            let spawned = helper.spawn(move || {
                // A long queue is no fault: only another error ends the wait, and wakes the reader.
                while let Err(error) = drive(READ_TIMEOUT) {
                    log::warn!("{error}");
                    if error.kind() != crate::ErrorKind::Timeout {
                        break;
                    }
                }
            });
            if let Err(error) = spawned {
                let text = format!("no thread for an awaited read: {error}; use wait()");
                return Poll::Ready(Err(Error::internal("read", text)));
            }
        }
        polled
    }
}

/// How long reads wait for the device before they report [`ErrorKind::Timeout`](crate::ErrorKind).
pub const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// A device's engine. Core allocates outputs and checks shapes, types and devices before it calls
/// [`run`](Backend::run), so a backend only sees legal requests on non-empty outputs.
pub trait Backend: Send + Sync {
    /// Name, kind, driver.
    fn info(&self) -> &DeviceInfo;
    /// Whether elements of this type can live here.
    fn supports(&self, dtype: DType) -> bool;
    /// Memory for `bytes`; its contents are undefined.
    fn alloc(&self, bytes: usize, role: Role) -> Result<Buf>;
    /// Writes `bytes` at byte `at`, ordered after everything already run.
    fn upload(&self, dst: &Buf, at: usize, bytes: &[u8]) -> Result<()>;
    /// Reads a byte range as it is after everything already run.
    fn download(&self, src: &Buf, range: Range<usize>) -> Result<Pending>;
    /// Runs one operation; outputs may alias inputs only where [`Op::in_place`].
    fn run(&self, op: &Op, ins: &[View], outs: &[View]) -> Result<()>;
    /// Prepares a recorded step, so that it can be run again and again.
    fn plan(&self, trace: &Trace) -> Result<Box<dyn Plan>>;
    /// Returns once everything run so far is done, and reports any fault.
    fn sync(&self) -> Result<()>;
    /// Bytes in use.
    fn memory(&self) -> MemoryReport;
    /// Gives pooled memory back to the system.
    fn trim(&self);
    /// The backend itself, for callers who know its type.
    fn as_any(&self) -> &dyn Any;
}

thread_local! {
    static CALLER: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) };
}

/// The line of the user's source whose operation is being run on this thread, for faults that a device
/// reports later.
pub fn caller() -> Option<&'static Location<'static>> {
    CALLER.get()
}

/// Notes the line whose operation is run next on this thread.
pub(crate) fn set_caller(at: &'static Location<'static>) {
    CALLER.set(Some(at));
}

/// The error of an operation on a buffer that belongs to another backend.
pub fn foreign_buffer(op: &'static str) -> Error {
    Error::internal(op, "a buffer of another backend reached this one; please report this")
}
