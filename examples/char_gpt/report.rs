//! What is said about the run.

use crate::{args::Args, common::report::Report, model::CharGpt, text::Text, training::Outcome};
use serde_json::json;
use std::io;
use wgrad::{nn::Epoch, prelude::*};

impl Report {
    /// What will be trained, where; and the losses that counting alone would reach, by the frequencies of characters
    /// and of pairs.
    pub fn head(
        &self,
        args: &Args,
        device: &Device,
        model: &CharGpt,
        text: &Text,
        (single, pairs): (f64, f64),
    ) -> io::Result<()> {
        let Args { layers, heads, size, length, batch, lr, seed, .. } = args;
        self.device(device)?;
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
            "yardsticks loss {single:.3} by the frequency of characters, {pairs:.3} by that of pairs\n"
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
        (single, pairs): (f64, f64),
        written: &str,
    ) -> io::Result<()> {
        let epochs = outcome.history.epochs();
        let test = epochs.last().map_or(f64::NAN, |epoch| epoch.loss);
        self.line(&format!("\n--- written by the model ---\n{written}\n---"))?;
        let text = format!(
            "test loss {test:.3}, {:.0} characters/s, first step after {:.0} ms, on {}; see {}",
            outcome.characters_per_s,
            outcome.first_step_ms,
            device.info().name,
            args.out.join("loss.svg").display()
        );
        let cpu = device.info().kind == DeviceKind::Cpu;
        let object = json!({
            "device": if cpu { "cpu" } else { "gpu" },
            "adapter": device.info().name,
            "steps": outcome.steps,
            "seed": args.seed,
            "first_step_ms": outcome.first_step_ms,
            "characters_per_s": outcome.characters_per_s,
            "unigram_loss": single,
            "bigram_loss": pairs,
            "train_loss": epochs.iter().map(|epoch| epoch.train_loss).collect::<Vec<_>>(),
            "test_loss": epochs.iter().map(|epoch| epoch.loss).collect::<Vec<_>>(),
            "out": args.out,
            "written": written,
        });
        self.result(&text, &object)
    }
}
