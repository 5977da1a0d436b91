//! `Dropout`: values become 0 at random in training.

use crate::{Layer, Module, Visitor, training};
use wgrad_core::{Error, Result, Tensor};

/// In training each value becomes 0 with probability p and the others are multiplied by `1/(1-p)`; within
/// [`eval`](crate::eval) everything passes. See [`Tensor::dropout`].
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Dropout, Layer, eval};
/// let cpu = Device::cpu();
/// let dropout = Dropout::new(0.5)?;
/// let x = Tensor::ones([100], &cpu)?;
/// assert!(dropout.forward(&x)?.to_vec::<f32>()?.iter().all(|&y| y == 0.0 || y == 2.0));
/// assert_eq!(eval(|| dropout.forward(&x))?.to_vec::<f32>()?, [1.0; 100]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    p: f32,
}

impl Dropout {
    /// A layer that drops with probability `p` in [0, 1].
    #[track_caller]
    pub fn new(p: f32) -> Result<Self> {
        if !(0.0..=1.0).contains(&p) {
            return Err(Error::argument(
                "dropout",
                format!("p {p}; a probability lies between 0 and 1"),
            ));
        }
        Ok(Self { p })
    }

    /// The probability.
    pub fn p(&self) -> f32 {
        self.p
    }
}

impl Module for Dropout {
    fn visit(&self, _: &mut Visitor) {}
}

impl Layer for Dropout {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if training() { x.dropout(self.p) } else { Ok(x.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_core::ErrorKind;

    #[test]
    fn bad_probabilities_are_refused_at_construction() {
        for p in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            let made = Dropout::new(p).err().map(|e| e.kind());
            assert_eq!(made, Some(ErrorKind::Argument), "{p}");
        }
    }
}
