//! What the larger examples share around their models: start, flags, device, folder, result.

#![allow(dead_code, reason = "no example uses all of it")]

pub mod clock;
pub mod device;
pub mod digits;
pub mod flags;
pub mod report;

use std::{error::Error, process::ExitCode};

/// Reads the flags and runs what they ask for. Bad flags exit with 2, other errors with 1.
pub fn main<Args>(
    parse: impl FnOnce() -> Result<Option<Args>, lexopt::Error>,
    run: impl FnOnce(Args) -> Result<(), Box<dyn Error>>,
) -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let args = match parse() {
        Ok(Some(args)) => args,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}\nSee --help for the flags.");
            return ExitCode::from(2);
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
