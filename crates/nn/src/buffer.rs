//! `Buffer`: a tensor of a layer that training does not learn by gradients, such as a running mean.

use crate::Parameter;
use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};
use wgrad_core::{Device, Error, Result, Shape, Tensor};

/// A tensor that belongs to a layer's state without being trained: it has a name, moves to a device with the
/// model and is saved with it, but no gradient and no optimizer reaches it. Layers change it in place with
/// [`Tensor::assign`]. A clone is the same buffer.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Buffer, Init, Module, Parameter, module};
/// struct Centre { by: Parameter, mean: Buffer }
/// module!(Centre { by, mean });
///
/// let centre = Centre { by: Init::new(0).constant(&[2], 1.0)?, mean: Buffer::new(&[2], vec![0.0; 2])? };
/// let centre = centre.on(&Device::cpu())?;
/// assert_eq!(centre.names(), ["by"]);
/// assert_eq!(centre.named_buffers()[0].0, "mean");
/// centre.mean.tensor()?.assign(&Tensor::ones([2], &Device::cpu())?)?;
/// assert_eq!(centre.mean.tensor()?.to_vec::<f32>()?, [1.0, 1.0]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Buffer(Arc<Inner>);

struct Inner {
    shape: Shape,
    /// The first values, given away when the buffer is placed.
    first: Mutex<Vec<f32>>,
    placed: OnceLock<Tensor>,
}

impl Buffer {
    /// A buffer of `shape` (f32) with its first values in row-major order.
    #[track_caller]
    pub fn new(shape: &[usize], values: Vec<f32>) -> Result<Self> {
        let shape = Shape::new("buffer", shape)?;
        if shape.numel() != values.len() {
            return Err(Error::shape(
                "buffer",
                format!("{} values given, shape {shape:?} has {}", values.len(), shape.numel()),
            ));
        }
        Ok(Self(Arc::new(Inner { shape, first: Mutex::new(values), placed: OnceLock::new() })))
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// The tensor, outside any graph; an error as long as the model is on no device.
    #[track_caller]
    pub fn tensor(&self) -> Result<&Tensor> {
        self.0.placed.get().ok_or_else(|| {
            Error::argument(
                "buffer",
                format!(
                    "the buffer {:?} is on no device yet; call .on(&device) on the model, and name \
                     every field with buffers in module!(..)",
                    self.shape()
                ),
            )
        })
    }

    /// Whether both are one and the same.
    pub(crate) fn same(&self, other: &Buffer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn is_placed(&self) -> bool {
        self.0.placed.get().is_some()
    }

    /// Gets its memory; false if it has some already.
    #[track_caller]
    pub(crate) fn place(&self, device: &Device) -> Result<bool> {
        let values =
            std::mem::take(&mut *self.0.first.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(self.0.placed.set(Tensor::from_vec(values, self.shape(), device)?).is_ok())
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({:?})", self.shape())
    }
}

/// What a visitor meets.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Parameter(Parameter),
    Buffer(Buffer),
}

impl Part {
    pub fn same(&self, other: &Part) -> bool {
        match (self, other) {
            (Part::Parameter(a), Part::Parameter(b)) => a.same(b),
            (Part::Buffer(a), Part::Buffer(b)) => a.same(b),
            _ => false,
        }
    }
}
