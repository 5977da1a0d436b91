//! A dense layer in one operation: `y = σ(x Wᵀ + b)`, bias and activation in the product's epilogue.

use super::{need_float, need_same};
use crate::{
    Error, Grad, Meta, Precision, Result, Tensor,
    op::{Family, Saves},
    ops::{
        matmul::MatMul,
        reduce::Reduce,
        unary::{Unary, UnaryBackward},
    },
};

/// An activation whose derivative follows from its output, so that a layer need not keep `x Wᵀ + b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FusedActivation {
    /// max(z, 0)
    Relu,
    /// 1/(1+e⁻ᶻ)
    Sigmoid,
    /// tanh z
    Tanh,
}

impl FusedActivation {
    /// The same as an element-wise operation.
    pub fn unary(self) -> Unary {
        match self {
            FusedActivation::Relu => Unary::Relu,
            FusedActivation::Sigmoid => Unary::Sigmoid,
            FusedActivation::Tanh => Unary::Tanh,
        }
    }
}

/// x `[m, k]`, W `[n, k]`, b `[n]` -> y `[m, n]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Whether there is a bias.
    pub bias: bool,
    /// What is applied to `x Wᵀ + b`.
    pub activation: Option<FusedActivation>,
}

impl Family for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }
    fn precision(&self) -> Precision {
        Precision::Half
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let (x, w) = (&ins[0], &ins[1]);
        need_float("linear", x)?;
        need_same("linear", x, w)?;
        if x.shape.rank() != 2 || w.shape.rank() != 2 || x.shape[1] != w.shape[1] {
            return Err(Error::shape(
                "linear",
                format!(
                    "input {:?} does not fit weight {:?}; their last sizes must be equal",
                    x.shape, w.shape
                ),
            ));
        }
        if let Some(b) = ins.get(2) {
            need_same("linear", x, b)?;
            if *b.shape != [w.shape[0]] {
                return Err(Error::shape(
                    "linear",
                    format!(
                        "bias {:?} does not fit weight {:?}; it has one value per row",
                        b.shape, w.shape
                    ),
                ));
            }
        }
        Ok(vec![Meta { shape: x.shape.with(1, w.shape[0]), dtype: x.dtype }])
    }
    fn saves(&self) -> Saves {
        let y = if self.activation.is_some() { Saves::outputs(1) } else { Saves::NONE };
        Saves::inputs(0b11).and(y)
    }
    /// Δ = dy ⊙ σ'(y); dX = Δ·W, dW = ΔᵀX, db = Σδ
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let dy = g.cotangent()?;
        let delta = match self.activation {
            None => dy.clone(),
            Some(act) => Tensor::run(UnaryBackward(act.unary()), &[g.output(0)?, dy])?,
        };
        g.each(|i| match i {
            0 => g.last(0, MatMul, &[&delta, g.input(1)?]),
            1 => g.last(1, MatMul, &[&delta.t()?, g.input(0)?]),
            _ => g.last(2, Reduce::sum(&[0], false), &[&delta]),
        })
    }
}

impl Tensor {
    /// A dense layer: `σ(x Wᵀ + b)` for `x [.., k]`, `W [n, k]`, `b [n]`; the result is `[.., n]`.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::from_vec([1.0f32, 2.0], [1, 2], &cpu)?;
    /// let w = Tensor::from_vec([1.0f32, 0.0, 0.0, 1.0, 1.0, 1.0], [3, 2], &cpu)?;
    /// let b = Tensor::from_vec([0.5f32, 0.0, -1.0], [3], &cpu)?;
    /// assert_eq!(x.linear(&w, Some(&b), None)?.to_vec::<f32>()?, [1.5, 2.0, 2.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn linear(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        activation: Option<FusedActivation>,
    ) -> Result<Tensor> {
        let rank = self.rank();
        let Some((&k, lead)) = self.shape().split_last() else {
            return Err(Error::rank("linear", "needs an input of rank 1 or more, got rank 0"));
        };
        let rows = lead.iter().product();
        let x = if rank == 2 { self.clone() } else { self.reshape([rows, k])? };
        let op = Linear { bias: bias.is_some(), activation };
        let y = match bias {
            Some(bias) => Tensor::run(op, &[&x, weight, bias])?,
            None => Tensor::run(op, &[&x, weight])?,
        };
        if rank == 2 {
            return Ok(y);
        }
        let mut sizes = lead.to_vec();
        sizes.push(weight.shape()[0]);
        y.reshape(sizes)
    }
}
