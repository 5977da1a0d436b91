//! `Flatten`: from images to rows for dense layers.

use crate::{Layer, Module, Visitor};
use wgrad_core::{Error, Result, Tensor};

/// All axes but the first as one: `[n, c, h, w]` becomes `[n, c·h·w]`. An input needs rank 1 or more; `[n]`
/// becomes `[n, 1]`.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Flatten, Layer};
/// let x = Tensor::ones([2, 3, 4, 5], &Device::cpu())?;
/// assert_eq!(Flatten.forward(&x)?.shape(), [2, 60]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Flatten;

impl Module for Flatten {
    fn visit(&self, _: &mut Visitor) {}
}

impl Layer for Flatten {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Some((&rows, rest)) = x.shape().split_first() else {
            return Err(Error::rank("flatten", "needs an input of rank 1 or more, got rank 0"));
        };
        x.reshape([rows, rest.iter().product()])
    }
}
