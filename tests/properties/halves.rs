//! Every unary operation on all 65,536 numbers of 16 bits.

use crate::{
    Law,
    support::{
        inputs::read,
        table::unary::{apply, rule},
        tolerance::{self, PLAIN},
    },
};
use half::f16;
use wgrad_core::{DType, Device, Tensor, cpu::Cpu, ops::unary::Unary};

/// Whether a result in 16 bits is the number wanted: what rounds to infinity may stay the largest number, or the other
/// way round, within the bound.
fn fits(op: Unary, got: f64, want: f64) -> bool {
    if want.is_nan() || got.is_nan() {
        return want.is_nan() && got.is_nan();
    }
    if got == f64::from(f16::from_f64(want)) {
        return true;
    }
    // As if numbers went on beyond the largest: the next one would be 65,536.
    let got = if got.is_infinite() { got.signum() * 65_536.0 } else { got };
    let context = tolerance::Context { half: true, ..PLAIN };
    want.is_finite() && (got - want).abs() <= tolerance::of(rule(op)).bound(want, &context)
}

/// Everything that f16 can hold, as 16 bits and for the judge.
fn all_halves(d: &Device) -> (Vec<f16>, Tensor, Tensor) {
    let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    let wide: Vec<f64> = all.iter().map(|&x| f64::from(x)).collect();
    let cpu = Device::new(Box::new(Cpu::new()));
    let x = Tensor::from_vec(&all, [1 << 16], d).unwrap();
    let judge = Tensor::from_vec(&wide, [1 << 16], &cpu).unwrap();
    (all, x, judge)
}

/// The arguments for which a result is wrong, with it and what was wanted.
#[track_caller]
fn none_wrong(
    op: Unary,
    all: &[f16],
    got: &[f64],
    want: &[f64],
    fits: impl Fn(f16, f64, f64) -> bool,
) {
    assert_eq!(got.len(), want.len());
    let wrong: Vec<usize> = (0..all.len()).filter(|&i| !fits(all[i], got[i], want[i])).collect();
    let told: Vec<_> = wrong.iter().take(5).map(|&i| (all[i], got[i], want[i])).collect();
    assert!(wrong.is_empty(), "{}: {} wrong, such as {told:?}", op.label(), wrong.len());
}

pub const LAWS: &[Law] = &[
    ("unary_operations_on_all_halves", |d| {
        let (all, x, judge) = all_halves(d);
        for op in Unary::ALL {
            let y = apply(op, &x).unwrap();
            assert_eq!(y.dtype(), DType::F16);
            let (got, want) = (read(&y).unwrap(), read(&apply(op, &judge).unwrap()).unwrap());
            none_wrong(op, &all, &got, &want, |_, got, want| fits(op, got, want));
        }
    }),
    ("unary_gradients_on_all_halves", |d| {
        let (all, x, judge) = all_halves(d);
        for op in Unary::ALL {
            let slopes = |x: &Tensor| {
                let x = x.requiring_grad();
                let y = apply(op, &x).unwrap();
                let gradients = y.sum_all().unwrap().backward().unwrap();
                read(gradients.wrt(&x).unwrap()).unwrap()
            };
            let (got, want) = (slopes(&x.cast(DType::F32).unwrap()), slopes(&judge));
            none_wrong(op, &all, &got, &want, |x, got, want| {
                // In f32, beyond whose range numbers are infinite.
                let same = got == f64::from(want as f32) || (got.is_nan() && want.is_nan());
                let bound = tolerance::of(rule(op)).gradient_bound(want.abs(), 1.0, &PLAIN);
                // Of NaN the result is NaN already; some slopes of it are 0 on GPUs.
                same || x.is_nan() || (want.is_finite() && (got - want).abs() <= bound)
            });
        }
    }),
];
