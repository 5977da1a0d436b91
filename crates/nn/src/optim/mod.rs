//! Optimizers: each step is one operation over the whole model.

mod accumulate;
mod adagrad;
mod adam;
mod ema;
mod engine;
mod group;
mod lion;
mod rmsprop;
mod scaler;
mod schedule;
mod sgd;

pub use accumulate::GradAccumulator;
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW, AdamWith};
pub use ema::Ema;
pub use group::GroupOptions;
pub use lion::Lion;
pub use rmsprop::RmsProp;
pub use scaler::{GradScaler, ScaledGradients, ScaledLoss};
pub use schedule::{Schedule, Scheduler};
pub use sgd::Sgd;

use engine::Engine;
use wgrad_core::{Error, Gradients, Result};

/// What all optimizers have: weight decay, groups, [`Optimizer`] and [`State`](crate::State). The moments' names are given,
/// or by a method.
macro_rules! optimizer {
    ($name:ty, [$($moment:literal),*], $decay:literal) => {
        optimizer!(@ $name, |_: &$name| -> &'static [&'static str] { &[$($moment),*] }, $decay);
    };
    ($name:ty, $names:ident, $decay:literal) => {
        optimizer!(@ $name, <$name>::$names, $decay);
    };
    (@ $name:ty, $names:expr, $decay:literal) => {
        impl $name {
            #[doc = $decay]
            #[track_caller]
            pub fn weight_decay(self, decay: f64) -> wgrad_core::Result<Self> {
                Ok(Self(self.0.with_decay(decay)?))
            }

            /// Other numbers for the parameters whose names `wanted` picks (those of
            /// [`Module::names`](crate::Module::names)). An error if there is none, or if one is in an earlier group.
            /// A saved state is loaded into an optimizer with the same groups only.
            #[track_caller]
            pub fn group(
                self,
                wanted: impl Fn(&str) -> bool,
                options: crate::GroupOptions,
            ) -> wgrad_core::Result<Self> {
                Ok(Self(self.0.with_group(wanted, options)?))
            }
        }

        impl crate::Optimizer for $name {
            fn step(&self, gradients: &wgrad_core::Gradients) -> wgrad_core::Result<()> {
                self.0.step(gradients)
            }
            fn set_lr(&self, lr: f64) -> wgrad_core::Result<()> {
                self.0.set_lr(lr)
            }
            fn lr(&self) -> f64 {
                self.0.lr()
            }
        }

        impl crate::State for $name {
            fn state(&self, v: &mut crate::StateVisitor) {
                self.0.state(v, ($names)(self));
            }
        }
    };
}
use optimizer;

/// What all optimizers do.
pub trait Optimizer {
    /// Moves all parameters of the model by one step, in place. The gradients are those of a loss of
    /// this model; a parameter the loss does not depend on has gradient zero.
    #[track_caller]
    fn step(&self, gradients: &Gradients) -> Result<()>;

    /// The learning rate of the steps to come: finite and not negative.
    #[track_caller]
    fn set_lr(&self, lr: f64) -> Result<()>;

    /// The learning rate as last set.
    fn lr(&self) -> f64;
}

/// A number in `range` (which, as a half-open range, excludes NaN), as f32 still inside of it.
#[track_caller]
fn number(op: &'static str, what: &str, x: f64, range: std::ops::Range<f64>) -> Result<f32> {
    if range.contains(&x) && range.contains(&f64::from(x as f32)) {
        return Ok(x as f32);
    }
    let bounds = match range.end {
        f64::INFINITY => "it must be finite and not negative".to_owned(),
        _ => {
            format!("it must be at least {} and, rounded to f32, below {}", range.start, range.end)
        }
    };
    Err(Error::argument(op, format!("{what} {x}; {bounds}")))
}

/// What is added to a root: at least the smallest normal number, since 0/0 would be NaN.
#[track_caller]
fn epsilon(op: &'static str, value: f64) -> Result<f32> {
    let e = number(op, "epsilon", value, POSITIVE)?;
    if e >= f32::MIN_POSITIVE {
        return Ok(e);
    }
    Err(Error::argument(
        op,
        format!("epsilon {value}; it must be at least {:e}", f32::MIN_POSITIVE),
    ))
}

/// Finite and not negative.
const POSITIVE: std::ops::Range<f64> = 0.0..f64::INFINITY;
/// At least 0 and below 1.
const SHARE: std::ops::Range<f64> = 0.0..1.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_their_range() {
        for bad in [f64::NAN, -0.1, f64::INFINITY, f64::NEG_INFINITY, 1e39] {
            assert!(number("sgd", "learning rate", bad, POSITIVE).is_err(), "{bad}");
        }
        for bad in [f64::NAN, -1e-9, 1.0, 1.5, 0.999_999_999_999] {
            assert!(number("sgd", "momentum", bad, SHARE).is_err(), "{bad}");
        }
        assert_eq!(number("sgd", "momentum", 0.5, SHARE).ok(), Some(0.5));
        assert_eq!(number("sgd", "learning rate", 0.0, POSITIVE).ok(), Some(0.0));
    }
}
