//! Trains a small causal transformer on the characters of a novel, on the best device there is, and lets it write.
//!
//! ```text
//! cargo run --release --example char_gpt         # see --help for the flags
//! ```

mod args;
#[path = "../mnist/clock.rs"]
mod clock;
mod model;
mod report;
mod text;
mod training;
mod writing;

use args::{Args, Choice};
use clock::Clock;
use model::CharGpt;
use report::Report;
use std::{error::Error, process::ExitCode};
use text::Text;
use wgrad::ErrorKind;
use wgrad::{nn::Stop, prelude::*};

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
    let mut report = Report::new(args.json);
    let text = match &args.text {
        Some(file) => {
            let text = std::fs::read_to_string(file);
            Text::new(&text.map_err(|e| format!("{}: {e}", file.display()))?, args.length)
        }
        None => Text::new(include_str!("../data/persuasion/persuasion.txt"), args.length),
    }?;
    let prompt = text.encode(&args.prompt).map_err(|c| {
        format!("--prompt {:?}: the text has no {c:?}, so the model knows none", args.prompt)
    })?;
    if prompt.is_empty() {
        return Err("--prompt is empty: give at least one character".into());
    }
    let device = device(args.device, &report)?;
    let model = CharGpt::new(args, text.classes(), &device)?;
    report.counted = text.counted();
    report.head(args, &device, &model, &text)?;
    let outcome = training::train(args, clock, &report, &model, &text)?;
    if outcome.stop == Stop::Interrupted {
        let out = args.out();
        report.line(&format!(
            "stopped after {} steps; --resume --out {} goes on",
            outcome.steps,
            out.display()
        ))?;
        return Ok(());
    }
    let written = writing::write(args, &model, &text, &prompt)?;
    report.tail(args, &device, &outcome, &format!("{}{written}", args.prompt))?;
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
