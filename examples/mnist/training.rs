//! The training loop.

use crate::{
    args::{Args, Method},
    common::{clock::Clock, report::Report},
};
use indicatif::{ProgressBar, ProgressStyle};
use std::{error::Error, time::Instant};
use wgrad::{READ_TIMEOUT, Result, prelude::*};

/// What training showed.
pub struct Outcome {
    /// From the start of the process until the first step's loss was read.
    pub first_step_ms: f64,
    /// Training alone, without the first step.
    pub images_per_s: f64,
    /// Losses of the first [`STEP_LOSSES`] steps.
    pub step_loss: Vec<f32>,
    /// Mean loss of each epoch.
    pub train_loss: Vec<f64>,
    /// In [0, 1], after the last epoch.
    pub test_accuracy: f64,
}

const STEP_LOSSES: usize = 100;
/// Reading a loss waits for the device, so losses are read this many at a time.
const READ_EVERY: usize = 50;
/// The learning rate grows evenly over this many steps: with full steps from the start, one rounding
/// difference between two devices would grow a thousandfold within 100 steps.
const WARM_UP: f64 = 600.0;
/// Images per batch when nothing is learned.
const TEST_BATCH: usize = 500;

/// Trains `model` and tests it after each epoch.
pub fn train(
    args: &Args,
    clock: &Clock,
    report: &Report,
    model: &Mlp,
    (train, test): (&Dataset, &Dataset),
) -> Result<Outcome, Box<dyn Error>> {
    let optimizer: Box<dyn Optimizer> = match args.optimizer {
        Method::Sgd => Box::new(Sgd::new(model, args.lr)?.momentum(0.9)?),
        Method::Adam => Box::new(Adam::new(model, args.lr)?),
    };
    let device = model.parameters()?.values().device().clone();
    // Recorded at its first run and replayed from then on; the learning rate is a tensor and may change.
    let step = Step::new(&device, |batch| {
        let loss = model.forward(&batch[0])?.cross_entropy(&batch[1])?;
        optimizer.step(&loss.backward()?)?;
        Ok(vec![loss])
    });
    let mut outcome = Outcome {
        first_step_ms: 0.0,
        images_per_s: 0.0,
        step_loss: Vec::new(),
        train_loss: Vec::new(),
        test_accuracy: 0.0,
    };
    let (mut images, mut seconds) = (0, 0.0);
    let steps = train.len().div_ceil(args.batch) as f64 * f64::from(args.epochs);
    let mut taken = 0;
    for epoch in 0..args.epochs {
        let batches = train.batches(args.batch, &device)?.shuffle(args.seed, epoch);
        let bar = progress(batches.len(), epoch, args.epochs);
        let mut start = Instant::now();
        let mut losses = Losses::default();
        let mut first_batch = 0;
        for batch in batches {
            let (x, labels) = batch?;
            optimizer.set_lr(args.lr * share(taken, steps))?;
            taken += 1;
            let loss = step.run(&[&x, &labels])?.swap_remove(0);
            losses.waiting.push((loss, labels.numel()));
            bar.inc(1);
            if outcome.first_step_ms == 0.0 {
                losses.read(&mut outcome.step_loss)?;
                outcome.first_step_ms = clock.ms();
                // Compiling kernels is part of the first step and not of the throughput.
                (start, first_batch) = (Instant::now(), labels.numel());
            } else if losses.waiting.len() == READ_EVERY {
                bar.set_message(format!("loss {:.4}", losses.read(&mut outcome.step_loss)?));
            }
        }
        losses.read(&mut outcome.step_loss)?;
        let took = start.elapsed().as_secs_f64();
        bar.finish_and_clear();
        let timed = train.len() - first_batch;
        images += timed;
        seconds += took;
        outcome.train_loss.push(losses.sum / train.len() as f64);
        outcome.test_accuracy = accuracy_on(model, test, &device)?;
        report.epoch(
            epoch + 1,
            losses.sum / train.len() as f64,
            outcome.test_accuracy,
            timed as f64 / took,
        )?;
    }
    outcome.images_per_s = images as f64 / seconds;
    Ok(outcome)
}

/// The share of the learning rate for a step: it grows first and falls to 0 in the end, so that the
/// last steps no longer throw the accuracy about.
fn share(step: u32, steps: f64) -> f64 {
    let step = f64::from(step);
    ((step + 1.0) / WARM_UP).min(1.0 - step / steps)
}

/// Losses of an epoch's steps.
#[derive(Default)]
struct Losses {
    /// Not read yet, with the number of images each is the mean of.
    waiting: Vec<(Tensor, usize)>,
    /// Over images.
    sum: f64,
}

impl Losses {
    /// Reads those that wait, notes the first steps', and gives the last one.
    fn read(&mut self, step_loss: &mut Vec<f32>) -> Result<f32> {
        let mut reads = Vec::with_capacity(self.waiting.len());
        for (loss, count) in self.waiting.drain(..) {
            reads.push((loss.read::<f32>()?, count));
        }
        let mut last = 0.0;
        for (read, count) in reads {
            for loss in read.wait(READ_TIMEOUT)? {
                self.sum += f64::from(loss) * count as f64;
                if step_loss.len() < STEP_LOSSES {
                    step_loss.push(loss);
                }
                last = loss;
            }
        }
        Ok(last)
    }
}

/// The share of images whose digit is found.
fn accuracy_on(model: &Mlp, test: &Dataset, device: &Device) -> Result<f64> {
    let mut counts = Vec::new();
    for batch in test.batches(TEST_BATCH, device)? {
        let (x, labels) = batch?;
        counts.push(count_correct(&no_grad(|| model.forward(&x))?, &labels)?);
    }
    let mut correct = 0;
    for count in counts {
        correct += i64::from(count.item::<i32>()?);
    }
    Ok(correct as f64 / test.len() as f64)
}

/// A bar on stderr; nothing where that is no terminal.
fn progress(steps: usize, epoch: u32, epochs: u32) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64).with_prefix(format!("epoch {}/{epochs}", epoch + 1));
    match ProgressStyle::with_template("{prefix} [{bar:40}] {pos}/{len} {msg}") {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
