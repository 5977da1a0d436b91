//! A device: a backend with an identity, and its stream of random numbers.

use crate::{
    Backend, Buf, DType, DeviceInfo, Error, Layout, MemoryReport, Op, Pending, READ_TIMEOUT,
    Result, Role, Shape, View, cpu, step::recording,
};
use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Where tensors live and operations run. Cloning gives another handle to the same device.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

struct Inner {
    id: u64,
    backend: Box<dyn Backend>,
    /// Philox state on the device (key, counter as 4 x u32); made at first use. A `Buf`, not a
    /// tensor: a tensor would hold this device, and the device itself.
    random: Mutex<Option<Buf>>,
}

impl Device {
    /// The process-wide CPU device.
    pub fn cpu() -> Device {
        static CPU: OnceLock<Device> = OnceLock::new();
        CPU.get_or_init(|| Device::new(Box::new(cpu::Cpu::new()))).clone()
    }

    /// A device around a backend.
    pub fn new(backend: Box<dyn Backend>) -> Device {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Device(Arc::new(Inner {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            backend,
            random: Mutex::new(None),
        }))
    }

    /// Name, kind, driver.
    pub fn info(&self) -> &DeviceInfo {
        self.0.backend.info()
    }

    /// The engine underneath.
    pub fn backend(&self) -> &dyn Backend {
        &*self.0.backend
    }

    /// Memory on this device, or in the step that this thread records.
    pub(crate) fn alloc(&self, op: &'static str, bytes: usize, role: Role) -> Result<Buf> {
        recording::alloc(self, op, bytes, role).unwrap_or_else(|| self.backend().alloc(bytes, role))
    }

    /// Runs an operation, or notes it in the step that this thread records.
    pub(crate) fn run(&self, op: &Op, ins: &[View], outs: &[View]) -> Result<()> {
        recording::note(self, op, ins, outs).unwrap_or_else(|| {
            for view in ins.iter().chain(outs) {
                recording::must_exist(op.name(), &view.buf)?;
            }
            self.backend().run(op, ins, outs)
        })
    }

    /// Writes bytes, ordered after everything run so far.
    #[track_caller]
    pub(crate) fn upload(&self, op: &'static str, to: &Buf, at: usize, bytes: &[u8]) -> Result<()> {
        recording::forbid(op, "upload before it, and capture the tensor or give it as an input")?;
        recording::must_exist(op, to)?;
        self.backend().upload(to, at, bytes)
    }

    /// Reads bytes as they are after everything run so far.
    #[track_caller]
    pub(crate) fn download(
        &self,
        op: &'static str,
        from: &Buf,
        range: Range<usize>,
    ) -> Result<Pending> {
        recording::forbid(op, "return the tensor from the step's closure and read it afterwards")?;
        self.backend().download(from, range)
    }

    /// Waits until everything run so far is done, and reports any fault.
    pub fn sync(&self) -> Result<()> {
        self.backend().sync()
    }

    /// Bytes in use by role.
    pub fn memory(&self) -> MemoryReport {
        self.backend().memory()
    }

    /// Gives memory that is kept for reuse back to the system.
    pub fn trim(&self) {
        self.backend().trim();
    }

    /// Starts this device's stream of random numbers anew: the same seed gives the same numbers on
    /// every device.
    pub fn seed(&self, seed: u64) -> Result<()> {
        self.with_random(|device, state| {
            device.upload("seed", state, 0, bytemuck::cast_slice(&seed_state(seed)))
        })
    }

    /// Where this device's stream of random numbers stands: seed (low and high word) and counter. What
    /// [`set_random_state`](Device::set_random_state) is given to go on from here. Waits for the device.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// cpu.seed(3)?;
    /// let state = cpu.random_state()?;
    /// let first = Tensor::uniform([4], 0.0, 1.0, &cpu)?.to_vec::<f32>()?;
    /// cpu.set_random_state(state)?;
    /// assert_eq!(Tensor::uniform([4], 0.0, 1.0, &cpu)?.to_vec::<f32>()?, first);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn random_state(&self) -> Result<[u32; 4]> {
        let at = std::panic::Location::caller();
        let bytes = self
            .with_random(|device, state| device.download("random_state", state, 0..16))
            .and_then(|pending| pending.wait(READ_TIMEOUT))
            .map_err(|e| e.at(at))?;
        match bytemuck::allocation::pod_collect_to_vec::<u8, u32>(&bytes)[..] {
            [a, b, c, d] => Ok([a, b, c, d]),
            _ => Err(Error::internal("random_state", format!("{} bytes read", bytes.len()))),
        }
    }

    /// Puts this device's stream of random numbers where another run left it
    /// ([`random_state`](Device::random_state)).
    #[track_caller]
    pub fn set_random_state(&self, state: [u32; 4]) -> Result<()> {
        self.with_random(|device, to| {
            device.upload("set_random_state", to, 0, bytemuck::cast_slice(&state))
        })
    }

    /// Runs `f` on the random state, which it may read and advance; one caller at a time.
    pub(crate) fn with_random<T>(&self, f: impl FnOnce(&Device, &Buf) -> Result<T>) -> Result<T> {
        let mut slot = self.0.random.lock().unwrap_or_else(PoisonError::into_inner);
        let state = match &mut *slot {
            Some(state) => state,
            empty => {
                let state = self.backend().alloc(16, Role::Scratch)?;
                self.upload("seed", &state, 0, bytemuck::cast_slice(&seed_state(0)))?;
                empty.insert(state)
            }
        };
        f(self, state)
    }

    /// The random state as an operand.
    pub(crate) fn random_view(state: &Buf) -> View {
        View {
            buf: state.clone(),
            layout: Layout::contiguous(Shape::from_checked(&[4])),
            dtype: DType::U32,
        }
    }

    /// An error unless both are the same device.
    #[track_caller]
    pub(crate) fn same(&self, op: &'static str, other: &Device) -> Result<()> {
        if self == other {
            return Ok(());
        }
        Err(Error::device(
            op,
            format!(
                "operands live on different devices, {} and {}; move one with `.to(&device)`",
                self.info().name,
                other.info().name
            ),
        ))
    }
}

/// Philox state for a seed: the key is the seed, the counter starts at zero.
fn seed_state(seed: u64) -> [u32; 4] {
    [seed as u32, (seed >> 32) as u32, 0, 0]
}

impl PartialEq for Device {
    fn eq(&self, other: &Device) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.info().name)
    }
}
