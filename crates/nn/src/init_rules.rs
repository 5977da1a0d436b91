//! The usual rules for first values: by the number of inputs and outputs of a layer.

use crate::{Activation, Init, Parameter};
use std::f64::consts::TAU;
use wgrad_core::{Error, Result, Shape, philox::Stream};

/// Which side of a layer a rule counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fan {
    /// Its inputs: activations keep their size on the way forward.
    #[default]
    In,
    /// Its outputs: gradients keep theirs on the way back.
    Out,
}

/// Inputs and outputs of one element of a layer with weights `[outputs, inputs, kernel..]`: the kernel's elements count
/// for both.
#[track_caller]
fn fans(shape: &[usize]) -> Result<(usize, usize)> {
    let at = std::panic::Location::caller();
    let wrong = |why: &str| Err(Error::argument("init", format!("{why}, got {shape:?}")).at(at));
    let &[outputs, inputs, ref kernel @ ..] = shape else {
        return wrong("weights need rank 2 or more, [outputs, inputs, kernel..]");
    };
    // The product of all sizes does not overflow, and so no part of it does.
    if Shape::new("init", shape)?.numel() == 0 {
        return wrong("weights need at least one element");
    }
    let kernel: usize = kernel.iter().product();
    Ok((inputs * kernel, outputs * kernel))
}

#[track_caller]
fn counted(shape: &[usize], fan: Fan, gain: f64) -> Result<f64> {
    if !(gain.is_finite() && gain >= 0.0) {
        return Err(Error::argument(
            "init",
            format!("gain {gain}; it must be finite and not negative"),
        ));
    }
    let (inputs, outputs) = fans(shape)?;
    Ok(match fan {
        Fan::In => inputs,
        Fan::Out => outputs,
    } as f64)
}

/// Two independent normal numbers (Box and Muller 1958), always finite.
fn normal_pair(stream: &mut Stream) -> [f64; 2] {
    let mut unit = || (f64::from(stream.next_u32()) + 0.5) / 4_294_967_296.0;
    let radius = (-2.0 * unit().ln()).sqrt();
    let (sin, cos) = (TAU * unit()).sin_cos();
    [radius * cos, radius * sin]
}

impl Activation {
    /// What weights before this function are multiplied by, so that values keep their size (He et al. 2015): √2 for
    /// ReLU and those like it, 5/3 for tanh, 1 for sigmoid.
    pub fn gain(self) -> f64 {
        match self {
            Activation::LeakyRelu => (2.0 / (1.0 + 0.01 * 0.01f64)).sqrt(),
            Activation::Sigmoid => 1.0,
            Activation::Tanh => 5.0 / 3.0,
            _ => std::f64::consts::SQRT_2,
        }
    }
}

/// Numbers from the normal distribution come from the same random bits on every machine, through the machine's own
/// logarithm, sine and cosine in f64: after rounding to f32 a value may differ in its last bit between machines.
/// Uniform numbers are the same bits everywhere.
impl Init {
    /// A parameter of zeros.
    #[track_caller]
    pub fn zeros(&mut self, shape: &[usize]) -> Result<Parameter> {
        self.constant(shape, 0.0)
    }

    /// A parameter of ones.
    #[track_caller]
    pub fn ones(&mut self, shape: &[usize]) -> Result<Parameter> {
        self.constant(shape, 1.0)
    }

    /// A parameter with values from the normal distribution.
    ///
    /// ```
    /// use wgrad_core::Device;
    /// use wgrad_nn::{Init, Module, Parameter, module};
    /// struct Table { rows: Parameter }
    /// module!(Table { rows });
    /// let table = Table { rows: Init::new(1).normal(&[100, 8], 0.0, 0.02)? }.on(&Device::cpu())?;
    /// assert!(table.rows.tensor()?.to_vec::<f32>()?.iter().all(|x| x.abs() < 0.2));
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn normal(&mut self, shape: &[usize], mean: f32, std: f32) -> Result<Parameter> {
        self.bell(shape, f64::from(mean), f64::from(std), f64::INFINITY)
    }

    /// The same, with values further than two `std` from the mean drawn again.
    #[track_caller]
    pub fn truncated_normal(&mut self, shape: &[usize], mean: f32, std: f32) -> Result<Parameter> {
        self.bell(shape, f64::from(mean), f64::from(std), 2.0)
    }

    /// Weights `[outputs, inputs, kernel..]` evenly spread over ±gain·√(6/(inputs + outputs)) (Glorot and
    /// Bengio 2010).
    ///
    /// ```
    /// use wgrad_nn::{Activation, Init};
    /// let weight = Init::new(1).xavier_uniform(&[16, 8, 3, 3], Activation::Tanh.gain())?;
    /// assert_eq!(weight.shape(), [16, 8, 3, 3]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn xavier_uniform(&mut self, shape: &[usize], gain: f64) -> Result<Parameter> {
        let both = counted(shape, Fan::In, gain)? + counted(shape, Fan::Out, gain)?;
        self.uniform(shape, (gain * (6.0 / both).sqrt()) as f32)
    }

    /// Weights `[outputs, inputs, kernel..]` from the normal distribution of deviation gain·√(2/(inputs + outputs)).
    #[track_caller]
    pub fn xavier_normal(&mut self, shape: &[usize], gain: f64) -> Result<Parameter> {
        let both = counted(shape, Fan::In, gain)? + counted(shape, Fan::Out, gain)?;
        self.bell(shape, 0.0, gain * (2.0 / both).sqrt(), f64::INFINITY)
    }

    /// Weights `[outputs, inputs, kernel..]` evenly spread over ±gain·√(3/fan) (He et al. 2015).
    ///
    /// ```
    /// use wgrad_nn::{Activation, Fan, Init};
    /// let weight = Init::new(1).kaiming_uniform(&[64, 32], Fan::In, Activation::Relu.gain())?;
    /// assert_eq!(weight.shape(), [64, 32]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn kaiming_uniform(&mut self, shape: &[usize], fan: Fan, gain: f64) -> Result<Parameter> {
        let fan = counted(shape, fan, gain)?;
        self.uniform(shape, (gain * (3.0 / fan).sqrt()) as f32)
    }

    /// Weights `[outputs, inputs, kernel..]` from the normal distribution of deviation gain/√fan.
    #[track_caller]
    pub fn kaiming_normal(&mut self, shape: &[usize], fan: Fan, gain: f64) -> Result<Parameter> {
        let fan = counted(shape, fan, gain)?;
        self.bell(shape, 0.0, gain / fan.sqrt(), f64::INFINITY)
    }

    /// Normal numbers at most `reach` deviations from the mean.
    #[track_caller]
    fn bell(&mut self, shape: &[usize], mean: f64, std: f64, reach: f64) -> Result<Parameter> {
        if !(mean.is_finite() && std.is_finite() && std >= 0.0) {
            return Err(Error::argument(
                "init",
                format!("mean {mean} must be finite, std {std} finite and not negative"),
            ));
        }
        let mut spare = None;
        self.filled(shape, |stream| {
            loop {
                let z = spare.take().unwrap_or_else(|| {
                    let [z, next] = normal_pair(stream);
                    spare = Some(next);
                    z
                });
                if z.abs() <= reach {
                    return ((mean + std * z) as f32).clamp(f32::MIN, f32::MAX);
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Module;
    use wgrad_core::{Device, ErrorKind};

    struct One {
        p: Parameter,
    }
    crate::module!(One { p });

    fn values(p: Parameter) -> Result<Vec<f64>> {
        let one = One { p }.on(&Device::cpu())?;
        Ok(one.p.tensor()?.to_vec::<f32>()?.into_iter().map(f64::from).collect())
    }

    /// Mean and deviation of so many values.
    fn moments(x: &[f64]) -> (f64, f64) {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        (mean, (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64).sqrt())
    }

    #[test]
    fn fans_count_the_kernel() -> Result<()> {
        assert_eq!(fans(&[10, 20])?, (20, 10));
        assert_eq!(fans(&[16, 8, 3, 5])?, (120, 240));
        for shape in [&[][..], &[4], &[0, 4], &[4, 0], &[4, 4, 0]] {
            assert_eq!(fans(shape).err().map(|e| e.kind()), Some(ErrorKind::Argument), "{shape:?}");
        }
        Ok(())
    }

    #[test]
    fn deviations_are_those_of_the_rules() -> Result<()> {
        // 18,432 values: five standard errors of the deviation are 2.6 %, of the mean 3.7 % of it.
        let shape = [64, 32, 3, 3];
        let (inputs, outputs) = (288.0, 576.0);
        let gain = Activation::Relu.gain();
        let init = || Init::new(7);
        let made = [
            (init().kaiming_uniform(&shape, Fan::In, gain)?, (2.0f64 / inputs).sqrt()),
            (init().kaiming_normal(&shape, Fan::In, gain)?, (2.0f64 / inputs).sqrt()),
            (init().kaiming_normal(&shape, Fan::Out, 1.0)?, (1.0f64 / outputs).sqrt()),
            (init().xavier_uniform(&shape, 1.0)?, (2.0f64 / (inputs + outputs)).sqrt()),
            (
                init().xavier_normal(&shape, 5.0 / 3.0)?,
                5.0 / 3.0 * (2.0f64 / (inputs + outputs)).sqrt(),
            ),
            (init().normal(&shape, 0.0, 0.02)?, 0.02),
            // The deviation of a normal number within ±2: √(1 - 4 φ(2)/(2Φ(2) - 1)) = 0.8796.
            (init().truncated_normal(&shape, 0.0, 0.5)?, 0.5 * 0.8796),
        ];
        for (i, (parameter, want)) in made.into_iter().enumerate() {
            let (mean, std) = moments(&values(parameter)?);
            assert!(mean.abs() < 0.037 * want, "{i}: mean {mean}");
            assert!((std / want - 1.0).abs() < 0.026, "{i}: {std} and not {want}");
        }
        Ok(())
    }

    #[test]
    fn bounds_hold_and_seeds_repeat() -> Result<()> {
        let uniform = values(Init::new(3).kaiming_uniform(&[50, 12], Fan::In, 1.0)?)?;
        assert!(uniform.iter().all(|x| x.abs() <= 0.5));
        assert!(uniform.iter().any(|x| x.abs() > 0.45));
        let cut = values(Init::new(3).truncated_normal(&[2000], 1.0, 0.5)?)?;
        assert!(cut.iter().all(|x| (x - 1.0).abs() <= 1.0 + 1e-6));
        let draw = |seed| values(Init::new(seed).normal(&[7], 0.0, 1.0)?);
        assert_eq!(draw(5)?, draw(5)?);
        assert_ne!(draw(5)?, draw(6)?);
        assert_eq!(values(Init::new(0).ones(&[3])?)?, [1.0; 3]);
        assert_eq!(values(Init::new(0).zeros(&[2])?)?, [0.0; 2]);
        Ok(())
    }

    #[test]
    fn bad_numbers() {
        let kind = |made: Result<Parameter>| made.err().map(|e| e.kind());
        let mut init = Init::new(0);
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            let made = init.kaiming_uniform(&[2, 2], Fan::In, bad);
            assert_eq!(kind(made), Some(ErrorKind::Argument), "{bad}");
            assert_eq!(
                kind(init.normal(&[2], 0.0, bad as f32)),
                Some(ErrorKind::Argument),
                "{bad}"
            );
        }
        assert_eq!(kind(init.normal(&[2], f32::NAN, 1.0)), Some(ErrorKind::Argument));
    }
}
