//! Every operation: the same body on the CPU in f64 and f32 and on GPUs, forward and backward.
//! The rows are in `support/table`, what is demanded of each in `support/check.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::{process::ExitCode, sync::Arc};
use support::{check, compare::Failure, devices, runner, table};

fn main() -> ExitCode {
    runner::main(|suite| {
        for row in table::rows() {
            let row = Arc::new(row);
            let cpu = row.clone();
            suite
                .cpu(format!("{}::cpu", row.name), move || check::cpu(&cpu).map_err(Failure::text));
            for mode in row.modes() {
                let row = row.clone();
                suite.gpu(format!("{}::{mode}", row.name), move || {
                    let opened = devices::device(mode).map_err(|e| e.to_string())?;
                    check::gpu(&row, &opened, mode).map_err(Failure::text)
                });
            }
        }
    })
}
