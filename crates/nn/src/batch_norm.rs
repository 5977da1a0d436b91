//! Batch norm: each channel brought to mean 0 and variance 1 over the batch, with running statistics for evaluation.

use crate::{Buffer, Init, Layer, Module, Parameter, Visitor, norms::checked_eps, training};
use wgrad_core::{Error, Result, Tensor, no_grad};

/// What both layers are: channels lie along axis 1.
#[derive(Debug)]
struct Channels {
    weight: Parameter,
    bias: Parameter,
    running_mean: Buffer,
    running_var: Buffer,
    momentum: f64,
    eps: f64,
}
crate::module!(Channels { weight, bias, running_mean, running_var });

impl Channels {
    #[track_caller]
    fn new(channels: usize) -> Result<Self> {
        if channels == 0 {
            return Err(Error::argument("batch_norm", "0 channels; there must be at least one"));
        }
        let mut init = Init::new(0);
        let (weight, bias) = (init.ones(&[channels])?, init.zeros(&[channels])?);
        Ok(Self {
            weight,
            bias,
            running_mean: Buffer::new(&[channels], vec![0.0; channels])?,
            running_var: Buffer::new(&[channels], vec![1.0; channels])?,
            momentum: 0.1,
            eps: 1e-5,
        })
    }

    #[track_caller]
    fn momentum(self, momentum: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&momentum) {
            return Err(Error::argument(
                "batch_norm",
                format!("momentum {momentum}; the share of a new batch lies between 0 and 1"),
            ));
        }
        Ok(Self { momentum, ..self })
    }

    #[track_caller]
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let channels = self.weight.shape().first().copied().unwrap_or(1);
        let found = x.shape().get(1).copied();
        if found != Some(channels) {
            return Err(Error::shape(
                "batch_norm",
                format!("made for {channels} channels, the input is {:?}", x.shape()),
            ));
        }
        let mut wide = vec![1; x.rank()];
        wide[1] = channels;
        let (weight, bias) = (self.weight.tensor()?, self.bias.tensor()?);
        let (mean, var) = (self.running_mean.tensor()?, self.running_var.tensor()?);
        if !training() {
            let scale = weight.try_div(&var.try_add(self.eps)?.sqrt()?)?.reshape(&wide)?;
            let centred = x.try_sub(&mean.reshape(&wide)?)?;
            return centred.try_mul(&scale)?.try_add(&bias.reshape(&wide)?);
        }
        let count = x.numel() / channels;
        if count < 2 {
            return Err(Error::argument(
                "batch_norm",
                format!(
                    "{:?} has {count} values per channel, whose variance is undefined in training; give a larger \
                     batch, or evaluate with eval(..)",
                    x.shape()
                ),
            ));
        }
        let (y, batch_mean, batch_var) = x.batch_norm(weight, bias, self.eps)?;
        no_grad(|| -> Result<()> {
            let (keep, share) = (1.0 - self.momentum, self.momentum);
            let unbiased = share * count as f64 / (count - 1) as f64;
            mean.assign(&mean.try_mul(keep)?.try_add(&batch_mean.try_mul(share)?)?)?;
            var.assign(&var.try_mul(keep)?.try_add(&batch_var.try_mul(unbiased)?)?)
        })?;
        Ok(y)
    }
}

macro_rules! layer {
    ($(#[$doc:meta])* $name:ident, $ranks:pat, $shapes:literal) => {
        $(#[$doc])*
        ///
        /// In training ([`training`]) mean and variance are those of the batch, over all axes but the channels, and
        /// the running ones move towards them by a tenth (`momentum`), with the unbiased variance, as in
        /// PyTorch; that works inside a recorded `Step` too. Within [`eval`](crate::eval) the
        /// running ones are used and stay; [`evaluating`](crate::evaluating) does so with gradients, for a layer whose
        /// statistics are frozen. One value per channel in training is an error. PyTorch's counter
        /// `num_batches_tracked` is left out, since nothing would read it; [`load_weights`](crate::load_weights) passes it by.
        #[derive(Debug)]
        pub struct $name(Channels);

        impl Module for $name {
            fn visit(&self, v: &mut Visitor) {
                self.0.visit(v);
                v.unused("num_batches_tracked");
            }
        }

        impl $name {
            /// A layer with weight 1, bias 0, running mean 0 and variance 1, momentum 0.1 and ε = 1e-5.
            #[track_caller]
            pub fn new(channels: usize) -> Result<Self> {
                Ok(Self(Channels::new(channels)?))
            }

            /// The same layer with another share of a new batch in the running statistics.
            #[track_caller]
            pub fn momentum(self, momentum: f64) -> Result<Self> {
                Ok(Self(self.0.momentum(momentum)?))
            }

            /// The same layer with another ε.
            #[track_caller]
            pub fn eps(self, eps: f64) -> Result<Self> {
                Ok(Self(Channels { eps: checked_eps("batch_norm", eps)?, ..self.0 }))
            }

            /// What channels are multiplied by, `[channels]`.
            pub fn weight(&self) -> &Parameter {
                &self.0.weight
            }

            /// What is added to channels, `[channels]`.
            pub fn bias(&self) -> &Parameter {
                &self.0.bias
            }

            /// The running mean, `[channels]`.
            pub fn running_mean(&self) -> &Buffer {
                &self.0.running_mean
            }

            /// The running variance, `[channels]`.
            pub fn running_var(&self) -> &Buffer {
                &self.0.running_var
            }
        }

        impl Layer for $name {
            fn forward(&self, x: &Tensor) -> Result<Tensor> {
                if !matches!(x.rank(), $ranks) {
                    return Err(Error::rank(
                        "batch_norm",
                        format!(concat!("needs ", $shapes, ", got {:?}"), x.shape()),
                    ));
                }
                self.0.forward(x)
            }
        }
    };
}

layer! {
    /// Batch norm of x `[n, channels]` or `[n, channels, l]` (Ioffe and Szegedy 2015).
    ///
    /// ```
    /// use wgrad_core::{Device, Tensor};
    /// use wgrad_nn::{BatchNorm1d, Layer, Module, eval};
    /// let cpu = Device::cpu();
    /// let norm = BatchNorm1d::new(2)?.on(&cpu)?;
    /// let x = Tensor::from_vec([1.0f32, 4.0, 3.0, 8.0], [2, 2], &cpu)?;
    /// let y = norm.forward(&x)?.to_vec::<f32>()?;
    /// assert!((y[0] + 1.0).abs() < 1e-4 && (y[3] - 1.0).abs() < 1e-4);
    /// assert_eq!(norm.running_mean().tensor()?.to_vec::<f32>()?, [0.2, 0.6]);
    /// assert_eq!(eval(|| norm.forward(&x))?.shape(), [2, 2]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    BatchNorm1d, 2 | 3, "[n, channels] or [n, channels, l]"
}

layer! {
    /// Batch norm of x `[n, channels, h, w]` (Ioffe and Szegedy 2015).
    ///
    /// ```
    /// use wgrad_core::{Device, Tensor};
    /// use wgrad_nn::{BatchNorm2d, Layer, Module};
    /// let cpu = Device::cpu();
    /// let norm = BatchNorm2d::new(3)?.on(&cpu)?;
    /// assert_eq!(norm.forward(&Tensor::ones([2, 3, 4, 4], &cpu)?)?.shape(), [2, 3, 4, 4]);
    /// let buffers = norm.named_buffers();
    /// assert_eq!([&buffers[0].0, &buffers[1].0], ["running_mean", "running_var"]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    BatchNorm2d, 4, "[n, channels, h, w]"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval;
    use wgrad_core::{Device, ErrorKind};

    fn near(got: &Tensor, want: &[f64]) -> Result<()> {
        let got = got.to_vec::<f32>()?;
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert!((f64::from(*got) - want).abs() <= 1e-5 * want.abs().max(1.0), "{got} {want}");
        }
        Ok(())
    }

    /// From torch.nn.functional.batch_norm in f64.
    #[test]
    fn as_published() -> Result<()> {
        let cpu = Device::cpu();
        let norm = BatchNorm1d::new(2)?.on(&cpu)?;
        let set = |p: &Parameter, v: [f32; 2]| -> Result<()> {
            p.tensor()?.detach().assign(&Tensor::from_vec(v, [2], &cpu)?)
        };
        set(norm.weight(), [1.5, -0.5])?;
        set(norm.bias(), [0.25, 1.0])?;
        let x = [1.0f32, 2.0, 0.0, -1.0, 3.0, -1.0, 4.0, 0.5];
        let x = Tensor::from_vec(x, [2, 2, 2], &cpu)?.requiring_grad();
        let y = norm.forward(&x)?;
        near(
            &y.detach(),
            &[
                -0.0035456968861957705,
                1.0106370906585875,
                1.2323028315848636,
                1.497791781967565,
                2.024819878203371,
                -2.0319112719757624,
                0.17034703005405816,
                1.099558356393513,
            ],
        )?;
        near(norm.running_mean().tensor()?, &[0.125, 0.0875])?;
        near(norm.running_var().tensor()?, &[1.1916666666666667, 1.3729166666666668])?;
        let cotangent = [1.0f32, 2.0, -1.0, 0.5, 0.25, -2.0, 1.0, 3.0];
        let gradients = y.backward_with(&Tensor::from_vec(cotangent, [2, 2, 2], &cpu)?)?;
        near(
            gradients.wrt(&x)?,
            &[
                0.8765428753278934,
                1.1735568273092571,
                0.46606769617145993,
                0.0315781725447163,
                -1.3184318864575335,
                -0.7316678161796168,
                0.08011418761682353,
                -0.5777600563329998,
            ],
        )?;
        near(gradients.wrt(norm.weight().tensor()?)?, &[4.183503998622231, 1.0287696827329678])?;
        near(gradients.wrt(norm.bias().tensor()?)?, &[1.25, 3.5])?;
        let before = norm.running_mean().tensor()?.to_vec::<f32>()?;
        near(
            &eval(|| norm.forward(&x.detach()))?,
            &[
                1.452320062898673,
                2.8264001347828707,
                1.037338286787552,
                1.4640615643595756,
                4.200480206667068,
                -1.2958400808697224,
                -0.6695548235005424,
                0.8239766480015402,
            ],
        )?;
        assert_eq!(before, norm.running_mean().tensor()?.to_vec::<f32>()?);
        Ok(())
    }

    #[test]
    fn bad_arguments() -> Result<()> {
        let cpu = Device::cpu();
        let kind = |e: Error| e.kind();
        assert_eq!(BatchNorm1d::new(0).err().map(kind), Some(ErrorKind::Argument));
        for momentum in [-0.1, 1.5, f64::NAN] {
            let made = BatchNorm1d::new(3)?.momentum(momentum);
            assert_eq!(made.err().map(kind), Some(ErrorKind::Argument));
        }
        assert_eq!(BatchNorm1d::new(3)?.eps(0.0).err().map(kind), Some(ErrorKind::Argument));
        let (one, two) = (BatchNorm1d::new(3)?.on(&cpu)?, BatchNorm2d::new(3)?.on(&cpu)?);
        let error = |layer: &dyn Layer, shape: &[usize]| -> Result<_> {
            Ok(layer.forward(&Tensor::ones(shape, &cpu)?).err().map(kind))
        };
        assert_eq!(error(&one, &[3])?, Some(ErrorKind::Rank));
        assert_eq!(error(&one, &[2, 4])?, Some(ErrorKind::Shape));
        assert_eq!(error(&two, &[2, 3])?, Some(ErrorKind::Rank));
        // A single value per channel, and none.
        assert_eq!(error(&one, &[1, 3])?, Some(ErrorKind::Argument));
        assert_eq!(error(&two, &[1, 3, 1, 1])?, Some(ErrorKind::Argument));
        assert_eq!(error(&one, &[0, 3])?, Some(ErrorKind::Argument));
        assert!(eval(|| one.forward(&Tensor::ones([1, 3], &cpu)?)).is_ok());
        assert_eq!(one.running_mean().tensor()?.to_vec::<f32>()?, [0.0; 3]);
        Ok(())
    }

    #[test]
    fn a_mean_far_from_zero_costs_no_digits() -> Result<()> {
        let cpu = Device::cpu();
        let values: Vec<f32> = (0..64).map(|i| 500.0 + 0.01 * (i % 8) as f32).collect();
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / 64.0;
        let var = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 64.0;
        let norm = BatchNorm1d::new(1)?.eps(1e-12)?.momentum(1.0)?.on(&cpu)?;
        let y = norm.forward(&Tensor::from_vec(&values, [64, 1], &cpu)?)?.to_vec::<f32>()?;
        for (y, x) in y.iter().zip(&values) {
            let want = (f64::from(*x) - mean) / var.sqrt();
            assert!((f64::from(*y) - want).abs() <= 1e-3, "{y} {want}");
        }
        let kept = f64::from(norm.running_var().tensor()?.item::<f32>()?);
        assert!((kept / (var * 64.0 / 63.0) - 1.0).abs() <= 1e-3, "{kept} {var}");
        Ok(())
    }
}
