//! Activation functions, as a value that a layer can be given.

use crate::{Layer, Module, Visitor};
use wgrad_core::{Result, Tensor, ops::linear};

/// An element-wise function between layers; the shape stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// max(x, 0)
    Relu,
    /// x where positive, else x/100
    LeakyRelu,
    /// 1/(1+e⁻ˣ)
    Sigmoid,
    /// tanh x
    Tanh,
    /// x·Φ(x), exact
    Gelu,
    /// The tanh form of GELU.
    GeluTanh,
    /// x·sigmoid(x)
    Silu,
    /// ln(1+eˣ)
    Softplus,
}

impl Activation {
    /// One of each.
    pub const ALL: [Activation; 8] = [
        Activation::Relu,
        Activation::LeakyRelu,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Softplus,
    ];

    /// The function, applied to each element.
    #[track_caller]
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Activation::Relu => x.relu(),
            Activation::LeakyRelu => x.leaky_relu(0.01),
            Activation::Sigmoid => x.sigmoid(),
            Activation::Tanh => x.tanh(),
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::Silu => x.silu(),
            Activation::Softplus => x.softplus(),
        }
    }

    /// The same in the epilogue of a dense layer's product, where that exists.
    pub(crate) fn fused(self) -> Option<linear::FusedActivation> {
        match self {
            Activation::Relu => Some(linear::FusedActivation::Relu),
            Activation::Sigmoid => Some(linear::FusedActivation::Sigmoid),
            Activation::Tanh => Some(linear::FusedActivation::Tanh),
            _ => None,
        }
    }
}

impl Module for Activation {
    fn visit(&self, _: &mut Visitor) {}
}

impl Layer for Activation {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.apply(x)
    }
}
