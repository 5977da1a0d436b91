//! `MultiHeadAttention`: attention in several heads, with its projections.

use crate::{Dropout, Init, Layer, Linear, Parameter, Rotary, training};
use wgrad_core::{AttentionOptions, Error, Result, Tensor};

/// Attention in several heads: x `[.., t, size]`, with one leading size or none, becomes `[.., t, size]`. Queries,
/// keys and values come from one product; heads are views and are not copied before the products.
///
/// Parameters have PyTorch's names and layouts: `in_proj_weight` `[3 size, size]` (queries, keys, values),
/// `in_proj_bias` `[3 size]`, `out_proj.weight` `[size, size]`, `out_proj.bias` `[size]`, and start as there: the first
/// evenly spread over ±√(6 / (4 size)), the biases 0.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Init, Layer, Module, MultiHeadAttention};
/// let cpu = Device::cpu();
/// let attention = MultiHeadAttention::new(16, 4, &mut Init::new(1))?.causal().on(&cpu)?;
/// let x = Tensor::ones([2, 5, 16], &cpu)?;
/// assert_eq!(attention.forward(&x)?.shape(), [2, 5, 16]);
/// let memory = Tensor::ones([2, 7, 16], &cpu)?;
/// // Of the second sequence only the first three places hold something.
/// let lengths = Tensor::from_vec([7i32, 3], [2, 1, 1, 1], &cpu)?;
/// let place = Tensor::arange(0.0, 7.0, 1.0, wgrad_core::DType::I32, &cpu)?;
/// let mask = place.try_lt(&lengths)?; // [2, 1, 1, 7]
/// assert_eq!(attention.cross(&x, &memory, Some(&mask))?.shape(), [2, 5, 16]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct MultiHeadAttention {
    /// `[3 size, size]`
    pub in_proj_weight: Parameter,
    /// `[3 size]`
    pub in_proj_bias: Option<Parameter>,
    /// From the joined heads to the output.
    pub out_proj: Linear,
    rotary: Option<Rotary>,
    dropout: Dropout,
    heads: usize,
    causal: bool,
}
crate::module!(MultiHeadAttention { in_proj_weight, in_proj_bias, out_proj, rotary });

impl MultiHeadAttention {
    /// A layer with biases; `heads` divides `size`.
    #[track_caller]
    pub fn new(size: usize, heads: usize, init: &mut Init) -> Result<Self> {
        let mut layer = Self::without_bias(size, heads, init)?;
        layer.in_proj_bias = Some(init.constant(&[3 * size], 0.0)?);
        layer.out_proj.bias = Some(init.constant(&[size], 0.0)?);
        Ok(layer)
    }

    /// A layer without biases.
    #[track_caller]
    pub fn without_bias(size: usize, heads: usize, init: &mut Init) -> Result<Self> {
        if size == 0 || heads == 0 || !size.is_multiple_of(heads) {
            return Err(Error::argument(
                "attention",
                format!("size {size} and {heads} heads; the heads must divide the size"),
            ));
        }
        let Some(rows) = size.checked_mul(3) else {
            return Err(Error::size("attention", format!("size {size} is too large")));
        };
        Ok(Self {
            in_proj_weight: init.xavier_uniform(&[rows, size], 1.0)?,
            in_proj_bias: None,
            out_proj: Linear::without_bias(size, size, init)?,
            rotary: None,
            dropout: Dropout::new(0.0)?,
            heads,
            causal: false,
        })
    }

    /// The same layer in which a place attends only to itself and those before it. In [`cross`](Self::cross) the last
    /// place of x stands at the last place of the memory: of a memory `[.., s, size]`, place i of `t` sees those up to
    /// `i + s - t`. So the first places of a longer memory are seen by all, and where x is longer, its first `t - s`
    /// places see nothing. (PyTorch's `is_causal=True` has the first places side by side.)
    #[must_use]
    pub fn causal(mut self) -> Self {
        self.causal = true;
        self
    }

    /// The same layer with queries and keys turned by their places; made for heads of `size / heads`.
    #[track_caller]
    pub fn rotary(mut self, rotary: Rotary) -> Result<Self> {
        let head = self.size() / self.heads;
        if rotary.size() != head {
            return Err(Error::argument(
                "attention",
                format!("rotary positions for heads of {}, these have {head}", rotary.size()),
            ));
        }
        self.rotary = Some(rotary);
        Ok(self)
    }

    /// The same layer that drops weights of attention in training, each with probability `p`.
    #[track_caller]
    pub fn dropout(mut self, p: f32) -> Result<Self> {
        self.dropout = Dropout::new(p)?;
        Ok(self)
    }

    /// Size of the last axis of input and output.
    pub fn size(&self) -> usize {
        self.out_proj.outputs()
    }

    /// How many heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Attention of x to itself, under a mask (bool, true where a place may attend to another) that broadcasts to
    /// `[batch, heads, t, t]`. A place that may attend to nothing gives the output bias.
    #[track_caller]
    pub fn masked(&self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (b, t) = self.batch(x)?;
        let (weight, bias) = self.in_proj()?;
        let head = self.size() / self.heads;
        let all = x.linear(weight, bias, None)?.reshape([b, t, 3, self.heads, head])?;
        let [q, k, v] = &all.unbind(2)?[..] else {
            return Err(Error::internal("attention", "no three parts"));
        };
        self.attend(x, [q, k, v], mask)
    }

    /// Attention of x `[.., t, size]` to a memory `[.., s, size]` with the same leading size; the mask broadcasts to
    /// `[batch, heads, t, s]`.
    #[track_caller]
    pub fn cross(&self, x: &Tensor, memory: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let ((b, t), (memory_b, s)) = (self.batch(x)?, self.batch(memory)?);
        if b != memory_b || x.rank() != memory.rank() {
            return Err(Error::shape(
                "attention",
                format!("leading sizes of {:?} and {:?} differ", x.shape(), memory.shape()),
            ));
        }
        let (weight, bias) = self.in_proj()?;
        let (size, head) = (self.size(), self.size() / self.heads);
        let weights = weight.split(0, size)?;
        let biases = match bias {
            Some(bias) => bias.split(0, size)?,
            None => Vec::new(),
        };
        let mut parts = Vec::with_capacity(3);
        for (i, (from, rows)) in [(x, t), (memory, s), (memory, s)].into_iter().enumerate() {
            let Some(weight) = weights.get(i) else {
                return Err(Error::internal("attention", "no three parts"));
            };
            let part = from.linear(weight, biases.get(i), None)?;
            parts.push(part.reshape([b, rows, self.heads, head])?);
        }
        let [q, k, v] = &parts[..] else {
            return Err(Error::internal("attention", "no three parts"));
        };
        self.attend(x, [q, k, v], mask)
    }

    /// Queries, keys and values `[b, t, heads, head]` to the output, which is shaped like x.
    #[track_caller]
    fn attend(&self, x: &Tensor, [q, k, v]: [&Tensor; 3], mask: Option<&Tensor>) -> Result<Tensor> {
        let by_head = |x: &Tensor| x.permute([0, 2, 1, 3]);
        let (mut q, mut k, v) = (by_head(q)?, by_head(k)?, by_head(v)?);
        if let Some(rotary) = &self.rotary {
            (q, k) = (rotary.forward(&q)?, rotary.forward(&k)?);
        }
        let dropout = if training() { self.dropout.p() } else { 0.0 };
        let options = AttentionOptions { mask, causal: self.causal, scale: None, dropout };
        let joined = q.attention(&k, &v, options)?.permute([0, 2, 1, 3])?;
        self.out_proj.forward(&joined.reshape(x.shape())?)
    }

    #[track_caller]
    fn in_proj(&self) -> Result<(&Tensor, Option<&Tensor>)> {
        let bias = match &self.in_proj_bias {
            Some(bias) => Some(bias.tensor()?),
            None => None,
        };
        Ok((self.in_proj_weight.tensor()?, bias))
    }

    /// Leading size and length of a sequence.
    #[track_caller]
    fn batch(&self, x: &Tensor) -> Result<(usize, usize)> {
        let (b, t, size) = match x.shape() {
            &[t, size] => (1, t, size),
            &[b, t, size] => (b, t, size),
            other => {
                return Err(Error::rank(
                    "attention",
                    format!("needs [t, size] or [batch, t, size], got {other:?}"),
                ));
            }
        };
        if size != self.size() {
            return Err(Error::shape(
                "attention",
                format!("made for a last size of {}, the shape is {:?}", self.size(), x.shape()),
            ));
        }
        Ok((b, t))
    }
}

impl Layer for MultiHeadAttention {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.masked(x, None)
    }
}
