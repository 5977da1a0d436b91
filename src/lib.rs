//! wgrad trains neural networks on any GPU that Vulkan, Metal or DX12 can drive, with kernels in plain
//! WGSL, and on the CPU.
//!
//! ```
//! use wgrad::prelude::*;
//! # fn main() -> Result<()> {
//! let device = wgrad::best_device().0;
//! let x = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], [2, 2], &device)?;
//! let w = Tensor::from_vec([1.0f32, -1.0], [1, 2], &device)?.requiring_grad();
//! let z = x.linear(&w, None, None)?; // Z = X Wᵀ
//! let loss = z.square()?.mean_all()?;
//! assert_eq!(loss.backward()?.wrt(&w)?.to_vec::<f32>()?, [-4.0, -6.0]);
//! # Ok(()) }
//! ```

pub use wgrad_core::{
    Clipped, DType, Device, DeviceInfo, DeviceKind, Element, Error, ErrorKind, FlatParameters,
    Gradients, Layout, MemoryReport, Operand, PlanReport, READ_TIMEOUT, Read, Result, Role,
    ScaleReport, Shape, Step, Tensor, autocast, full_precision, no_grad,
    ops::linear::FusedActivation, philox,
};
pub use wgrad_nn as nn;

#[cfg(feature = "gpu")]
pub use wgrad_gpu::{AdapterChoice, AdapterSummary, Roofline, adapters, gpu, open, roofline};

/// What most programs need.
pub mod prelude {
    pub use crate::{
        DType, Device, DeviceKind, Element, Error, ErrorKind, Gradients, Result, Step, Tensor,
        autocast, no_grad,
    };
    #[cfg(feature = "images")]
    pub use wgrad_nn::ImageFolder;
    pub use wgrad_nn::{
        Activation, Adagrad, Adam, AdamW, Batches, Dataset, Ema, GradAccumulator, GradScaler,
        GroupOptions, Idx, Init, Layer, Linear, Lion, Mlp, MlpOptions, Module, Optimizer, RmsProp,
        Schedule, Scheduler, Sequential, Sgd, Visitor, accuracy, count_correct, module,
    };
    pub use wgrad_nn::{
        Array, Checkpoint, Checkpoints, Count, Csv, LoadWeights, Loader, Npy, Npz, Real, Rows,
        Samples, Standard, State, load_weights, save_weights,
    };
    #[cfg(feature = "trainer")]
    pub use wgrad_nn::{Stop, Trainer, Validation};
}

/// The process-wide CPU device.
pub fn cpu() -> Device {
    Device::cpu()
}

/// The best device there is: a GPU adapter, real before software, else the CPU. In the last case the
/// error says why there is no GPU and what to install.
#[track_caller]
pub fn best_device() -> (Device, Option<Error>) {
    #[cfg(feature = "gpu")]
    match gpu() {
        Ok(device) => (device, None),
        Err(error) => (cpu(), Some(error)),
    }
    #[cfg(not(feature = "gpu"))]
    (
        cpu(),
        Some(Error::device("open", "built without the feature \"gpu\"; build with it to use one")),
    )
}

/// The code in the README, so that it is tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
