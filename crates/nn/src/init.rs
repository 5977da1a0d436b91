//! `Init`: first values of parameters, drawn on the host so that every device starts with the same bits.

use crate::Parameter;
use wgrad_core::{Error, Result, Shape, philox::Stream};

/// Draws first values of parameters from the Philox stream of a seed. Layers draw in the order in
/// which they are made, so the same program with the same seed gives the same bits on every device.
pub struct Init(Stream);

/// Stream 0 of a seed is for first values, 1 and up for shuffling.
const STREAM: u32 = 0;

impl Init {
    /// A fresh stream for `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Stream::new(seed, STREAM))
    }

    /// A parameter with values evenly spread over [-bound, bound); the bound is finite and not
    /// negative.
    #[track_caller]
    pub fn uniform(&mut self, shape: &[usize], bound: f32) -> Result<Parameter> {
        if !(bound.is_finite() && bound >= 0.0) {
            return Err(Error::argument(
                "init",
                format!("bound {bound}; it must be finite and not negative"),
            ));
        }
        self.filled(shape, |stream| stream.uniform(-bound, bound))
    }

    /// A parameter with all values equal.
    #[track_caller]
    pub fn constant(&mut self, shape: &[usize], value: f32) -> Result<Parameter> {
        self.filled(shape, |_| value)
    }

    #[track_caller]
    pub(crate) fn filled(
        &mut self,
        shape: &[usize],
        mut value: impl FnMut(&mut Stream) -> f32,
    ) -> Result<Parameter> {
        let count = Shape::new("init", shape)?.numel();
        let mut values = Vec::new();
        if values.try_reserve_exact(count).is_err() {
            return Err(Error::memory(
                "init",
                format!("no memory for a parameter of shape {shape:?}"),
            ));
        }
        values.extend(std::iter::repeat_with(|| value(&mut self.0)).take(count));
        Parameter::new(shape, values)
    }
}
