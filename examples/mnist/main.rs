//! Trains a multi-layer perceptron on handwritten digits, on the best device there is.
//!
//! ```text
//! cargo run --release --example mnist            # see --help for the flags
//! ```

mod args;
#[path = "../common/mod.rs"]
mod common;
mod digits;
mod report;
mod training;

use args::Args;
use common::{clock::Clock, report::Report};
use std::{error::Error, process::ExitCode};
use wgrad::prelude::*;

fn main() -> ExitCode {
    let clock = Clock::start();
    common::main(Args::parse, |args| run(&args, &clock))
}

fn run(args: &Args, clock: &Clock) -> Result<(), Box<dyn Error>> {
    let report = Report::new(args.json);
    let (device, no_gpu) = args.device.open()?;
    if let Some(why) = no_gpu {
        report.line(&why)?;
    }
    let (train, test) = match &args.data {
        Some(folder) => Dataset::from_folder(folder, args.classes)?,
        None => common::digits::embedded()?,
    };
    let sizes = [&[train.sample_len()], &args.hidden[..], &[train.classes()]].concat();
    let model = Mlp::with_seed(&sizes, args.seed, &device)?;
    report.head(args, &device, &model, (&train, &test))?;
    let outcome = training::train(args, clock, &report, &model, (&train, &test))?;
    report.drawings(&digits::draw(&model, &test, &device)?)?;
    report.tail(args, &device, &outcome)?;
    Ok(())
}
