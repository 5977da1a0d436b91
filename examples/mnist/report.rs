//! What is said about the run.

use crate::{
    args::{Args, Method},
    common::report::Report,
    training::Outcome,
};
use serde_json::json;
use std::io;
use wgrad::prelude::*;

impl Report {
    /// What will be trained, where.
    pub fn head(
        &self,
        args: &Args,
        device: &Device,
        model: &Mlp,
        (train, test): (&Dataset, &Dataset),
    ) -> io::Result<()> {
        let optimizer = match args.optimizer {
            Method::Sgd => "SGD with momentum 0.9",
            Method::Adam => "Adam",
        };
        let sizes: Vec<String> = std::iter::once(train.sample_len())
            .chain(model.layers().iter().map(Linear::outputs))
            .map(|size| size.to_string())
            .collect();
        self.device(device)?;
        self.line(&format!("images     {} for training, {} for testing", train.len(), test.len()))?;
        self.line(&format!(
            "model      {}, {} parameters",
            sizes.join("-"),
            model.count_parameters()
        ))?;
        self.line(&format!(
            "training   {optimizer}, rate {}, batches of {}, seed {}\n",
            args.lr, args.batch, args.seed
        ))?;
        self.line("epoch    loss  test accuracy   images/s")
    }

    /// One row of the table.
    pub fn epoch(&self, epoch: u32, loss: f64, accuracy: f64, images_per_s: f64) -> io::Result<()> {
        let accuracy = format!("{:.2}%", accuracy * 100.0);
        self.line(&format!("{epoch:>5}  {loss:>6.4}  {accuracy:>13}  {images_per_s:>9.0}"))
    }

    /// Test images in block characters.
    pub fn drawings(&self, text: &str) -> io::Result<()> {
        self.line(&format!("\n{text}"))
    }

    /// The result; with `--json` as the one line on stdout.
    pub fn tail(&self, args: &Args, device: &Device, outcome: &Outcome) -> io::Result<()> {
        let text = format!(
            "test accuracy {:.2}%, {:.0} images/s, first step after {:.0} ms, on {}",
            outcome.test_accuracy * 100.0,
            outcome.images_per_s,
            outcome.first_step_ms,
            device.info().name
        );
        let cpu = device.info().kind == DeviceKind::Cpu;
        let object = json!({
            "device": if cpu { "cpu" } else { "gpu" },
            "adapter": device.info().name,
            "epochs": args.epochs,
            "seed": args.seed,
            "first_step_ms": outcome.first_step_ms,
            "images_per_s": outcome.images_per_s,
            "step_loss": outcome.step_loss,
            "train_loss": outcome.train_loss,
            "test_accuracy": outcome.test_accuracy,
        });
        self.result(&text, &object)
    }
}
