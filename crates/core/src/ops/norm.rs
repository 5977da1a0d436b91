//! Layer norm and RMS norm: rows along the last axis brought to mean 0 and variance 1, or to mean square 1.

use super::{need_float, need_same};
use crate::{
    DType, Error, Grad, Meta, Precision, Result, Shape, Tensor,
    op::{Family, Saves},
};

/// x `[.., cols]`, gamma `[cols]` if scaled, beta `[cols]` if shifted -> y like x, statistics `[rows, 2]`:
/// of each row the distance of its mean from its first element (0 if not centred), and 1/deviation.
///
/// That distance keeps digits which the mean itself would lose: elements near 500 or 1e15 have exact
/// differences, and a row of equal elements gives exactly 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// Added to the variance.
    pub eps: f64,
    /// Whether the mean is taken off first: layer norm, else RMS norm.
    pub centred: bool,
    /// Whether there is a gamma.
    pub scaled: bool,
    /// Whether there is a beta.
    pub shifted: bool,
}

/// Rows and columns of what is normalised along its last axis.
fn rows_of(op: &'static str, x: &Meta) -> Result<(usize, usize)> {
    match x.shape.split_last() {
        None => Err(Error::rank(op, "needs rank 1 or more, got rank 0")),
        Some((0, _)) => Err(Error::empty(
            op,
            format!("the last axis of {:?} is empty; there is nothing to normalise over", x.shape),
        )),
        Some((&cols, _)) => Ok((x.shape.numel() / cols, cols)),
    }
}

/// The type in which statistics are kept: never 16 bits.
fn wide(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

fn need_vector(op: &'static str, what: &str, v: &Meta, x: &Meta, cols: usize) -> Result<()> {
    need_same(op, x, v)?;
    if *v.shape == [cols] {
        return Ok(());
    }
    Err(Error::shape(
        op,
        format!(
            "{what} {:?} does not fit the last axis of {:?}; it must be [{cols}]",
            v.shape, x.shape
        ),
    ))
}

impl Family for Norm {
    fn name(&self) -> &'static str {
        if self.centred { "layer_norm" } else { "rms_norm" }
    }
    fn precision(&self) -> Precision {
        Precision::Wide
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let x = &ins[0];
        need_float(self.name(), x)?;
        let (rows, cols) = rows_of(self.name(), x)?;
        let names = [(self.scaled, "gamma"), (self.shifted, "beta")];
        let names = names.iter().filter(|(there, _)| *there).map(|(_, name)| *name);
        for (name, v) in names.zip(&ins[1..]) {
            need_vector(self.name(), name, v, x, cols)?;
        }
        let shape = Shape::new(self.name(), &[rows, 2])?;
        Ok(vec![*x, Meta { shape, dtype: wide(x.dtype) }])
    }
    fn saves(&self) -> Saves {
        Saves::inputs(if self.scaled { 0b11 } else { 0b01 }).and(Saves::outputs(0b10))
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let (dy, x, statistics) = (g.cotangent()?, g.input(0)?, g.output(1)?);
        let mut gradients = vec![None; g.inputs()];
        if g.wants(0) {
            let op = NormBackward { centred: self.centred, scaled: self.scaled };
            let mut ins = vec![dy, x, statistics];
            if self.scaled {
                ins.push(g.input(1)?);
            }
            gradients[0] = Some(g.last(0, op, &ins)?);
        }
        if (1..g.inputs()).any(|i| g.wants(i)) {
            let sums = Tensor::run(NormSums { centred: self.centred }, &[dy, x, statistics])?;
            let vectors = [(self.scaled, 0), (self.shifted, 1)];
            let vectors = vectors.iter().filter(|(there, _)| *there).map(|(_, row)| *row);
            for (i, row) in (1..).zip(vectors) {
                if g.wants(i) {
                    gradients[i] = Some(sums.slice(0, row..row + 1)?.squeeze(0)?);
                }
            }
        }
        Ok(gradients)
    }
}

/// From dy, x, statistics and gamma: with g = dy·gamma and x̂ the normalised x,
/// `dx = (g - mean g - x̂ mean(g x̂)) / deviation`; without `mean g` if not centred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormBackward {
    /// Whether the mean was taken off.
    pub centred: bool,
    /// Whether there is a gamma.
    pub scaled: bool,
}

/// The operands that both backward operations begin with.
fn need_alike(op: &'static str, ins: &[Meta]) -> Result<usize> {
    let (dy, x, statistics) = (&ins[0], &ins[1], &ins[2]);
    need_float(op, x)?;
    need_same(op, dy, x)?;
    let (rows, cols) = rows_of(op, x)?;
    if dy.shape != x.shape || *statistics.shape != [rows, 2] || statistics.dtype != wide(x.dtype) {
        return Err(Error::shape(
            op,
            format!(
                "cotangent {:?}, input {:?} and statistics {:?} do not belong together",
                dy.shape, x.shape, statistics.shape
            ),
        ));
    }
    Ok(cols)
}

impl Family for NormBackward {
    fn name(&self) -> &'static str {
        if self.centred { "layer_norm_backward" } else { "rms_norm_backward" }
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let cols = need_alike(self.name(), ins)?;
        if let Some(gamma) = ins.get(3) {
            need_vector(self.name(), "gamma", gamma, &ins[1], cols)?;
        }
        Ok(vec![ins[1]])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("second derivatives are not offered")
    }
}

/// From dy, x and statistics: `[2, cols]`, the sums over rows of `dy x̂` and of `dy`: the gradients of gamma
/// and beta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormSums {
    /// Whether the mean was taken off.
    pub centred: bool,
}

impl Family for NormSums {
    fn name(&self) -> &'static str {
        if self.centred { "layer_norm_sums" } else { "rms_norm_sums" }
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let cols = need_alike(self.name(), ins)?;
        Ok(vec![Meta { shape: Shape::new(self.name(), &[2, cols])?, dtype: ins[1].dtype }])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("second derivatives are not offered")
    }
}

/// An error unless ε is a positive number that f32 holds without losing digits.
#[track_caller]
pub(crate) fn need_eps(op: &'static str, eps: f64) -> Result<()> {
    if eps.is_finite() && eps >= f64::from(f32::MIN_POSITIVE) {
        return Ok(());
    }
    Err(Error::argument(
        op,
        format!("eps {eps}; it must be finite and greater than 0, such as 1e-5"),
    ))
}

impl Tensor {
    /// Layer norm: `(x - mean) / √(variance + eps) · gamma + beta` (Ba, Kiros, Hinton 2016). Mean and variance
    /// (divided by the count) are taken over the last axes: as many as gamma or beta have, which must be
    /// alike and have the sizes of those axes; over the last one if both are left out.
    ///
    /// Variance is the mean of squared distances, in f32 also for f16. A row of equal elements gives beta.
    /// So does a row on a GPU whose squared distances sum to more than 3.4e38: four of 1e19, or a thousand of 6e17.
    /// The CPU has room for these. Where the distances from the first element themselves sum to more, f32 gives NaN.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::from_vec([1.0f32, 3.0, 500.0, 500.0], [2, 2], &cpu)?;
    /// let (gamma, beta) = (Tensor::ones([2], &cpu)?, Tensor::full_like(&x, 0.5)?.slice(0, 0..1)?.squeeze(0)?);
    /// let y = x.layer_norm(Some(&gamma), Some(&beta), 1e-12)?;
    /// assert_eq!(y.to_vec::<f32>()?, [-0.5, 1.5, 0.5, 0.5]);
    /// assert_eq!(x.layer_norm(None, None, 1e-5)?.shape(), [2, 2]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn layer_norm(
        &self,
        gamma: Option<&Tensor>,
        beta: Option<&Tensor>,
        eps: f64,
    ) -> Result<Tensor> {
        self.norm(true, gamma, beta, eps)
    }

    /// RMS norm: `x / √(mean of x² + eps) · gamma` (Zhang and Sennrich 2019), over as many of the last axes as
    /// gamma has, or over the last one. A row on a GPU whose squares sum to more than 3.4e38 gives 0; the CPU has room
    /// for them.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let x = Tensor::from_vec([1.0f32, 7.0], [1, 2], &Device::cpu())?;
    /// assert_eq!(x.rms_norm(None, 1e-12)?.to_vec::<f32>()?, [0.2, 1.4]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn rms_norm(&self, gamma: Option<&Tensor>, eps: f64) -> Result<Tensor> {
        self.norm(false, gamma, None, eps)
    }

    #[track_caller]
    fn norm(
        &self,
        centred: bool,
        gamma: Option<&Tensor>,
        beta: Option<&Tensor>,
        eps: f64,
    ) -> Result<Tensor> {
        let op = Norm { eps, centred, scaled: gamma.is_some(), shifted: beta.is_some() };
        need_eps(op.name(), eps)?;
        self.storage()?;
        let axes = gamma.or(beta).map_or(1, Tensor::rank);
        let vectors = [("gamma", gamma), ("beta", beta)];
        let lead = self.rank().checked_sub(axes).filter(|_| axes > 0);
        let tail = lead.map(|lead| &self.shape()[lead..]);
        for (name, v) in vectors.iter().filter_map(|(name, v)| v.map(|v| (name, v))) {
            if tail != Some(v.shape()) {
                return Err(Error::shape(
                    op.name(),
                    format!(
                        "{name} {:?} does not fit the last axes of {:?}; it must have their sizes",
                        v.shape(),
                        self.shape()
                    ),
                ));
            }
        }
        let (Some(lead), true) = (lead, axes > 1) else {
            let ins: Vec<&Tensor> = [Some(self), gamma, beta].into_iter().flatten().collect();
            return first(op, &ins);
        };
        // Several axes are one, since all of them belong to the row.
        let (outer, inner) = self.shape().split_at(lead);
        let cols = [inner.iter().product::<usize>()];
        let x = self.reshape([outer, &cols[..]].concat())?;
        let flat = |v: Option<&Tensor>| v.map(|v| v.reshape(cols)).transpose();
        let (gamma, beta) = (flat(gamma)?, flat(beta)?);
        let ins: Vec<&Tensor> =
            [Some(&x), gamma.as_ref(), beta.as_ref()].into_iter().flatten().collect();
        first(op, &ins)?.reshape(self.shape())
    }
}

#[track_caller]
fn first(op: Norm, ins: &[&Tensor]) -> Result<Tensor> {
    let outs = Tensor::run_all(op, ins)?;
    outs.into_iter().next().ok_or_else(|| Error::internal(op.name(), "an operation without output"))
}
