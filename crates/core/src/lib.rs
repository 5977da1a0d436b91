//! Tensors, operations, the CPU backend and automatic differentiation of wgrad.
//!
//! Programs use the `wgrad` crate, which re-exports what is public here.

mod autocast;
mod backend;
mod backward;
pub mod cpu;
mod device;
mod dtype;
mod error;
mod graph;
mod layout;
mod loss_scale;
mod mode;
mod op;
pub mod ops;
mod parameters;
pub mod philox;
mod recompute;
mod shape;
mod step;
mod storage;
mod tensor;

pub use autocast::{autocast, autocasting, full_precision};
pub use backend::{
    Backend, Buf, DeviceInfo, DeviceKind, Ledger, MemoryReport, Pending, READ_TIMEOUT, Role, View,
    caller, foreign_buffer,
};
pub use backward::{Clipped, Gradients};
pub use device::Device;
pub use dtype::{DType, Element};
pub use error::{Error, ErrorKind, Result, bad_index};
pub use graph::no_grad;
pub use layout::{Layout, collapse_together};
pub use loss_scale::{LossScale, ScaleReport};
pub use mode::{eval, evaluating, train, training};
pub use op::{Meta, Op};
pub use ops::attention::AttentionOptions;
pub use ops::cross_entropy::CrossEntropyOptions;
pub use ops::losses::Reduction;
pub use ops::operators::Operand;
pub use ops::{conv::Conv2dOptions, pool::Pool2dOptions, window::Pair};
pub use parameters::FlatParameters;
pub use recompute::recompute;
pub use shape::{MAX_RANK, Shape};
pub use step::recording::active as recording;
pub use step::{Call, Place, Plan, PlanReport, Sharing, Source, Step, Trace, Value};
pub use storage::Storage;
pub use tensor::{Read, Tensor};

pub(crate) use autocast::Precision;
pub(crate) use backward::Grad;
