//! Faults: wgpu's errors as ours, sticky device faults, and the fault word that kernels set.

use std::sync::{Arc, Mutex, PoisonError};
use wgrad_core::{Error, Result};

/// A fault that stays: once a device is lost or has failed, every call says so.
#[derive(Default)]
pub(crate) struct Sticky(Mutex<Option<Error>>);

impl Sticky {
    /// The first fault, if there was one.
    pub fn check(&self) -> Result<()> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    pub fn set(&self, error: Error) {
        log::error!("{error}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Makes the device report here instead of panicking.
    pub fn watch(self: &Arc<Self>, device: &wgpu::Device) {
        let sticky = self.clone();
        device.on_uncaptured_error(Arc::new(move |error| sticky.set(translate("gpu", error))));
        let sticky = self.clone();
        device.set_device_lost_callback(move |reason, message| {
            sticky.set(Error::lost(
                "gpu",
                format!(
                    "the device is lost ({reason:?}: {message}); open a new one, host data is safe"
                ),
            ));
        });
    }
}

fn translate(op: &'static str, error: wgpu::Error) -> Error {
    match error {
        wgpu::Error::OutOfMemory { .. } => {
            Error::memory(op, "the device is out of memory; drop tensors or use a smaller batch")
        }
        other => Error::internal(op, format!("wgpu refused a call, please report this: {other}")),
    }
}

/// Runs `f` and returns wgpu's error instead of reporting it elsewhere.
pub(crate) fn scoped<T>(
    device: &wgpu::Device,
    op: &'static str,
    f: impl FnOnce() -> T,
) -> Result<T> {
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let value = f();
    let mut fault = None;
    for scope in [validation, internal, memory] {
        if let Some(error) = pollster::block_on(scope.pop()) {
            fault.get_or_insert(translate(op, error));
        }
    }
    fault.map_or(Ok(value), Err)
}

/// The fault word as kernels see it: serial number of the first launch to fail, lowest position.
pub(crate) const FAULT_BYTES: u64 = 16;

/// No fault.
pub(crate) const NO_FAULT: [u32; 4] = [u32::MAX; 4];
