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
    AttentionOptions, Clipped, Conv2dOptions, CrossEntropyOptions, DType, Device, DeviceInfo,
    DeviceKind, Element, Error, ErrorKind, FlatParameters, Gradients, Layout, MemoryReport,
    Operand, Pair, PlanReport, Pool2dOptions, READ_TIMEOUT, Read, Reduction, Result, Role,
    ScaleReport, Shape, Step, Tensor, autocast, full_precision, no_grad,
    ops::linear::FusedActivation, philox, recompute,
};
pub use wgrad_nn as nn;

#[cfg(feature = "gpu")]
pub use wgrad_gpu::{AdapterChoice, AdapterSummary, Roofline, adapters, gpu, open, roofline};

/// What most programs need.
pub mod prelude {
    pub use crate::{
        AttentionOptions, Conv2dOptions, CrossEntropyOptions, DType, Device, DeviceKind, Element,
        Error, ErrorKind, Gradients, Pool2dOptions, Reduction, Result, Step, Tensor, autocast,
        no_grad, recompute,
    };
    #[cfg(feature = "images")]
    pub use wgrad_nn::ImageFolder;
    pub use wgrad_nn::{
        Activation, Adagrad, Adam, AdamW, AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, BatchNorm1d,
        BatchNorm2d, Batches, Buffer, Conv1d, Conv2d, ConvTranspose2d, Dataset, Dropout, Ema,
        Embedding, Fan, Flatten, GradAccumulator, GradScaler, GroupNorm, GroupOptions, Gru, Idx,
        Init, Layer, LayerNorm, Linear, Lion, Lstm, MaxPool1d, MaxPool2d, Mlp, MlpOptions, Module,
        MultiHeadAttention, Optimizer, Parameter, Positions, Recomputed, Residual, RmsNorm,
        RmsProp, Schedule, Scheduler, Sequential, Sgd, TransformerBlock, Visitor, accuracy,
        count_correct, eval, evaluating, module, training,
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
