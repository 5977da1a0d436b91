//! Bad input and faults: every row of the fault list, the same body on the CPU and on GPUs, named
//! after its row in the list (A shapes, B numbers, C indices, D memory, E devices, F gradients, K threads).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod allocation;
mod attention;
mod environment;
mod indices;
mod layers;
mod lifetime;
mod numbers;
mod order;
mod shapes;
#[path = "../support/mod.rs"]
mod support;
mod windows;

use std::{fmt::Debug, process::ExitCode};
use support::{
    devices::{self, Mode},
    runner,
};
use wgrad_core::{Device, ErrorKind, Result, Tensor};

/// A row: its name, and what must hold on any device.
type Fault = (&'static str, fn(&Device));

/// The call failed as it should: with this kind of error, whose text contains these words.
#[track_caller]
fn refused<T: Debug>(result: Result<T>, kind: ErrorKind, words: &[&str]) {
    match result {
        Ok(value) => panic!("expected an error of kind {kind:?}, got {value:?}"),
        Err(error) => {
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{text}");
            for word in words {
                assert!(text.contains(word), "{word:?} is not in {text:?}");
            }
        }
    }
}

/// A tensor of f32 values.
fn floats(values: &[f32], shape: &[usize], d: &Device) -> Tensor {
    Tensor::from_vec(values, shape, d).unwrap()
}

/// A tensor of i32 values.
fn whole(values: &[i32], d: &Device) -> Tensor {
    Tensor::from_vec(values, [values.len()], d).unwrap()
}

fn read(x: &Tensor) -> Vec<f32> {
    x.to_vec::<f32>().unwrap()
}

/// Runs a row, after which the device must be as before: nothing to report, right results, no memory kept.
fn unharmed(d: &Device, fault: fn(&Device)) -> std::result::Result<(), String> {
    // The state of random numbers is a device's own, from its first use on.
    d.random_state().map_err(|e| e.to_string())?;
    d.sync().map_err(|e| format!("left by another row: {e}"))?;
    let before = d.memory().in_use();
    fault(d);
    d.sync().map_err(|e| format!("left behind: {e}"))?;
    known_good(d);
    d.sync().map_err(|e| format!("left behind: {e}"))?;
    let after = d.memory().in_use();
    if after == before { Ok(()) } else { Err(format!("{before} bytes in use became {after}")) }
}

/// A few operations whose results are whole numbers.
fn known_good(d: &Device) {
    let x = floats(&[1.0, 2.0, 3.0, 4.0], &[2, 2], d).requiring_grad();
    let y = x.matmul(&floats(&[5.0, 6.0, 7.0, 8.0], &[2, 2], d)).unwrap();
    assert_eq!(read(&y), [19.0, 22.0, 43.0, 50.0]);
    let rows = y.gather(&whole(&[1, 0, 1], d)).unwrap();
    assert_eq!(read(&rows), [43.0, 50.0, 19.0, 22.0, 43.0, 50.0]);
    let image = rows.reshape([1, 1, 3, 2]).unwrap();
    let ones = Tensor::ones([1, 1, 2, 2], d).unwrap();
    let y = image.conv2d(&ones, None, &wgrad_core::Conv2dOptions::new()).unwrap();
    assert_eq!(read(&y), [134.0, 134.0]);
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(read(gradients.wrt(&x).unwrap()), [22.0, 30.0, 22.0, 30.0]);
}

fn main() -> ExitCode {
    if let Some(code) = environment::child() {
        return code;
    }
    runner::main(|suite| {
        let all = [
            shapes::ROWS,
            numbers::ROWS,
            indices::ROWS,
            order::ROWS,
            attention::ROWS,
            windows::ROWS,
            layers::ROWS,
            allocation::ROWS,
        ];
        for (name, fault) in all.concat() {
            suite.cpu(format!("{name}::cpu"), move || {
                // A device of its own, whose memory is nobody else's.
                unharmed(&Device::new(Box::new(wgrad_core::cpu::Cpu::new())), fault)
            });
            for mode in [Mode::Software, Mode::Hardware] {
                suite.gpu(format!("{name}::{mode}"), move || {
                    let opened = devices::device(mode).map_err(|e| e.to_string())?;
                    let _turn = opened.turn();
                    unharmed(&opened.device, fault)
                });
            }
        }
        for (name, test) in lifetime::ROWS.iter().chain(environment::ROWS) {
            suite.gpu(*name, || {
                test();
                Ok(())
            });
        }
    })
}
