//! `Buffer`: a tensor of a layer that training does not learn by gradients, such as a running mean.

use crate::{Parameter, described::Described};
use std::{fmt, sync::Arc};
use wgrad_core::{Device, Result, Tensor};

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
pub struct Buffer(Arc<Described<Tensor>>);

impl Buffer {
    /// A buffer of `shape` (f32) with its first values in row-major order.
    #[track_caller]
    pub fn new(shape: &[usize], values: Vec<f32>) -> Result<Self> {
        Ok(Self(Arc::new(Described::new("buffer", shape, values)?)))
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// The tensor, outside any graph; an error as long as the model is on no device.
    #[track_caller]
    pub fn tensor(&self) -> Result<&Tensor> {
        self.0.get()
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
        let tensor = Tensor::from_vec(self.0.take_first(), self.shape(), device)?;
        Ok(self.0.placed.set(tensor).is_ok())
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
