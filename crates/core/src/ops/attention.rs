//! Scaled dot-product attention, composed of two products and the softmax between them.

use super::masked_softmax::need_mask;
use crate::{DType, Error, Result, Shape, Tensor};

/// What [`Tensor::attention`] may be given beside queries, keys and values.
///
/// ```
/// use wgrad_core::AttentionOptions;
/// let causal = AttentionOptions { causal: true, ..AttentionOptions::default() };
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AttentionOptions<'a> {
    /// Bool, true where a query may attend to a key; it broadcasts to `[.., tq, tk]`.
    pub mask: Option<&'a Tensor>,
    /// Whether query i attends only to the keys up to `i + tk - tq`: the last query sees every key, as when
    /// the first keys were kept from earlier calls. With `tq > tk` the first `tq - tk` queries see nothing and give 0.
    /// Where `tq != tk`, PyTorch's `is_causal=True` aligns the other ends: query i sees the keys up to i. This one is
    /// its `causal_lower_right`.
    pub causal: bool,
    /// What the products of queries and keys are multiplied by; 1/√d unless given.
    pub scale: Option<f32>,
    /// The probability with which each weight is dropped; see [`Tensor::dropout`]. 0 unless given: leave it so
    /// where nothing is learned.
    pub dropout: f32,
}

impl Tensor {
    /// Scaled dot-product attention `softmax(scale · Q Kᵀ) V`: queries (self) `[.., tq, d]`, keys `[.., tk, d]`,
    /// values `[.., tk, dv]` give `[.., tq, dv]`; leading sizes broadcast. Views are multiplied as they are: heads
    /// that a permutation split off are not copied. A query that may attend to nothing gives 0, and all its
    /// gradients are 0. A key that is masked out has weight exactly 0; its value must be finite all the same, since
    /// 0 times NaN is NaN.
    ///
    /// An error if head sizes, numbers of keys and values, or leading sizes do not fit, if the mask is not
    /// bool or does not stretch to `[.., tq, tk]`, if the scale is not finite, or if the dropout is no probability.
    ///
    /// ```
    /// # use wgrad_core::{AttentionOptions, Device, Tensor};
    /// let cpu = Device::cpu();
    /// let q = Tensor::zeros([1, 2, 4], &cpu)?; // every score 0: each query takes the mean of what it sees
    /// let k = Tensor::ones([1, 2, 4], &cpu)?;
    /// let v = Tensor::from_vec([1.0f32, 3.0], [1, 2, 1], &cpu)?;
    /// let all = q.attention(&k, &v, AttentionOptions::default())?;
    /// assert_eq!(all.to_vec::<f32>()?, [2.0, 2.0]);
    /// let causal = AttentionOptions { causal: true, ..AttentionOptions::default() };
    /// assert_eq!(q.attention(&k, &v, causal)?.to_vec::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn attention(
        &self,
        keys: &Tensor,
        values: &Tensor,
        options: AttentionOptions<'_>,
    ) -> Result<Tensor> {
        for x in [self, keys, values] {
            x.storage()?;
        }
        let shapes = || {
            format!(
                "queries {:?}, keys {:?}, values {:?}",
                self.shape(),
                keys.shape(),
                values.shape()
            )
        };
        let (&[.., tq, d], &[.., tk, kd], &[.., tv, _]) =
            (self.shape(), keys.shape(), values.shape())
        else {
            return Err(Error::rank("attention", format!("needs rank 2 or more: {}", shapes())));
        };
        if d != kd {
            return Err(Error::shape(
                "attention",
                format!("the last sizes of queries and keys must be equal: {}", shapes()),
            ));
        }
        if tk != tv {
            return Err(Error::shape(
                "attention",
                format!("there must be as many values as keys: {}", shapes()),
            ));
        }
        let batch = |x: &Tensor| Shape::from_checked(&x.shape()[..x.rank() - 2]);
        let together = Shape::broadcast("attention", &batch(self), &batch(keys));
        let all =
            together.and_then(|b| Shape::broadcast("attention", &b, &batch(values)).map(|_| b));
        let Ok(batch) = all else {
            return Err(Error::shape("attention", format!("leading sizes differ: {}", shapes())));
        };
        if let Some(mask) = options.mask {
            need_mask("attention", mask.dtype())?;
            let mut scores = batch.to_vec();
            scores.extend([tq, tk]);
            let scores = Shape::new("attention", &scores)?;
            if Shape::broadcast("attention", mask.shape(), &scores).ok() != Some(scores) {
                return Err(Error::shape(
                    "attention",
                    format!(
                        "the mask {:?} does not stretch to {scores:?}: {}",
                        mask.shape(),
                        shapes()
                    ),
                ));
            }
        }
        let scale = options.scale.map_or_else(|| 1.0 / (d.max(1) as f64).sqrt(), f64::from);
        if !(scale as f32).is_finite() {
            return Err(Error::argument("attention", format!("scale {scale}; it must be finite")));
        }
        // Halves end at 65,504: there the queries are scaled, not the scores.
        let half = crate::autocasting() || self.dtype() == DType::F16;
        let (queries, scale) =
            if half { (self.try_mul(scale)?, 1.0) } else { (self.clone(), scale) };
        let scores = queries.matmul(&keys.t()?)?;
        let weights = scores.masked_softmax(options.mask, options.causal, scale)?;
        weights.dropout(options.dropout)?.matmul(values)
    }
}
