//! `TransformerBlock`: attention and two dense layers, each beside a way past it.

use crate::{Activation, Dropout, Init, Layer, LayerNorm, Linear, MultiHeadAttention};
use wgrad_core::{Result, Tensor};

/// A block of a transformer, normalised before each part: `x + attention(norm(x))`, then `x + mlp(norm(x))` with GELU
/// between its two layers; `[.., t, size]` stays that shape. Parameters have the names, layouts and order of PyTorch's
/// `TransformerEncoderLayer(norm_first=True, activation="gelu", batch_first=True)`.
///
/// PyTorch's defaults are others: it normalises after each part (`norm_first=False`) and takes ReLU. Parameters of such a
/// layer have the same names and shapes, so they load here without an error and give other numbers.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Init, Layer, Module, TransformerBlock};
/// let cpu = Device::cpu();
/// let block = TransformerBlock::new(16, 2, 64, &mut Init::new(1))?.causal().on(&cpu)?;
/// assert_eq!(block.forward(&Tensor::ones([2, 5, 16], &cpu)?)?.shape(), [2, 5, 16]);
/// assert_eq!(block.names()[..2], ["self_attn.in_proj_weight", "self_attn.in_proj_bias"]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct TransformerBlock {
    /// Attention of the sequence to itself.
    pub self_attn: MultiHeadAttention,
    /// From `size` to `hidden`, with GELU.
    pub linear1: Linear,
    /// Back to `size`.
    pub linear2: Linear,
    /// Before attention.
    pub norm1: LayerNorm,
    /// Before the dense layers.
    pub norm2: LayerNorm,
    dropout: Dropout,
}
crate::module!(TransformerBlock { self_attn, linear1, linear2, norm1, norm2 });

impl TransformerBlock {
    /// A block with biases; `heads` divides `size`, and `hidden` is usually 4 times `size`.
    #[track_caller]
    pub fn new(size: usize, heads: usize, hidden: usize, init: &mut Init) -> Result<Self> {
        Ok(Self {
            self_attn: MultiHeadAttention::new(size, heads, init)?,
            linear1: Linear::new(size, hidden, init)?.activation(Activation::Gelu),
            linear2: Linear::new(hidden, size, init)?,
            norm1: LayerNorm::new(&[size])?,
            norm2: LayerNorm::new(&[size])?,
            dropout: Dropout::new(0.0)?,
        })
    }

    /// The same block in which a place attends only to itself and those before it.
    #[must_use]
    pub fn causal(mut self) -> Self {
        self.self_attn = self.self_attn.causal();
        self
    }

    /// The same block that drops in training, with probability `p`: weights of attention, what attention gives, the
    /// hidden values, and what the dense layers give.
    #[track_caller]
    pub fn dropout(mut self, p: f32) -> Result<Self> {
        self.self_attn = self.self_attn.dropout(p)?;
        self.dropout = Dropout::new(p)?;
        Ok(self)
    }

    /// The output under a mask (bool, true where a place may attend to another) that broadcasts to
    /// `[batch, heads, t, t]`.
    #[track_caller]
    pub fn masked(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let drop = |x: &Tensor| self.dropout.forward(x);
        let attended = self.self_attn.masked(&self.norm1.forward(x)?, mask)?;
        let x = x.try_add(&drop(&attended)?)?;
        let hidden = self.linear1.forward(&self.norm2.forward(&x)?)?;
        x.try_add(&drop(&self.linear2.forward(&drop(&hidden)?)?)?)
    }
}

impl Layer for TransformerBlock {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.masked(x, None)
    }
}
