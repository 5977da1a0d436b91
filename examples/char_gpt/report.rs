//! What is said: to people on stdout, or on stderr when stdout is for one line of JSON.

use crate::{args::Args, model::CharGpt, text::Text, training::Outcome};
use serde_json::json;
use std::io::{self, Write};
use wgrad::{nn::Epoch, prelude::*};

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

    /// One row of the table.
    pub fn tested(&self, epoch: &Epoch) -> io::Result<()> {
        let Epoch { step, train_loss, loss, .. } = epoch;
        self.line(&format!("{step:>6}  {train_loss:>10.3}  {loss:>9.3}"))
    }

    /// The result; with `--json` as the one line on stdout.
    pub fn tail(
        &self,
        args: &Args,
        device: &Device,
        outcome: &Outcome,
        written: &str,
    ) -> io::Result<()> {
        let epochs = outcome.history.epochs();
        let test = epochs.last().map_or(f64::NAN, |epoch| epoch.loss);
        self.line(&format!("\n--- written by the model ---\n{written}\n---"))?;
        self.line(&format!(
            "test loss {test:.3}, {:.0} characters/s, first step after {:.0} ms, on {}; see {}",
            outcome.characters_per_s,
            outcome.first_step_ms,
            device.info().name,
            args.out().join("loss.svg").display()
        ))?;
        if !self.json {
            return Ok(());
        }
        let cpu = device.info().kind == DeviceKind::Cpu;
        let object = json!({
            "device": if cpu { "cpu" } else { "gpu" },
            "adapter": device.info().name,
            "steps": outcome.steps,
            "seed": args.seed,
            "first_step_ms": outcome.first_step_ms,
            "characters_per_s": outcome.characters_per_s,
            "unigram_loss": self.counted.0,
            "bigram_loss": self.counted.1,
            "train_loss": epochs.iter().map(|epoch| epoch.train_loss).collect::<Vec<_>>(),
            "test_loss": epochs.iter().map(|epoch| epoch.loss).collect::<Vec<_>>(),
            "out": args.out(),
            "written": written,
        });
        writeln!(io::stdout(), "{object}")
    }
}
