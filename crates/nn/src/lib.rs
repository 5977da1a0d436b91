//! Layers, optimizers and data for wgrad, built on the public interface of `wgrad-core` alone.
//!
//! Programs use the `wgrad` crate, which re-exports what is public here. A model is a struct of
//! layers; [`Module::on`] puts all its parameters into one buffer on a device, so that an optimizer
//! steps a whole model in one dispatch. The losses are methods of `Tensor` (`cross_entropy`, `mse`).
//!
//! ```
//! use wgrad_core::{Device, Tensor};
//! use wgrad_nn::{Init, Layer, Linear, Module, Optimizer, Sgd, module};
//!
//! struct Net {
//!     body: Linear,
//!     head: Linear,
//! }
//! module!(Net { body, head });
//!
//! impl Net {
//!     fn new(device: &Device) -> wgrad_core::Result<Net> {
//!         let mut init = Init::new(7);
//!         Net { body: Linear::new(2, 16, &mut init)?, head: Linear::new(16, 1, &mut init)? }.on(device)
//!     }
//!     fn forward(&self, x: &Tensor) -> wgrad_core::Result<Tensor> {
//!         self.head.forward(&self.body.forward(x)?.tanh()?)
//!     }
//! }
//!
//! let cpu = Device::cpu();
//! let net = Net::new(&cpu)?;
//! assert_eq!(net.names(), ["body.weight", "body.bias", "head.weight", "head.bias"]);
//!
//! let x = Tensor::from_vec([0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], [4, 2], &cpu)?;
//! let xor = Tensor::from_vec([0.0f32, 1.0, 1.0, 0.0], [4, 1], &cpu)?;
//! let sgd = Sgd::new(&net, 0.1)?.momentum(0.9)?;
//! for _ in 0..500 {
//!     let loss = net.forward(&x)?.mse(&xor)?;
//!     sgd.step(&loss.backward()?)?;
//! }
//! assert!(net.forward(&x)?.mse(&xor)?.item::<f32>()? < 0.01);
//! # Ok::<(), wgrad_core::Error>(())
//! ```
//!
//! [`Loader`] gives batches from [`Samples`]: tables ([`Csv`]), NumPy's files ([`Npy`], [`Npz`]), text ([`Windows`]),
//! or your own. [`Checkpoint`] saves and restores a whole run to the bit, [`save_weights`] a model for others.

mod activation;
mod attention;
mod batch_norm;
mod buffer;
mod data;
mod described;
mod dropout;
mod embedding;
mod init;
mod init_rules;
mod layers;
mod linear;
mod metrics;
mod mlp;
mod module;
mod norms;
mod optim;
mod parameter;
mod positions;
mod recurrent;
mod residual;
mod save;
mod sequential;
mod state;
#[cfg(feature = "trainer")]
mod trainer;
mod transformer;

pub use activation::Activation;
pub use attention::MultiHeadAttention;
pub use batch_norm::{BatchNorm1d, BatchNorm2d};
pub use buffer::Buffer;
#[cfg(feature = "images")]
pub use data::ImageFolder;
pub use data::{
    Array, Batches, Csv, CsvOptions, Dataset, Idx, Loader, LoaderBatches, Npy, Npz, Rows, Samples,
    Standard, Vocabulary, Windows,
};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use init::Init;
pub use init_rules::Fan;
pub use layers::{
    AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, Conv1d, Conv2d, ConvTranspose2d, Flatten, MaxPool1d,
    MaxPool2d,
};
pub use linear::Linear;
pub use metrics::{accuracy, count_correct};
pub use mlp::{Mlp, MlpOptions};
pub use module::{Layer, Module, Visitor};
pub use norms::{GroupNorm, LayerNorm, RmsNorm};
pub use optim::{
    Adagrad, Adam, AdamW, AdamWith, Ema, GradAccumulator, GradScaler, GroupOptions, Lion,
    Optimizer, RmsProp, ScaledGradients, ScaledLoss, Schedule, Scheduler, Sgd,
};
pub use parameter::Parameter;
pub use positions::{Positions, Rotary};
pub use recurrent::{Gru, GruCell, Lstm, LstmCell, LstmState};
pub use residual::{Recomputed, Residual};
pub use save::{Checkpoint, Checkpoints, LoadWeights, Loaded, Resumed, load_weights, save_weights};
pub use sequential::Sequential;
pub use state::{Count, Real, State, StateEntry, StateVisitor};
#[cfg(feature = "trainer")]
pub use trainer::{Epoch, History, Interrupt, Losses, Outcome, Stop, Trainer, Validation};
pub use transformer::TransformerBlock;
pub use wgrad_core::{eval, evaluating, train, training};
