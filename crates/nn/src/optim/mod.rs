//! Optimizers: each step is one operation over the whole model.

mod adam;
mod rate;
mod sgd;

pub use adam::{Adam, AdamW, AdamWith};
pub use sgd::Sgd;

use rate::Rate;
use wgrad_core::{Error, Gradients, Result};

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
