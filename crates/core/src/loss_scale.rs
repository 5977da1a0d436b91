//! A loss scale on the device: what makes small gradients survive f16, and finds those that did not fit.

use crate::{
    DType, Device, Error, Gradients, Meta, Result, Role, Shape, Tensor,
    ops::adjust::{AdaptScale, FLAGS, SCALE},
};

/// A loss scale and what happened with it, in two small tensors on the device, so that steps with it can be recorded.
/// The layer above keeps the order of calls.
#[derive(Clone, Debug)]
pub struct LossScale {
    numbers: Tensor,
    flags: Tensor,
    rule: AdaptScale,
}

/// A loss scale at some moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleReport {
    /// The factor of the losses to come.
    pub scale: f64,
    /// Good steps since it changed last.
    pub good_steps: u64,
    /// Steps skipped so far, since a gradient was infinite or NaN.
    pub skipped: u64,
    /// Those of them with NaN: then the cause is not the scale alone.
    pub with_nan: u64,
    /// Those of them when the scale could not fall any further.
    pub at_floor: u64,
}

impl LossScale {
    /// A scale that starts at `scale`, doubles after `interval` good steps and halves after a bad one, down to `floor`.
    /// Both are powers of two between 2⁻¹⁰⁰ and 2²⁴, so that scaling rounds nothing.
    #[track_caller]
    pub fn new(device: &Device, scale: f64, interval: u32, floor: f64) -> Result<Self> {
        for (what, x) in [("scale", scale), ("floor", floor)] {
            let exact = x.is_normal() && x > 0.0 && x.to_bits() << 12 == 0;
            if !exact || x > f64::from(AdaptScale::CEILING) || x < 2f64.powi(-100) {
                return Err(Error::argument(
                    "loss_scale",
                    format!("a {what} of {x}; give a power of two from 2^-100 to 2^24"),
                ));
            }
        }
        if floor > scale || interval == 0 {
            return Err(Error::argument(
                "loss_scale",
                format!(
                    "scale {scale}, floor {floor}, interval {interval}; the floor may not pass the scale, nor the interval be 0"
                ),
            ));
        }
        let make = |n: usize, dtype| {
            let meta = Meta { shape: Shape::from_checked(&[n]), dtype };
            Tensor::empty("loss_scale", meta, device, Role::Optimizer)
        };
        let (numbers, flags) = (make(SCALE, DType::F32)?, make(FLAGS, DType::U32)?);
        let first = [scale as f32, (1.0 / scale) as f32, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        device.upload("loss_scale", numbers.storage()?.buf(), 0, bytemuck::cast_slice(&first))?;
        device.upload("loss_scale", flags.storage()?.buf(), 0, &[0; FLAGS * 4])?;
        Ok(Self { numbers, flags, rule: AdaptScale { interval, floor: floor as f32 } })
    }

    /// A loss times the scale. Its graph sees the scale of now, so backward comes before [`update`](Self::update).
    #[track_caller]
    pub fn scale(&self, loss: &Tensor) -> Result<Tensor> {
        let scale = self.numbers.slice(0, 0..1)?.reshape(Vec::new())?;
        loss.try_mul(&scale)
    }

    /// Gradients of a scaled loss, divided by the scale in place. They carry the flags: while one of them was infinite
    /// or NaN, an optimizer's step with them changes nothing.
    #[track_caller]
    pub fn unscale(&self, gradients: Gradients) -> Result<Gradients> {
        let gradients = gradients.unscale(&self.numbers, &self.flags)?;
        Ok(gradients.skipped_by(Some(self.flags.clone())))
    }

    /// Forgets what was found since the last [`update`](Self::update): the step is given up.
    #[track_caller]
    pub fn forget(&self) -> Result<()> {
        self.flags.fill_in_place(0.0)
    }

    /// The scale of the next step; after the optimizer's.
    #[track_caller]
    pub fn update(&self) -> Result<()> {
        let ins = [&self.numbers, &self.flags];
        Tensor::run_in_place(self.rule, &ins, &ins)
    }

    /// Reads the numbers from the device.
    #[track_caller]
    pub fn report(&self) -> Result<ScaleReport> {
        let numbers = self.numbers.to_vec::<f32>()?;
        let at = |i: usize| numbers.get(i).copied().unwrap_or(0.0);
        Ok(ScaleReport {
            scale: f64::from(at(0)),
            good_steps: at(2) as u64,
            skipped: at(3) as u64,
            with_nan: at(4) as u64,
            at_floor: at(5) as u64,
        })
    }

    /// The numbers, to be saved.
    pub fn numbers(&self) -> &Tensor {
        &self.numbers
    }

    /// What the gradients unscaled so far showed, to be saved: a run may stop between micro-batches.
    pub fn flags(&self) -> &Tensor {
        &self.flags
    }
}
