//! A tensor of a layer before it has memory: first described, then placed on a device.

use std::sync::{Mutex, OnceLock, PoisonError};
use wgrad_core::{Error, Result, Shape};

/// A shape with its first values, and `T` once it is placed.
pub(crate) struct Described<T> {
    /// The word in error messages.
    what: &'static str,
    pub shape: Shape,
    /// The first values in row-major order, given away when it is placed.
    first: Mutex<Vec<f32>>,
    pub placed: OnceLock<T>,
}

impl<T> Described<T> {
    #[track_caller]
    pub fn new(what: &'static str, shape: &[usize], values: Vec<f32>) -> Result<Self> {
        let shape = Shape::new(what, shape)?;
        if shape.numel() != values.len() {
            return Err(Error::shape(
                what,
                format!("{} values given, shape {shape:?} has {}", values.len(), shape.numel()),
            ));
        }
        Ok(Self { what, shape, first: Mutex::new(values), placed: OnceLock::new() })
    }

    /// What it became on a device; an error as long as it is on none.
    #[track_caller]
    pub fn get(&self) -> Result<&T> {
        let what = self.what;
        match self.placed.get() {
            Some(placed) => Ok(placed),
            None => Err(Error::argument(
                what,
                format!(
                    "the {what} {:?} is on no device yet; call .on(&device) on the model, and name \
                     every field with {what}s in module!(..)",
                    self.shape
                ),
            )),
        }
    }

    /// Gives the first values away.
    pub fn take_first(&self) -> Vec<f32> {
        std::mem::take(&mut *self.first.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
