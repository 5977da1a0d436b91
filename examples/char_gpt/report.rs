//! What is said: to people on stdout, or on stderr when stdout is for one line of JSON.

use crate::{args::Args, model::CharGpt, text::Text, training::Outcome};
use serde_json::json;
use std::io::{self, Write};
use wgrad::prelude::*;

/// Where lines go, and what counting alone would reach.
pub struct Report {
    json: bool,
    /// Losses by the frequencies of characters and of pairs.
    pub counted: (f64, f64),
}

impl Report {
    pub fn new(json: bool) -> Report {
        Report { json, counted: (0.0, 0.0) }
    }

    /// A line for people.
    pub fn line(&self, text: &str) -> io::Result<()> {
        if self.json { writeln!(io::stderr(), "{text}") } else { writeln!(io::stdout(), "{text}") }
    }

    /// What will be trained, where.
    pub fn head(
        &self,
        args: &Args,
        device: &Device,
        model: &CharGpt,
        text: &Text,
    ) -> io::Result<()> {
        let kind = match device.info().kind {
            DeviceKind::Gpu => "GPU",
            DeviceKind::SoftwareGpu => "software GPU",
            DeviceKind::Cpu => "CPU backend",
        };
        let Args { layers, heads, size, length, batch, lr, seed, .. } = args;
        self.line(&format!("device     {} ({kind})", device.info()))?;
        self.line(&format!(
            "text       {} characters, {} different; the last tenth tests",
            text.len(),
            text.classes()
        ))?;
        self.line(&format!(
            "model      {layers} blocks of size {size} with {heads} heads, {} parameters",
            model.count_parameters()
        ))?;
        self.line(&format!(
            "training   AdamW, rate {lr}, {batch} windows of {length} characters a step, seed {seed}"
        ))?;
        self.line(&format!(
            "yardsticks loss {:.3} by the frequency of characters, {:.3} by that of pairs\n",
            self.counted.0, self.counted.1
        ))?;
        self.line(" steps  train loss  test loss")
    }

    /// One row of the table: the mean of the last losses, and the last test.
    pub fn tested(&self, outcome: &Outcome) -> io::Result<()> {
        let Some((steps, test)) = outcome.test_loss.last() else { return Ok(()) };
        let recent: Vec<f32> = outcome.step_loss.iter().rev().take(50).copied().collect();
        let mean = recent.iter().sum::<f32>() / recent.len().max(1) as f32;
        self.line(&format!("{steps:>6}  {mean:>10.3}  {test:>9.3}"))
    }

    /// The result; with `--json` as the one line on stdout.
    pub fn tail(
        &self,
        args: &Args,
        device: &Device,
        outcome: &Outcome,
        written: &str,
    ) -> io::Result<()> {
        let test = outcome.test_loss.last().map_or(f64::NAN, |(_, loss)| *loss);
        self.line(&format!("\n--- written by the model ---\n{written}\n---"))?;
        self.line(&format!(
            "test loss {test:.3}, {:.0} characters/s, first step after {:.0} ms, on {}",
            outcome.characters_per_s,
            outcome.first_step_ms,
            device.info().name
        ))?;
        if !self.json {
            return Ok(());
        }
        let cpu = device.info().kind == DeviceKind::Cpu;
        let object = json!({
            "device": if cpu { "cpu" } else { "gpu" },
            "adapter": device.info().name,
            "steps": args.steps,
            "seed": args.seed,
            "first_step_ms": outcome.first_step_ms,
            "characters_per_s": outcome.characters_per_s,
            "unigram_loss": self.counted.0,
            "bigram_loss": self.counted.1,
            "step_loss": outcome.step_loss,
            "test_loss": outcome.test_loss,
            "written": written,
        });
        writeln!(io::stdout(), "{object}")
    }
}
