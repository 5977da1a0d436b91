//! Laws that hold whatever the numbers: on the CPU and on GPUs. What is random has a fixed seed; a failure says which
//! case was drawn.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod algebra;
mod attention;
mod chains;
mod conv;
mod dice;
mod families;
mod graphs;
mod halves;
mod memory;
mod norm;
mod pool;
mod random;
#[path = "../support/mod.rs"]
mod support;
mod training;

use std::process::ExitCode;
use support::{
    compare::{bits, close},
    devices::{self, Mode},
    inputs::{floats, read},
    runner,
    tolerance::{self, Context},
};
use wgrad_core::{DType, Device, Tensor};

/// A law: its name, and the check on a device.
type Law = (&'static str, fn(&Device));

const LAWS: &[&[Law]] = &[
    algebra::LAWS,
    attention::LAWS,
    chains::LAWS,
    conv::LAWS,
    families::LAWS,
    graphs::LAWS,
    halves::LAWS,
    memory::LAWS,
    norm::LAWS,
    pool::LAWS,
    random::LAWS,
    training::LAWS,
];

/// Numbers from [-1, 1).
fn draw(seed: u64, shape: &[usize], d: &Device) -> Tensor {
    let input = floats(shape, -1.0, 1.0);
    input.tensor(&input.values(seed, false), DType::F32, d).unwrap()
}

#[track_caller]
fn same(got: &Tensor, want: &Tensor) {
    assert_eq!(got.shape(), want.shape());
    bits("same", want.shape(), &read(got).unwrap(), &read(want).unwrap()).unwrap();
}

/// Equal within what twice the operation may err by: both sides are computed.
#[track_caller]
fn near(op: &str, terms: usize, got: &Tensor, want: &Tensor) {
    assert_eq!(got.shape(), want.shape());
    let wanted = read(want).unwrap();
    let context = Context { scale: terms as f64, terms, half: false, coarse: false };
    let bound = |i: usize| 2.0 * tolerance::of(op).bound(wanted[i], &context);
    close(op, want.shape(), &read(got).unwrap(), &wanted, bound).unwrap();
}

/// Σ a·b, in f64.
fn product(a: &Tensor, b: &Tensor) -> f64 {
    read(a).unwrap().iter().zip(read(b).unwrap()).map(|(a, b)| a * b).sum()
}

/// ⟨a, b⟩ = ⟨c, e⟩ for vectors of numbers below 1, of which one came out of sums of so many terms.
#[track_caller]
fn adjoint(what: &str, terms: usize, [a, b]: [&Tensor; 2], [c, e]: [&Tensor; 2]) {
    let (left, right) = (product(a, b), product(c, e));
    let magnitude = |a: &Tensor, b: &Tensor| product(&a.abs().unwrap(), &b.abs().unwrap());
    let scale = magnitude(a, b).max(magnitude(c, e)).max(1.0);
    let context = Context { scale, terms, ..tolerance::PLAIN };
    let bound = 2.0 * tolerance::of("conv").bound(left, &context);
    close(what, &[], &[right], &[left], |_| bound).unwrap();
}

/// The same for products of numbers below 1 over k.
#[track_caller]
fn near_product(k: usize, got: &Tensor, want: &Tensor) {
    near("matmul", k, got, want);
}

fn main() -> ExitCode {
    runner::main(|suite| {
        for (name, law) in LAWS.concat() {
            suite.cpu(format!("{name}::cpu"), move || {
                // A device of its own: a stream of random numbers is a device's.
                law(&Device::new(Box::new(wgrad_core::cpu::Cpu::new())));
                Ok(())
            });
            for mode in [Mode::Software, Mode::Hardware] {
                suite.gpu(format!("{name}::{mode}"), move || {
                    let opened = devices::device(mode).map_err(|e| e.to_string())?;
                    let _turn = opened.turn();
                    law(&opened.device);
                    Ok(())
                });
            }
        }
    })
}
