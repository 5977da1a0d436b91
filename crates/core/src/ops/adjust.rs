//! Work on flat buffers between backward and an optimizer's step: clipping, loss scaling, accumulation, averages.

use crate::{DType, Error, Meta, Result, Shape, Tensor, op::Family};

/// A change of a contiguous f32 buffer, in place. Does nothing while a fault is pending on the device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Adjust {
    /// ins x, y: x ← keep·x + add·y. With keep = 0, x is not read.
    Mix {
        /// Factor of what is there.
        keep: f32,
        /// Factor of what comes.
        add: f32,
    },
    /// ins x, norm: x ← x·max/norm if the norm is finite and larger than max.
    ClipNorm {
        /// The largest norm.
        max: f32,
    },
    /// ins x: every element between −max and max; NaN stays.
    ClipValue {
        /// The largest size of an element.
        max: f32,
    },
    /// ins x, scale `[8]`, flags `[4]`: x ← x·scale\[1\]; bit 0 of flags\[0\] is set if an element is infinite, bit 1 if
    /// one is NaN. outs x, flags.
    Unscale,
}

/// The Euclidean length of all elements, f32. Neither large nor small elements overflow on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorNorm;

/// Numbers of a loss scale on the device.
pub const SCALE: usize = 8;
/// Words of the flags of a loss scale.
pub const FLAGS: usize = 4;

/// The next loss scale. ins scale `[8]`, flags `[4]`, both changed: half of it after a step with flags, twice of it after
/// `interval` steps without. scale = [scale, 1/scale, good steps in a row, skipped steps, those with NaN, those at
/// the floor, 0, 0]. The flags are cleared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptScale {
    /// Good steps before the scale grows.
    pub interval: u32,
    /// The smallest scale.
    pub floor: f32,
}

impl AdaptScale {
    /// The largest scale: f32 counts to it.
    pub const CEILING: f32 = 16_777_216.0;
}

fn need(op: &'static str, x: Option<&Meta>, shape: &[usize], dtype: DType) -> Result<()> {
    match x {
        Some(x) if x.shape == Shape::from_checked(shape) && x.dtype == dtype => Ok(()),
        _ => Err(Error::shape(op, format!("needs an operand of shape {shape:?} {dtype}"))),
    }
}

impl Family for Adjust {
    fn name(&self) -> &'static str {
        match self {
            Adjust::Mix { .. } => "mix",
            Adjust::ClipNorm { .. } => "clip_norm",
            Adjust::ClipValue { .. } => "clip_value",
            Adjust::Unscale => "unscale",
        }
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let (op, x) = (self.name(), &ins[0]);
        if x.dtype != DType::F32 {
            return Err(Error::dtype(op, format!("works on f32, got {}; cast it first", x.dtype)));
        }
        match self {
            Adjust::Mix { .. } => need(op, ins.get(1), &x.shape, DType::F32)?,
            Adjust::ClipNorm { .. } => need(op, ins.get(1), &[], DType::F32)?,
            Adjust::ClipValue { .. } => {}
            Adjust::Unscale => {
                need(op, ins.get(1), &[SCALE], DType::F32)?;
                need(op, ins.get(2), &[FLAGS], DType::U32)?;
                return Ok(vec![*x, ins[2]]);
            }
        }
        Ok(vec![*x])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("changes memory in place")
    }
    fn in_place(&self) -> bool {
        true
    }
}

impl Family for VectorNorm {
    fn name(&self) -> &'static str {
        "vector_norm"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        need("vector_norm", ins.first(), &ins[0].shape, DType::F32)?;
        Ok(vec![Meta { shape: Shape::scalar(), dtype: DType::F32 }])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("measures gradients")
    }
}

impl Family for AdaptScale {
    fn name(&self) -> &'static str {
        "adapt_scale"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        need("adapt_scale", ins.first(), &[SCALE], DType::F32)?;
        need("adapt_scale", ins.get(1), &[FLAGS], DType::U32)?;
        Ok(vec![ins[0], ins[1]])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("changes memory in place")
    }
    fn in_place(&self) -> bool {
        true
    }
}

impl Tensor {
    /// `self ← keep·self + add·other`, in place: for running sums and averages. Both are f32, contiguous, of one shape,
    /// and in different memory. With `keep` = 0 what was there does not matter, even if it is NaN.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let average = Tensor::from_vec([1.0f32, 2.0], [2], &cpu)?;
    /// average.mix(&Tensor::from_vec([5.0f32, 6.0], [2], &cpu)?, 0.75, 0.25)?;
    /// assert_eq!(average.to_vec::<f32>()?, [2.0, 3.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn mix(&self, other: &Tensor, keep: f64, add: f64) -> Result<()> {
        if self.is_computed() {
            return Err(Error::graph(
                "mix",
                "this tensor was computed in a gradient graph, which would not see the change; detach() it",
            ));
        }
        let one = std::sync::Arc::ptr_eq(self.storage()?, other.storage()?);
        if one || !self.layout().is_contiguous() || !other.layout().is_contiguous() {
            return Err(Error::argument(
                "mix",
                "both tensors must be contiguous and in different memory; use contiguous() or a copy",
            ));
        }
        let op = Adjust::Mix { keep: keep as f32, add: add as f32 };
        Tensor::run_in_place(op, &[self, other], &[self])
    }

    /// The Euclidean length of all elements of an f32 tensor.
    #[track_caller]
    pub(crate) fn length(&self) -> Result<Tensor> {
        Tensor::run(VectorNorm, &[&self.contiguous()?])
    }
}
