//! Choice by a condition. Values that are not chosen never leak, not even NaN, nor into gradients.

use super::need_same;
use crate::{DType, Error, Grad, Meta, Result, Shape, Tensor, op::Family, op::Saves};

/// `a` where the condition holds, else `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Where;

fn need_condition(op: &'static str, x: &Meta) -> Result<()> {
    if x.dtype == DType::Bool {
        return Ok(());
    }
    Err(Error::dtype(op, format!("the condition must be bool, got {}; compare first", x.dtype)))
}

impl Family for Where {
    fn name(&self) -> &'static str {
        "where"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        need_condition("where", &ins[0])?;
        need_same("where", &ins[1], &ins[2])?;
        let shape = Shape::broadcast("where", &ins[1].shape, &ins[2].shape)?;
        let shape = Shape::broadcast("where", &ins[0].shape, &shape)?;
        Ok(vec![Meta { shape, dtype: ins[1].dtype }])
    }
    fn saves(&self) -> Saves {
        Saves::inputs(1)
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        g.each(|i| g.last(i, Mask { keep: i == 1 }, &[g.input(0)?, g.cotangent()?]))
    }
}

/// The value where the condition equals `keep`, else 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Which truth value lets values through.
    pub keep: bool,
}

impl Family for Mask {
    fn name(&self) -> &'static str {
        "mask"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        need_condition("mask", &ins[0])?;
        let shape = Shape::broadcast("mask", &ins[0].shape, &ins[1].shape)?;
        Ok(vec![Meta { shape, dtype: ins[1].dtype }])
    }
    fn saves(&self) -> Saves {
        Saves::inputs(1)
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        g.each(|i| g.last(i, *self, &[g.input(0)?, g.cotangent()?]))
    }
}

impl Tensor {
    /// `a` where this bool tensor is true, else `b`; all three broadcast.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::from_vec([1.0f32, -2.0], [2], &cpu)?;
    /// let y = x.try_gt(0.0)?.select(&x, &x.try_mul(10.0)?)?;
    /// assert_eq!(y.to_vec::<f32>()?, [1.0, -20.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn select(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        Tensor::run(Where, &[self, a, b])
    }

    /// Zero where this tensor is taken but the bool `condition` does not hold; both broadcast.
    #[track_caller]
    pub fn mask(&self, condition: &Tensor) -> Result<Tensor> {
        Tensor::run(Mask { keep: true }, &[condition, self])
    }
}
