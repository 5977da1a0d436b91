//! Trains a small causal transformer on the characters of a novel, on the best device there is, and lets it write.
//!
//! ```text
//! cargo run --release --example char_gpt         # see --help for the flags
//! ```

mod args;
#[path = "../common/mod.rs"]
mod common;
mod model;
mod report;
mod text;
mod training;
mod writing;

use args::Args;
use common::{
    clock::Clock,
    report::{Report, stopped},
};
use model::CharGpt;
use std::{error::Error, process::ExitCode};
use text::Text;
use wgrad::nn::Stop;

fn main() -> ExitCode {
    let clock = Clock::start();
    common::main(Args::parse, |args| run(&args, &clock))
}

fn run(args: &Args, clock: &Clock) -> Result<(), Box<dyn Error>> {
    let report = Report::new(args.json);
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
    let (device, no_gpu) = args.device.open()?;
    if let Some(why) = no_gpu {
        report.line(&why)?;
    }
    let model = CharGpt::new(args, text.classes(), &device)?;
    let counted = text.counted();
    report.head(args, &device, &model, &text, counted)?;
    let outcome = training::train(args, clock, &report, &model, &text)?;
    if outcome.stop == Stop::Interrupted {
        report.line(&stopped(outcome.steps, &args.out))?;
        return Ok(());
    }
    let written = writing::write(args, &model, &text, &prompt)?;
    report.tail(args, &device, &outcome, counted, &format!("{}{written}", args.prompt))?;
    Ok(())
}
