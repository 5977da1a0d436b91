//! Another element type.

use crate::{DType, Grad, Meta, Result, Tensor, op::Family};

/// Conversion to another element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast(pub DType);

impl Family for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![Meta { dtype: self.0, ..ins[0] }])
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        g.each(|i| g.last(i, Cast(g.input_meta(0).dtype), &[g.cotangent()?]))
    }
}

impl Tensor {
    /// The same values in another type. Floats to integers are cut off towards zero and clamped to
    /// the range, NaN gives 0; between integers they wrap; to bool, everything but 0 is true (NaN too).
    /// Gradients flow between floating-point types only.
    ///
    /// ```
    /// # use wgrad_core::{DType, Device, Tensor};
    /// let x = Tensor::from_vec([1.9f32, -1.9, f32::NAN, 1e20], [4], &Device::cpu())?;
    /// assert_eq!(x.cast(DType::I32)?.to_vec::<i32>()?, [1, -1, 0, i32::MAX]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Result<Tensor> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        Tensor::run(Cast(dtype), &[self])
    }
}
