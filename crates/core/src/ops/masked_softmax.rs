//! Softmax of scaled numbers along the last axis, with positions left out: the weights of attention.

use super::{need_float, need_same};
use crate::{
    DType, Error, Grad, Meta, Precision, Result, Shape, Tensor,
    op::{Family, Saves},
};

/// Softmax of `scale · x` over the positions of the last axis that are seen; the others get exactly 0, and
/// so does all of a row that sees nothing.
///
/// x `[.., queries, keys]`, and perhaps a mask (bool, true where seen) that broadcasts to it -> like x
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskedSoftmax {
    /// Whether a query sees only keys up to its own place, the last query and the last key being at the
    /// same place.
    pub causal: bool,
    /// What x is multiplied by first.
    pub scale: f64,
}

impl MaskedSoftmax {
    /// How many of the first keys a query may see.
    pub(crate) fn reach(&self, query: usize, queries: usize, keys: usize) -> usize {
        match self.causal {
            true => (query + 1 + keys).saturating_sub(queries).min(keys),
            false => keys,
        }
    }
}

impl Family for MaskedSoftmax {
    fn name(&self) -> &'static str {
        "masked_softmax"
    }
    fn precision(&self) -> Precision {
        Precision::Wide
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let x = ins[0];
        need_float("masked_softmax", &x)?;
        if x.shape.rank() < 2 {
            return Err(Error::rank(
                "masked_softmax",
                format!("needs [.., queries, keys], got {:?}", x.shape),
            ));
        }
        if !(self.scale as f32).is_finite() {
            return Err(Error::argument(
                "masked_softmax",
                format!("scale {}; it must be finite", self.scale),
            ));
        }
        if let Some(mask) = ins.get(1) {
            need_mask("masked_softmax", mask.dtype)?;
            if Shape::broadcast("masked_softmax", &mask.shape, &x.shape).ok() != Some(x.shape) {
                return Err(Error::shape(
                    "masked_softmax",
                    format!("the mask {:?} does not stretch to {:?}", mask.shape, x.shape),
                ));
            }
        }
        Ok(vec![x])
    }
    fn saves(&self) -> Saves {
        Saves::outputs(1)
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let op = MaskedSoftmaxBackward { scale: self.scale };
        g.each(|i| g.last(i, op, &[g.output(0)?, g.cotangent()?]))
    }
}

/// An error unless the type is that of a mask.
#[track_caller]
pub(crate) fn need_mask(op: &'static str, dtype: DType) -> Result<()> {
    if dtype == DType::Bool {
        return Ok(());
    }
    Err(Error::dtype(
        op,
        format!("the mask must be bool, true where something is seen, got {dtype}; compare first"),
    ))
}

/// From the output y and the cotangent dy: `scale · y (dy - Σ y dy)`; 0 where y is 0, whatever dy is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskedSoftmaxBackward {
    /// What x was multiplied by.
    pub scale: f64,
}

impl Family for MaskedSoftmaxBackward {
    fn name(&self) -> &'static str {
        "masked_softmax_backward"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        need_same(self.name(), &ins[0], &ins[1])?;
        if ins[0].shape != ins[1].shape {
            return Err(Error::shape(
                self.name(),
                format!("output {:?} and cotangent {:?} differ", ins[0].shape, ins[1].shape),
            ));
        }
        Ok(vec![ins[0]])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("second derivatives are not offered")
    }
}

impl Tensor {
    /// Softmax of `scale · self` along the last axis of `[.., queries, keys]`, over what is seen: positions where
    /// the bool `mask` is true (it broadcasts to this shape), and if `causal`, for query i only the keys up to
    /// `i + keys - queries`, so that the last query sees every key and, of more queries than keys, the first
    /// `queries - keys` see none. What is not seen gets exactly 0 and gives
    /// no gradient; a row that sees nothing, or only −∞, is 0 throughout. NaN or +∞ where a row sees it makes
    /// what the row sees NaN.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::zeros([3, 3], &cpu)?;
    /// let weights = x.masked_softmax(None, true, 1.0)?;
    /// assert_eq!(weights.slice(0, 0..2)?.to_vec::<f32>()?, [1.0, 0.0, 0.0, 0.5, 0.5, 0.0]);
    /// let mask = Tensor::from_vec([false, true, true], [3], &cpu)?;
    /// let weights = x.masked_softmax(Some(&mask), true, 1.0)?;
    /// assert_eq!(weights.slice(0, 0..2)?.to_vec::<f32>()?, [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn masked_softmax(
        &self,
        mask: Option<&Tensor>,
        causal: bool,
        scale: f64,
    ) -> Result<Tensor> {
        let op = MaskedSoftmax { causal, scale };
        match mask {
            Some(mask) => Tensor::run(op, &[self, mask]),
            None => Tensor::run(op, &[self]),
        }
    }
}
