//! `Parameter`: one trainable tensor of a layer, first described, then placed on a device.

use crate::described::Described;
use std::{fmt, sync::Arc};
use wgrad_core::{FlatParameters, Result, Tensor};

/// One trainable tensor of a layer. It begins as a shape with its first values on the host and gets
/// its memory when [`Module::on`](crate::Module::on) lays out the whole model in one buffer. A clone
/// is the same parameter, so a clone in a second layer ties the two.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::{Module, Parameter, module};
/// struct Scale { by: Parameter }
/// module!(Scale { by });
///
/// let scale = Scale { by: Parameter::new(&[3], vec![1.0, 2.0, 3.0])? };
/// assert!(scale.by.tensor().is_err()); // on no device yet
/// let scale = scale.on(&Device::cpu())?;
/// assert_eq!(scale.by.tensor()?.to_vec::<f32>()?, [1.0, 2.0, 3.0]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Parameter(Arc<Described<Placed>>);

struct Placed {
    flat: FlatParameters,
    tensor: Tensor,
}

impl Parameter {
    /// A parameter of `shape` with its first values in row-major order.
    #[track_caller]
    pub fn new(shape: &[usize], values: Vec<f32>) -> Result<Self> {
        Ok(Self(Arc::new(Described::new("parameter", shape, values)?)))
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// The tensor, a leaf of the gradient graph; an error as long as the model is on no device.
    #[track_caller]
    pub fn tensor(&self) -> Result<&Tensor> {
        Ok(&self.0.get()?.tensor)
    }

    /// Whether both are one and the same.
    pub(crate) fn same(&self, other: &Parameter) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The buffer of the model it belongs to.
    pub(crate) fn flat(&self) -> Option<&FlatParameters> {
        self.0.placed.get().map(|placed| &placed.flat)
    }

    /// Gives the first values away.
    pub(crate) fn take_first(&self) -> Vec<f32> {
        self.0.take_first()
    }

    /// Takes its tensor from the buffer; false if it has one already.
    pub(crate) fn place(&self, flat: &FlatParameters, tensor: &Tensor) -> bool {
        let placed = Placed { flat: flat.clone(), tensor: tensor.clone() };
        self.0.placed.set(placed).is_ok()
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.placed.get() {
            Some(placed) => write!(f, "Parameter({:?})", placed.tensor),
            None => write!(f, "Parameter({:?}, on no device yet)", self.shape()),
        }
    }
}
