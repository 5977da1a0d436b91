//! Random numbers: Philox on every device, the same integers everywhere.

use crate::{DType, Device, Error, Meta, Result, Role, Shape, Tensor, op::Family};

/// Which distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// Evenly in `[low, high)`.
    Uniform {
        /// Smallest value.
        low: f32,
        /// One past the largest.
        high: f32,
    },
    /// The bell curve.
    Normal {
        /// Its centre.
        mean: f32,
        /// Its width.
        std: f32,
    },
}

/// state `[4]` (u32: key, counter) -> values; the state advances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Random {
    /// Sizes.
    pub shape: Shape,
    /// Which distribution.
    pub distribution: Distribution,
}

impl Family for Random {
    fn name(&self) -> &'static str {
        match self.distribution {
            Distribution::Uniform { .. } => "uniform",
            Distribution::Normal { .. } => "normal",
        }
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![Meta { shape: self.shape, dtype: DType::F32 }, ins[0]])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("made from random numbers")
    }
    fn in_place(&self) -> bool {
        true
    }
}

impl Tensor {
    /// Random numbers (f32) spread evenly over `[low, high)`, from the device's stream
    /// ([`Device::seed`]). Never `high` itself.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// cpu.seed(1)?;
    /// let x = Tensor::uniform([100], -1.0, 1.0, &cpu)?.to_vec::<f32>()?;
    /// assert!(x.iter().all(|x| (-1.0..1.0).contains(x)));
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn uniform(
        shape: impl AsRef<[usize]>,
        low: f32,
        high: f32,
        device: &Device,
    ) -> Result<Tensor> {
        if !(low < high && (high - low).is_finite()) {
            return Err(Error::argument(
                "uniform",
                format!("low {low} must be less than high {high}, both finite"),
            ));
        }
        random(shape.as_ref(), Distribution::Uniform { low, high }, device)
    }

    /// Random numbers (f32) from the normal distribution, from the device's stream
    /// ([`Device::seed`]). Always finite.
    #[track_caller]
    pub fn normal(
        shape: impl AsRef<[usize]>,
        mean: f32,
        std: f32,
        device: &Device,
    ) -> Result<Tensor> {
        if !(mean.is_finite() && std.is_finite() && std >= 0.0) {
            return Err(Error::argument(
                "normal",
                format!("mean {mean} must be finite, std {std} finite and not negative"),
            ));
        }
        random(shape.as_ref(), Distribution::Normal { mean, std }, device)
    }
}

#[track_caller]
fn random(shape: &[usize], distribution: Distribution, device: &Device) -> Result<Tensor> {
    let op = Random { shape: Shape::new("random", shape)?, distribution };
    let meta = Meta { shape: op.shape, dtype: DType::F32 };
    let out = Tensor::empty(op.name(), meta, device, Role::Activations)?;
    if out.numel() > 0 {
        let at = std::panic::Location::caller();
        crate::backend::set_caller(at);
        let run = device.with_random(|device, state| {
            let state = Device::random_view(state);
            device.run(&op.into(), std::slice::from_ref(&state), &[out.view()?, state.clone()])
        });
        run.map_err(|e| e.at(at))?;
    }
    Ok(out)
}
