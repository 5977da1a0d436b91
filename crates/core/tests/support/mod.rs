//! What the tests share: tolerances, comparisons that fail on NaN, and tensors of any float type.
#![allow(dead_code, reason = "each test file uses a part")]

use half::f16;
use wgrad_core::{
    DType, Device, Error, ErrorKind, Gradients, Result, Shape, Tensor, philox::Stream,
};

/// `|got - want| <= abs + rel·|want|`, as required of f32; f64 must be better by the ratio of their
/// last places, and f16 may add the rounding of what it stores.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    pub rel: f64,
    pub abs: f64,
}

/// Elements are moved, compared or small whole numbers: no rounding at all.
pub const EXACT: Tolerance = Tolerance { rel: 0.0, abs: 0.0 };
/// One operation of IEEE arithmetic, and the rounding of a decimal constant.
pub const ROUNDED: Tolerance = Tolerance { rel: 2.4e-7, abs: 0.0 };
/// Division and square root on a GPU may be off by 5 units in the last place.
pub const DIVIDED: Tolerance = Tolerance { rel: 8e-7, abs: 0.0 };
/// Activations and other functions by way of an exponential with a moderate argument.
pub const FUNCTION: Tolerance = Tolerance { rel: 4e-6, abs: 4e-7 };
/// The left tails of activations: an exponential's error grows with its argument.
pub const TAIL: Tolerance = Tolerance { rel: 6e-5, abs: 0.0 };
/// Softmax: tiny probabilities have the error of a difference of logits.
pub const SOFTMAX: Tolerance = Tolerance { rel: 1e-5, abs: 2.3e-6 };
/// Losses from logits.
pub const LOSS: Tolerance = Tolerance { rel: 1e-6, abs: 4e-6 };
/// Sums of up to 10^7 equal numbers: what pairwise or blocked summation keeps and a plain loop loses.
pub const LONG_SUM: Tolerance = Tolerance { rel: 2e-6, abs: 0.0 };
/// Values of size 4 through two sums, a root and a quotient.
pub const NORM: Tolerance = Tolerance { rel: 1e-5, abs: 4e-6 };
/// Some dozen products summed in f64, in two orders.
pub const PRODUCTS_F64: Tolerance = Tolerance { rel: 1e-12, abs: 1e-12 };
/// A variance of values that lie far from 0 compared with their spread.
pub const VARIANCE: Tolerance = Tolerance { rel: 1e-3, abs: 0.0 };
/// One step of an optimizer: a division, a root, and the difference of 1 and a power.
pub const STEP: Tolerance = Tolerance { rel: 2e-5, abs: 1e-7 };
/// Central differences in f64 with steps of 1e-6: 1e-12 from the curve, 1e-10 from rounding, and both
/// grow with the function's own size.
pub const DIFFERENCE: Tolerance = Tolerance { rel: 1e-6, abs: 1e-8 };
/// The step of those differences.
pub const DIFFERENCE_STEP: f64 = 1e-6;
/// Moments of 10^5 random numbers: five standard errors.
pub const MOMENTS: Tolerance = Tolerance { rel: 0.0, abs: 0.016 };

impl Tolerance {
    /// The same demand in units of the last place of another type.
    pub fn of(self, dtype: DType) -> Tolerance {
        match dtype {
            DType::F64 => {
                let ratio = f64::EPSILON / f64::from(f32::EPSILON);
                Tolerance { rel: self.rel * ratio, abs: self.abs * ratio }
            }
            DType::F16 => {
                let last = f64::from(f16::EPSILON);
                Tolerance {
                    rel: self.rel + last,
                    abs: self.abs + f64::from(f16::MIN_POSITIVE_SUBNORMAL),
                }
            }
            _ => self,
        }
    }
}

/// Fails unless all are close; a NaN is close to NaN only, an infinity only to itself.
#[track_caller]
pub fn assert_close(got: &[f64], want: &[f64], tolerance: Tolerance) {
    assert_eq!(got.len(), want.len(), "numbers of elements; got {got:?}, want {want:?}");
    let good = |got: f64, want: f64| {
        if want.is_finite() {
            (got - want).abs() <= tolerance.abs + tolerance.rel * want.abs()
        } else {
            got == want || (got.is_nan() && want.is_nan())
        }
    };
    let bad = got.iter().zip(want).position(|(&g, &w)| !good(g, w));
    if let Some(i) = bad {
        let count = got.iter().zip(want).filter(|(g, w)| !good(**g, **w)).count();
        let (g, w) = (got[i], want[i]);
        panic!(
            "{count} of {} differ; the first is {i}: got {g:e}, want {w:e}, off by {:e}, allowed {tolerance:?}",
            got.len(),
            (g - w).abs()
        );
    }
}

/// Fails unless the result is an error of this kind whose text contains all pieces.
#[track_caller]
pub fn assert_fails<T>(result: Result<T>, kind: ErrorKind, pieces: &[&str]) {
    let error: Error = match result {
        Ok(_) => panic!("expected an error of kind {kind:?}, got a result"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), kind, "{error}");
    for piece in pieces {
        assert!(error.to_string().contains(piece), "{piece:?} is missing in {error}");
    }
    assert!(
        error.location().file().contains("tests"),
        "the error names {}, not the caller's line: {error}",
        error.location()
    );
}

pub fn cpu() -> Device {
    Device::cpu()
}

/// A CPU device of its own, with a ledger and a random stream that no other test touches.
pub fn own_cpu() -> Device {
    Device::new(Box::new(wgrad_core::cpu::Cpu::new()))
}

/// A tensor of a float or integer type from f64 values.
#[track_caller]
pub fn tensor(dtype: DType, values: &[f64], shape: &[usize]) -> Tensor {
    Tensor::from_vec(values, shape, &cpu()).unwrap().cast(dtype).unwrap()
}

pub fn f32s(values: &[f32]) -> Tensor {
    Tensor::from_vec(values, [values.len()], &cpu()).unwrap()
}

pub fn i32s(values: &[i32]) -> Tensor {
    Tensor::from_vec(values, [values.len()], &cpu()).unwrap()
}

/// All elements as f64.
#[track_caller]
pub fn values(x: &Tensor) -> Vec<f64> {
    x.cast(DType::F64).unwrap().to_vec::<f64>().unwrap()
}

/// All elements as the bits of their f64 values.
#[track_caller]
pub fn bits(x: &Tensor) -> Vec<u64> {
    values(x).into_iter().map(f64::to_bits).collect()
}

/// The gradient of `Σ y`.
#[track_caller]
pub fn gradients(y: &Tensor) -> Gradients {
    y.backward_with(&Tensor::full_like(y, 1.0).unwrap()).unwrap()
}

/// Random numbers in `[low, high)` that keep a distance of 0.05 from 0, where some functions bend.
pub fn random(stream: &mut Stream, shape: &[usize], low: f64, high: f64) -> Tensor {
    let count = Shape::new("random", shape).unwrap().numel();
    let data: Vec<f64> = (0..count)
        .map(|_| {
            let x = f64::from(stream.uniform(low as f32, high as f32));
            if x.abs() < 0.05 { x + 0.1_f64.copysign(x) } else { x }
        })
        .collect();
    Tensor::from_vec(data, shape, &cpu()).unwrap()
}
