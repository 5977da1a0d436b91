//! Element-wise operations on one tensor. One row in each table: here, CPU function, WGSL text, test.

use super::{need_float, need_number};
use crate::{Grad, Meta, Precision, Result, Shape, Tensor, op::Family, op::Saves};

/// An element-wise operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// -x
    Neg,
    /// eˣ
    Exp,
    /// ln x
    Log,
    /// √x; its gradient at 0 is 0
    Sqrt,
    /// |x|; its gradient at 0 is 0
    Abs,
    /// x²
    Square,
    /// 1/x
    Reciprocal,
    /// max(x, 0), NaN stays NaN; its gradient at 0 is 0
    Relu,
    /// x where positive, else slope·x
    LeakyRelu(f32),
    /// 1/(1+e⁻ˣ)
    Sigmoid,
    /// tanh x
    Tanh,
    /// x·Φ(x), exact
    Gelu,
    /// the tanh form of GELU
    GeluTanh,
    /// x·sigmoid(x)
    Silu,
    /// ln(1+eˣ)
    Softplus,
}

impl Unary {
    /// One of each.
    pub const ALL: [Unary; 15] = [
        Unary::Neg,
        Unary::Exp,
        Unary::Log,
        Unary::Sqrt,
        Unary::Abs,
        Unary::Square,
        Unary::Reciprocal,
        Unary::Relu,
        Unary::LeakyRelu(0.01),
        Unary::Sigmoid,
        Unary::Tanh,
        Unary::Gelu,
        Unary::GeluTanh,
        Unary::Silu,
        Unary::Softplus,
    ];

    /// The name of the operation.
    pub fn label(self) -> &'static str {
        match self {
            Unary::Neg => "neg",
            Unary::Exp => "exp",
            Unary::Log => "log",
            Unary::Sqrt => "sqrt",
            Unary::Abs => "abs",
            Unary::Square => "square",
            Unary::Reciprocal => "reciprocal",
            Unary::Relu => "relu",
            Unary::LeakyRelu(_) => "leaky_relu",
            Unary::Sigmoid => "sigmoid",
            Unary::Tanh => "tanh",
            Unary::Gelu => "gelu",
            Unary::GeluTanh => "gelu_tanh",
            Unary::Silu => "silu",
            Unary::Softplus => "softplus",
        }
    }

    /// Whether backward starts from the output rather than the input.
    pub fn backward_from_output(self) -> bool {
        matches!(
            self,
            Unary::Exp
                | Unary::Sqrt
                | Unary::Reciprocal
                | Unary::Relu
                | Unary::Sigmoid
                | Unary::Tanh
        )
    }
}

impl Family for Unary {
    fn name(&self) -> &'static str {
        self.label()
    }
    fn precision(&self) -> Precision {
        match self {
            Unary::Exp | Unary::Log | Unary::Square | Unary::Reciprocal | Unary::Softplus => {
                Precision::Wide
            }
            _ => Precision::Meet,
        }
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        if matches!(self, Unary::Neg | Unary::Abs | Unary::Square) {
            need_number(self.label(), &ins[0])?;
        } else {
            need_float(self.label(), &ins[0])?;
        }
        Ok(vec![ins[0]])
    }
    fn saves(&self) -> Saves {
        match self {
            Unary::Neg => Saves::NONE,
            op if op.backward_from_output() => Saves::outputs(1),
            _ => Saves::inputs(1),
        }
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        g.each(|i| match self {
            Unary::Neg => g.last(i, Unary::Neg, &[g.cotangent()?]),
            op => {
                let saved = if op.backward_from_output() { g.output(0)? } else { g.input(0)? };
                g.last(i, UnaryBackward(*op), &[saved, g.cotangent()?])
            }
        })
    }
}

/// `dy · f'`, from the saved input or output and the cotangent `dy`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnaryBackward(pub Unary);

impl Family for UnaryBackward {
    fn name(&self) -> &'static str {
        match self.0 {
            Unary::Neg => "neg_backward",
            Unary::Exp => "exp_backward",
            Unary::Log => "log_backward",
            Unary::Sqrt => "sqrt_backward",
            Unary::Abs => "abs_backward",
            Unary::Square => "square_backward",
            Unary::Reciprocal => "reciprocal_backward",
            Unary::Relu => "relu_backward",
            Unary::LeakyRelu(_) => "leaky_relu_backward",
            Unary::Sigmoid => "sigmoid_backward",
            Unary::Tanh => "tanh_backward",
            Unary::Gelu => "gelu_backward",
            Unary::GeluTanh => "gelu_tanh_backward",
            Unary::Silu => "silu_backward",
            Unary::Softplus => "softplus_backward",
        }
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let shape = Shape::broadcast(self.name(), &ins[0].shape, &ins[1].shape)?;
        Ok(vec![Meta { shape, dtype: ins[0].dtype }])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("second derivatives are not offered")
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident => $op:expr, $example:literal;)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                /// Floating-point tensors of any shape; the result has the same shape.
                ///
                /// ```
                /// # use wgrad_core::{Device, Tensor};
                /// let x = Tensor::from_vec([1.0f32, 4.0], [2], &Device::cpu())?;
                #[doc = $example]
                /// # Ok::<(), wgrad_core::Error>(())
                /// ```
                #[track_caller]
                pub fn $name(&self) -> Result<Tensor> {
                    Tensor::run($op, &[self])
                }
            )*
        }
    };
}

methods! {
    /// `-x`. Integers too.
    neg => Unary::Neg, "assert_eq!(x.neg()?.to_vec::<f32>()?, [-1.0, -4.0]);";
    /// `eˣ`.
    exp => Unary::Exp, "assert!((x.exp()?.to_vec::<f32>()?[0] - 2.71828).abs() < 1e-4);";
    /// Natural logarithm; of 0 it is −∞, of negative numbers NaN.
    log => Unary::Log, "assert_eq!(x.log()?.to_vec::<f32>()?[0], 0.0);";
    /// Square root; its gradient at 0 is defined as 0.
    sqrt => Unary::Sqrt, "assert_eq!(x.sqrt()?.to_vec::<f32>()?, [1.0, 2.0]);";
    /// Absolute value; its gradient at 0 is 0. Integers too.
    abs => Unary::Abs, "assert_eq!(x.neg()?.abs()?.to_vec::<f32>()?, [1.0, 4.0]);";
    /// `x²`. Integers too.
    square => Unary::Square, "assert_eq!(x.square()?.to_vec::<f32>()?, [1.0, 16.0]);";
    /// `1/x`.
    reciprocal => Unary::Reciprocal, "assert_eq!(x.reciprocal()?.to_vec::<f32>()?, [1.0, 0.25]);";
    /// `max(x, 0)`; NaN stays NaN, the gradient at 0 is 0.
    relu => Unary::Relu, "assert_eq!(x.neg()?.relu()?.to_vec::<f32>()?, [0.0, 0.0]);";
    /// Logistic function `1/(1+e⁻ˣ)`, right for any finite input.
    sigmoid => Unary::Sigmoid, "assert!((x.sigmoid()?.to_vec::<f32>()?[0] - 0.7310586).abs() < 1e-6);";
    /// Hyperbolic tangent, right for any finite input.
    tanh => Unary::Tanh, "assert!((x.tanh()?.to_vec::<f32>()?[0] - 0.7615942).abs() < 1e-6);";
    /// GELU, exact form `x·Φ(x)` (Hendrycks and Gimpel 2016).
    gelu => Unary::Gelu, "assert!((x.gelu()?.to_vec::<f32>()?[0] - 0.8413447).abs() < 1e-6);";
    /// GELU in its tanh form.
    gelu_tanh => Unary::GeluTanh, "assert!((x.gelu_tanh()?.to_vec::<f32>()?[0] - 0.841192).abs() < 1e-5);";
    /// SiLU, also called swish: `x·sigmoid(x)`.
    silu => Unary::Silu, "assert!((x.silu()?.to_vec::<f32>()?[0] - 0.7310586).abs() < 1e-6);";
    /// `ln(1+eˣ)`, without overflow.
    softplus => Unary::Softplus, "assert!((x.softplus()?.to_vec::<f32>()?[0] - 1.3132617).abs() < 1e-6);";
}

impl Tensor {
    /// `x` where positive, else `slope·x`.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([1.0f32, -4.0], [2], &Device::cpu())?;
    /// assert_eq!(x.leaky_relu(0.5)?.to_vec::<f32>()?, [1.0, -2.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn leaky_relu(&self, slope: f32) -> Result<Tensor> {
        if !slope.is_finite() {
            return Err(crate::Error::argument(
                "leaky_relu",
                format!("slope {slope} is not finite; give a number such as 0.01"),
            ));
        }
        Tensor::run(Unary::LeakyRelu(slope), &[self])
    }
}
