//! A device: a backend with an identity, and its stream of random numbers.

use crate::{
    Backend, Buf, DType, DeviceInfo, Error, Layout, MemoryReport, Result, Role, Shape, View, cpu,
};
use std::{
    fmt,
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
        self.with_random(|backend, state| {
            backend.upload(state, 0, bytemuck::cast_slice(&seed_state(seed)))
        })
    }

    /// Runs `f` on the random state, which it may read and advance; one caller at a time.
    pub(crate) fn with_random<T>(
        &self,
        f: impl FnOnce(&dyn Backend, &Buf) -> Result<T>,
    ) -> Result<T> {
        let mut slot = self.0.random.lock().unwrap_or_else(PoisonError::into_inner);
        let state = match &mut *slot {
            Some(state) => state,
            empty => {
                let state = self.backend().alloc(16, Role::Scratch)?;
                self.backend().upload(&state, 0, bytemuck::cast_slice(&seed_state(0)))?;
                empty.insert(state)
            }
        };
        f(self.backend(), state)
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
