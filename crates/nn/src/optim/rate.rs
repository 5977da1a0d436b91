//! The numbers of an optimizer on the device, and the learning rate among them.

use super::{POSITIVE, number};
use std::sync::{Mutex, PoisonError};
use wgrad_core::{FlatParameters, Result, Tensor};

/// The tensor of an optimizer's numbers, whose first is the learning rate, with that rate on the host.
pub(super) struct Rate {
    hyper: Tensor,
    rate: Mutex<f64>,
}

impl Rate {
    #[track_caller]
    pub fn new(flat: &FlatParameters, numbers: &[f32], lr: f64) -> Result<Self> {
        Ok(Self { hyper: flat.hyper(numbers)?, rate: Mutex::new(lr) })
    }

    pub fn hyper(&self) -> &Tensor {
        &self.hyper
    }

    pub fn get(&self) -> f64 {
        *self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[track_caller]
    pub fn set(&self, op: &'static str, flat: &FlatParameters, lr: f64) -> Result<()> {
        let number = number(op, "learning rate", lr, POSITIVE)?;
        // Held across the upload, so that two threads leave the same rate here and there.
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        flat.set_hyper(&self.hyper, 0, &[number])?;
        *rate = lr;
        Ok(())
    }
}
