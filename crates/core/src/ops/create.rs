//! Tensors from nothing: one value, evenly spaced values, one-hot rows.

use super::need_index;
use crate::{DType, Device, Error, Meta, Result, Shape, Tensor, op::Family};

/// One value everywhere; also in place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fill {
    /// Sizes.
    pub shape: Shape,
    /// Element type.
    pub dtype: DType,
    /// The value.
    pub value: f64,
}

impl Family for Fill {
    fn name(&self) -> &'static str {
        "fill"
    }
    fn outputs(&self, _: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![Meta { shape: self.shape, dtype: self.dtype }])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("a constant")
    }
    fn in_place(&self) -> bool {
        true
    }
}

/// `start + i·step`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arange {
    /// The first value.
    pub start: f64,
    /// The distance between values.
    pub step: f64,
    /// How many.
    pub count: usize,
    /// Element type.
    pub dtype: DType,
}

impl Family for Arange {
    fn name(&self) -> &'static str {
        "arange"
    }
    fn outputs(&self, _: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![Meta { shape: Shape::new("arange", &[self.count])?, dtype: self.dtype }])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("a constant")
    }
}

/// indices `[i..]` -> `[i.., classes]`: 1 at the index, else 0
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneHot {
    /// The size of the new axis.
    pub classes: usize,
}

impl Family for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        need_index("one_hot", &ins[0])?;
        let mut sizes = ins[0].shape.to_vec();
        sizes.push(self.classes);
        Ok(vec![Meta { shape: Shape::new("one_hot", &sizes)?, dtype: DType::F32 }])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("made from indices")
    }
}

impl Tensor {
    /// Zeros (f32).
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// assert_eq!(Tensor::zeros([2], &Device::cpu())?.to_vec::<f32>()?, [0.0, 0.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn zeros(shape: impl AsRef<[usize]>, device: &Device) -> Result<Tensor> {
        Tensor::full(shape, 0.0, DType::F32, device)
    }

    /// Ones (f32).
    #[track_caller]
    pub fn ones(shape: impl AsRef<[usize]>, device: &Device) -> Result<Tensor> {
        Tensor::full(shape, 1.0, DType::F32, device)
    }

    /// One value everywhere, converted to `dtype` by the rules of [`cast`](Tensor::cast).
    #[track_caller]
    pub fn full(
        shape: impl AsRef<[usize]>,
        value: f64,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let shape = Shape::new("full", shape.as_ref())?;
        Tensor::create(Fill { shape, dtype, value }, device)
    }

    /// One value everywhere, in the shape and type of another tensor.
    #[track_caller]
    pub fn full_like(like: &Tensor, value: f64) -> Result<Tensor> {
        Tensor::full(like.shape(), value, like.dtype(), like.device())
    }

    /// `start, start + step, ..` up to but without `end`.
    ///
    /// ```
    /// # use wgrad_core::{DType, Device, Tensor};
    /// let x = Tensor::arange(1.0, 7.0, 2.0, DType::I32, &Device::cpu())?;
    /// assert_eq!(x.to_vec::<i32>()?, [1, 3, 5]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn arange(
        start: f64,
        end: f64,
        step: f64,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let count = ((end - start) / step).ceil();
        if step == 0.0 || !step.is_finite() || !count.is_finite() {
            return Err(Error::argument(
                "arange",
                format!(
                    "from {start} to {end} in steps of {step}; the step must be finite and not 0"
                ),
            ));
        }
        if dtype == DType::Bool {
            return Err(Error::dtype("arange", "bool cannot count; use i32"));
        }
        if !dtype.is_float() && (start.fract() != 0.0 || step.fract() != 0.0) {
            return Err(Error::dtype(
                "arange",
                format!("start {start} and step {step} must be whole numbers for {dtype}"),
            ));
        }
        if count > 2f64.powi(53) {
            return Err(Error::size("arange", format!("{count} elements; use fewer")));
        }
        let last = start + (count - 1.0).max(0.0) * step;
        let range = match dtype {
            DType::I32 => f64::from(i32::MIN)..=f64::from(i32::MAX),
            DType::U32 => 0.0..=f64::from(u32::MAX),
            _ => f64::NEG_INFINITY..=f64::INFINITY,
        };
        if count > 0.0 && !(range.contains(&start) && range.contains(&last)) {
            return Err(Error::dtype(
                "arange",
                format!("{start} to {last} does not fit {dtype}; use a wider type"),
            ));
        }
        Tensor::create(Arange { start, step, count: count.max(0.0) as usize, dtype }, device)
    }

    /// Rows of an identity matrix (f32) by index (i32 or u32): `[i..]` becomes `[i.., classes]`. An
    /// index outside `0..classes` is an error, reported as [`gather`](Tensor::gather) does.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let labels = Tensor::from_vec([2i32, 0], [2], &Device::cpu())?;
    /// assert_eq!(labels.one_hot(3)?.to_vec::<f32>()?, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Result<Tensor> {
        if classes == 0 {
            return Err(Error::argument("one_hot", "0 classes; there must be at least one"));
        }
        Tensor::run(OneHot { classes }, &[self])
    }
}
