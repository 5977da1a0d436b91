//! Trains a multi-layer perceptron on handwritten digits, on the best device there is.
//!
//! ```text
//! cargo run --release --example mnist            # see --help for the flags
//! ```

mod args;
mod clock;
mod digits;
mod report;
mod training;

use args::{Args, Choice};
use clock::Clock;
use report::Report;
use std::{error::Error, process::ExitCode};
use wgrad::ErrorKind;
use wgrad::prelude::*;

fn main() -> ExitCode {
    let clock = Clock::start();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let args = match Args::parse() {
        Ok(Some(args)) => args,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}\nSee --help for the flags.");
            return ExitCode::from(2);
        }
    };
    match run(&args, &clock) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args, clock: &Clock) -> Result<(), Box<dyn Error>> {
    let report = Report::new(args.json);
    let device = device(args.device, &report)?;
    let (train, test) = match &args.data {
        Some(folder) => Dataset::from_folder(folder, args.classes)?,
        None => embedded()?,
    };
    let sizes = [&[train.sample_len()], &args.hidden[..], &[train.classes()]].concat();
    let model = Mlp::with_seed(&sizes, args.seed, &device)?;
    report.head(args, &device, &model, (&train, &test))?;
    let outcome = training::train(args, clock, &report, &model, (&train, &test))?;
    report.drawings(&digits::draw(&model, &test, &device)?)?;
    report.tail(args, &device, &outcome)?;
    Ok(())
}

/// The device asked for. Only `auto` takes another one than a GPU adapter, and says so.
fn device(choice: Choice, report: &Report) -> Result<Device, Box<dyn Error>> {
    match choice {
        Choice::Cpu => Ok(wgrad::cpu()),
        Choice::Gpu => Ok(gpu()?),
        Choice::Auto => match gpu() {
            Ok(device) => Ok(device),
            // A typing mistake in a variable is told, not worked around.
            Err(error) if error.kind() == ErrorKind::Config => Err(error.into()),
            Err(error) => {
                report.line(&format!(
                    "training on the CPU, since there is no GPU adapter: {error}"
                ))?;
                Ok(wgrad::cpu())
            }
        },
    }
}

#[cfg(feature = "gpu")]
fn gpu() -> wgrad::Result<Device> {
    wgrad::gpu()
}

#[cfg(not(feature = "gpu"))]
fn gpu() -> wgrad::Result<Device> {
    Err(wgrad::Error::device("gpu", "this program was built without the feature `gpu`"))
}

/// 10,000 real digits: the first 8,500 train, the last 1,500 test.
fn embedded() -> wgrad::Result<(Dataset, Dataset)> {
    let images = include_bytes!("../data/mnist-10k/t10k-images-idx3-ubyte.gz");
    let labels = include_bytes!("../data/mnist-10k/t10k-labels-idx1-ubyte.gz");
    let images = Idx::from_bytes("the embedded images", images)?;
    let labels = Idx::from_bytes("the embedded labels", labels)?;
    Dataset::from_idx(&images, &labels, 10)?.split(8_500)
}
