//! Bad input and faults: every row of the fault list, the same body on the CPU and on GPUs, named
//! after its row in the list (A shapes, B numbers, C indices, D memory, E devices, F gradients, K threads).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

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

fn main() -> ExitCode {
    if let Some(code) = environment::child() {
        return code;
    }
    runner::main(|suite| {
        let rows = [
            shapes::ROWS,
            numbers::ROWS,
            indices::ROWS,
            order::ROWS,
            layers::ROWS,
            attention::ROWS,
        ];
        for (name, fault) in rows.concat() {
            suite.cpu(format!("{name}::cpu"), move || {
                fault(&Device::cpu());
                Ok(())
            });
            for mode in [Mode::Software, Mode::Hardware] {
                suite.gpu(format!("{name}::{mode}"), move || {
                    let opened = devices::device(mode).map_err(|e| e.to_string())?;
                    let _turn = opened.turn();
                    fault(&opened.device);
                    opened.device.sync().map_err(|e| format!("left behind: {e}"))
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
