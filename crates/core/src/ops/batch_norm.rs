//! Batch norm: each channel brought to mean 0 and variance 1 over the whole batch.

use super::{need_float, need_same, norm::need_eps};
use crate::{
    DType, Error, Grad, Meta, Result, Shape, Tensor,
    op::{Family, Saves},
};

/// x `[n, channels, size]`, gamma and beta `[channels]` -> y like x, statistics `[5, channels]`: of each channel its
/// first element, the distance of its mean from that, its variance (divided by the count), 1/deviation, its mean.
///
/// The distance keeps digits which the mean itself would lose; see [`Norm`](super::norm::Norm).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f64,
}

/// From dy, x and the statistics: `[2, channels]`, the sums of `dy x̂` and of `dy`: the gradients of gamma and beta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNormSums;

/// From dy, x, the statistics, gamma and those sums: `dx = gamma/deviation (dy - mean dy - x̂ mean(dy x̂))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNormBackward;

fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// The number of channels of x, if the operands belong together: those like x, and vectors of channels.
fn channels_of(op: &'static str, x: &Meta, alike: &[Meta], vectors: &[Meta]) -> Result<usize> {
    need_float(op, x)?;
    let &[n, channels, size] = &x.shape[..] else {
        return Err(Error::internal(op, "works on [n, channels, size]"));
    };
    if n * size == 0 || channels == 0 {
        return Err(Error::empty(op, format!("{:?} has no values to normalise", x.shape)));
    }
    for other in alike {
        need_same(op, x, other)?;
        if other.shape != x.shape {
            return Err(Error::shape(op, format!("{:?} beside {:?}", other.shape, x.shape)));
        }
    }
    for v in vectors {
        need_same(op, x, v)?;
        if *v.shape != [channels] {
            return Err(Error::shape(
                op,
                format!("a vector {:?} for {channels} channels; it must be [{channels}]", v.shape),
            ));
        }
    }
    Ok(channels)
}

/// An error unless statistics or sums have so many rows.
fn need_rows(op: &'static str, v: &Meta, rows: usize, channels: usize, dtype: DType) -> Result<()> {
    if *v.shape == [rows, channels] && v.dtype == dtype {
        return Ok(());
    }
    Err(Error::internal(op, format!("{:?} of {} is not [{rows}, {channels}]", v.shape, v.dtype)))
}

impl Family for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let channels = channels_of(self.name(), &ins[0], &[], &ins[1..])?;
        let shape = Shape::new(self.name(), &[5, channels])?;
        Ok(vec![ins[0], Meta { shape, dtype: wide(ins[0].dtype) }])
    }
    fn saves(&self) -> Saves {
        Saves::inputs(0b11).and(Saves::outputs(0b10))
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let (dy, x, statistics) = (g.cotangent()?, g.input(0)?, g.output(1)?);
        let sums = Tensor::run(BatchNormSums, &[dy, x, statistics])?;
        g.each(|i| match i {
            0 => g.last(0, BatchNormBackward, &[dy, x, statistics, g.input(1)?, &sums]),
            _ => sums.slice(0, i - 1..i)?.squeeze(0)?.cast(g.input_meta(i).dtype),
        })
    }
}

impl Family for BatchNormSums {
    fn name(&self) -> &'static str {
        "batch_norm_sums"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let (dy, x, statistics) = (&ins[0], &ins[1], &ins[2]);
        let channels = channels_of(self.name(), x, &[*dy], &[])?;
        need_rows(self.name(), statistics, 5, channels, wide(x.dtype))?;
        // In full, since backward goes on with them.
        let shape = Shape::new(self.name(), &[2, channels])?;
        Ok(vec![Meta { shape, dtype: wide(x.dtype) }])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("second derivatives are not offered")
    }
}

impl Family for BatchNormBackward {
    fn name(&self) -> &'static str {
        "batch_norm_backward"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let (dy, x, statistics, gamma, sums) = (&ins[0], &ins[1], &ins[2], &ins[3], &ins[4]);
        let channels = channels_of(self.name(), x, &[*dy], &[*gamma])?;
        need_rows(self.name(), statistics, 5, channels, wide(x.dtype))?;
        need_rows(self.name(), sums, 2, channels, wide(x.dtype))?;
        Ok(vec![*x])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("second derivatives are not offered")
    }
}

impl Tensor {
    /// Batch norm of x `[n, channels, ..]`: `(x - mean) / √(variance + eps) · gamma + beta` with mean and variance of
    /// each channel over all other axes, at least two values; gamma and beta are `[channels]` (Ioffe and
    /// Szegedy 2015). Gives y, and the means and variances (divided by the count) `[channels]`, outside
    /// any graph, in f32 for f16: for running statistics.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::from_vec([1.0f32, 500.0, 3.0, 500.0], [2, 2], &cpu)?;
    /// let (gamma, beta) = (Tensor::ones([2], &cpu)?, Tensor::zeros([2], &cpu)?);
    /// let (y, mean, variance) = x.batch_norm(&gamma, &beta, 1e-12)?;
    /// assert_eq!(y.to_vec::<f32>()?, [-1.0, 0.0, 1.0, 0.0]);
    /// assert_eq!(mean.to_vec::<f32>()?, [2.0, 500.0]);
    /// assert_eq!(variance.to_vec::<f32>()?, [1.0, 0.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn batch_norm(
        &self,
        gamma: &Tensor,
        beta: &Tensor,
        eps: f64,
    ) -> Result<(Tensor, Tensor, Tensor)> {
        const NAME: &str = "batch_norm";
        need_eps(NAME, eps)?;
        self.storage()?;
        let &[n, channels, ref rest @ ..] = self.shape() else {
            return Err(Error::rank(
                NAME,
                format!("needs rank 2 or more, [n, channels, ..]; got {:?}", self.shape()),
            ));
        };
        let size = rest.iter().product::<usize>();
        if n * size < 2 {
            return Err(Error::argument(
                NAME,
                format!(
                    "{:?} has {} values per channel, whose variance is undefined; give at least 2",
                    self.shape(),
                    n * size
                ),
            ));
        }
        let x = self.reshape([n, channels, size])?;
        let mut outs = Tensor::run_all(BatchNorm { eps }, &[&x, gamma, beta])?.into_iter();
        let (Some(y), Some(statistics)) = (outs.next(), outs.next()) else {
            return Err(Error::internal(NAME, "an operation without output"));
        };
        let statistics = statistics.detach();
        let row = |i: usize| statistics.slice(0, i..i + 1)?.squeeze(0);
        Ok((y.reshape(self.shape())?, row(4)?, row(2)?))
    }
}
