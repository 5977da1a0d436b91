//! `LayerNorm`, composed of other operations.

use crate::{Init, Layer, Parameter};
use wgrad_core::{Result, Tensor};

/// Mean 0 and variance 1 along the last axis, then `weight · x + bias`.
#[derive(Debug)]
pub struct LayerNorm {
    /// `[size]`
    pub weight: Parameter,
    /// `[size]`
    pub bias: Parameter,
}
crate::module!(LayerNorm { weight, bias });

impl LayerNorm {
    /// Over a last axis of `size`.
    #[track_caller]
    pub fn new(size: usize, init: &mut Init) -> Result<Self> {
        Ok(Self { weight: init.constant(&[size], 1.0)?, bias: init.constant(&[size], 0.0)? })
    }
}

impl Layer for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let far = x.try_sub(&x.mean_keep([-1])?)?;
        let spread = far.square()?.mean_keep([-1])?.try_add(1e-5)?.sqrt()?;
        far.try_div(&spread)?.try_mul(self.weight.tensor()?)?.try_add(self.bias.tensor()?)
    }
}
