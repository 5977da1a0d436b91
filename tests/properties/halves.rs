//! Every unary operation on all 65,536 numbers of 16 bits.

use crate::{
    Law,
    support::tolerance::{self, PLAIN},
};
use half::f16;
use wgrad_core::{DType, Device, Result, Tensor, cpu::Cpu, ops::unary::Unary};

fn apply(op: Unary, x: &Tensor) -> Result<Tensor> {
    match op {
        Unary::Neg => x.neg(),
        Unary::Exp => x.exp(),
        Unary::Log => x.log(),
        Unary::Sqrt => x.sqrt(),
        Unary::Abs => x.abs(),
        Unary::Square => x.square(),
        Unary::Reciprocal => x.reciprocal(),
        Unary::Relu => x.relu(),
        Unary::LeakyRelu(slope) => x.leaky_relu(slope),
        Unary::Sigmoid => x.sigmoid(),
        Unary::Tanh => x.tanh(),
        Unary::Gelu => x.gelu(),
        Unary::GeluTanh => x.gelu_tanh(),
        Unary::Silu => x.silu(),
        Unary::Softplus => x.softplus(),
    }
}

/// The line of the table of tolerances, for any argument.
fn rule(op: Unary) -> &'static str {
    match op {
        Unary::Neg | Unary::Abs | Unary::Relu => "exact",
        Unary::Square | Unary::LeakyRelu(_) => "arithmetic",
        Unary::Sqrt | Unary::Reciprocal => "division",
        Unary::Exp => "exp",
        Unary::Log => "log",
        Unary::Tanh => "tanh",
        Unary::Sigmoid | Unary::Softplus => "sigmoid",
        Unary::Gelu | Unary::GeluTanh | Unary::Silu => "gelu",
    }
}

/// Whether a result in 16 bits is the number wanted: what rounds to infinity may stay the largest number, or the other
/// way round, within the bound.
fn fits(op: Unary, got: f16, want: f64) -> bool {
    if want.is_nan() || got.is_nan() {
        return want.is_nan() && got.is_nan();
    }
    let rounded = f16::from_f64(want);
    if got == rounded {
        return true;
    }
    // As if numbers went on beyond the largest: the next one would be 65,536.
    let got = if got.is_infinite() { f64::from(got).signum() * 65_536.0 } else { f64::from(got) };
    let context = tolerance::Context { half: true, ..PLAIN };
    want.is_finite() && (got - want).abs() <= tolerance::of(rule(op)).bound(want, &context)
}

pub const LAWS: &[Law] = &[("unary_operations_on_all_halves", |d| {
    let all: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    let wide: Vec<f64> = all.iter().map(|&x| f64::from(x)).collect();
    let x = Tensor::from_vec(&all, [1 << 16], d).unwrap();
    let cpu = Device::new(Box::new(Cpu::new()));
    let judge = Tensor::from_vec(&wide, [1 << 16], &cpu).unwrap();
    for op in Unary::ALL {
        let y = apply(op, &x).unwrap();
        assert_eq!(y.dtype(), DType::F16);
        let got = y.to_vec::<f16>().unwrap();
        let want = apply(op, &judge).unwrap().to_vec::<f64>().unwrap();
        let wrong: Vec<usize> = (0..all.len()).filter(|&i| !fits(op, got[i], want[i])).collect();
        let told: Vec<_> = wrong.iter().take(5).map(|&i| (all[i], got[i], want[i])).collect();
        assert!(wrong.is_empty(), "{}: {} wrong, such as {told:?}", op.label(), wrong.len());
    }
})];
