//! `History`: the record of a run, as CSV, JSON lines and a plot.

use super::plot;
use crate::save::{System, replace};
use serde_json::{Map, Value};
use std::{fs, io, path::Path};
use wgrad_core::{Error, Result};

/// What an epoch showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// From 0: the run's first, whatever the loader has behind it.
    pub epoch: u64,
    /// Steps taken up to its end.
    pub step: u64,
    /// Mean over its samples.
    pub train_loss: f64,
    /// Of the validation.
    pub loss: f64,
    /// How long it took; since the resume, if it was resumed in its middle.
    pub seconds: f64,
    /// Other numbers by name.
    pub metrics: Vec<(String, f64)>,
}

/// The record of a run: one entry for each epoch.
///
/// ```
/// use wgrad_nn::{Epoch, History};
/// let mut history = History::default();
/// history.push(Epoch { epoch: 0, step: 10, train_loss: 0.5, loss: 0.75, seconds: 1.0, metrics: vec![("accuracy".into(), 0.5)] });
/// assert_eq!(history.csv(), "epoch,step,train_loss,loss,seconds,accuracy\n0,10,0.5,0.75,1,0.5\n");
/// assert!(history.svg()?.starts_with("<svg"));
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    epochs: Vec<Epoch>,
}

impl History {
    /// Adds an epoch.
    pub fn push(&mut self, epoch: Epoch) {
        self.epochs.push(epoch);
    }

    /// All epochs.
    pub fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// Those before an epoch: what a run that goes on there keeps.
    #[must_use]
    pub fn before(mut self, epoch: u64) -> Self {
        self.epochs.retain(|one| one.epoch < epoch);
        self
    }

    /// Reads a file of JSON lines; without a file it is empty.
    #[track_caller]
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(path, &error)),
        };
        let mut epochs = Vec::new();
        for (number, line) in text.lines().enumerate() {
            match serde_json::from_str(line).ok().and_then(parsed) {
                Some(epoch) => epochs.push(epoch),
                None => {
                    return Err(Error::format(
                        "history",
                        format!(
                            "{}, line {}: no epoch's record; remove the line, or the file to go on without a record",
                            path.display(),
                            number + 1
                        ),
                    ));
                }
            }
        }
        Ok(Self { epochs })
    }

    /// As CSV: one line for each epoch, a column for each metric that any of them has.
    pub fn csv(&self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.epochs.iter().flat_map(|epoch| &epoch.metrics) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let quoted = |name: &&str| match name.contains([',', '"', '\n', '\r']) {
            true => format!(",\"{}\"", name.replace('"', "\"\"")),
            false => format!(",{name}"),
        };
        let heads: String = names.iter().map(quoted).collect();
        let mut text = format!("epoch,step,train_loss,loss,seconds{heads}\n");
        for Epoch { epoch, step, train_loss, loss, seconds, metrics } in &self.epochs {
            text.push_str(&format!("{epoch},{step},{train_loss},{loss},{seconds}"));
            for name in &names {
                let value = metrics.iter().find(|(other, _)| other == name);
                text.push_str(&value.map_or(",".to_owned(), |(_, value)| format!(",{value}")));
            }
            text.push('\n');
        }
        text
    }

    /// As JSON lines: one object for each epoch. A NaN or an infinity is `null`.
    pub fn json_lines(&self) -> String {
        let line = |one: &Epoch| {
            let metrics: Map<String, Value> =
                one.metrics.iter().map(|(name, value)| (name.clone(), (*value).into())).collect();
            let object = serde_json::json!({
                "epoch": one.epoch, "step": one.step, "train_loss": one.train_loss, "loss": one.loss,
                "seconds": one.seconds, "metrics": metrics,
            });
            format!("{object}\n")
        };
        self.epochs.iter().map(line).collect()
    }

    /// As a plot of both losses over the epochs, with the metrics below.
    #[track_caller]
    pub fn svg(&self) -> Result<String> {
        plot::svg(&self.epochs)
            .map_err(|error| Error::internal("history", format!("the plot failed: {error}")))
    }

    /// Writes `metrics.csv`, `metrics.jsonl` and `loss.svg` into a folder; each is replaced as one unit.
    #[track_caller]
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<()> {
        let svg = self.svg()?;
        let files =
            [("metrics.csv", self.csv()), ("metrics.jsonl", self.json_lines()), ("loss.svg", svg)];
        for (name, text) in files {
            let path = folder.as_ref().join(name);
            if let Err(error) = replace(&path, text.as_bytes(), &mut System) {
                return Err(failed(&path, &error));
            }
        }
        Ok(())
    }
}

fn parsed(value: Value) -> Option<Epoch> {
    let number = |value: &Value| if value.is_null() { Some(f64::NAN) } else { value.as_f64() };
    let metrics = value.get("metrics")?.as_object()?.iter();
    Some(Epoch {
        epoch: value.get("epoch")?.as_u64()?,
        step: value.get("step")?.as_u64()?,
        train_loss: number(value.get("train_loss")?)?,
        loss: number(value.get("loss")?)?,
        seconds: number(value.get("seconds")?)?,
        metrics: metrics
            .map(|(name, x)| Some((name.clone(), number(x)?)))
            .collect::<Option<_>>()?,
    })
}

#[track_caller]
fn failed(path: &Path, error: &io::Error) -> Error {
    Error::io("history", format!("{}: {error}", path.display()))
}
