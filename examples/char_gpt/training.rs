//! The training loop.

use crate::{args::Args, clock::Clock, model::CharGpt, report::Report, text::Text};
use indicatif::{ProgressBar, ProgressStyle};
use std::{error::Error, time::Instant};
use wgrad::{READ_TIMEOUT, Result, nn::eval, philox::Stream, prelude::*};

/// What training showed.
pub struct Outcome {
    /// From the start of the process until the first step's loss was read.
    pub first_step_ms: f64,
    /// Training alone, without the first step.
    pub characters_per_s: f64,
    /// The loss of every step.
    pub step_loss: Vec<f32>,
    /// Steps taken, and the loss on the text for testing.
    pub test_loss: Vec<(usize, f64)>,
}

/// Reading a loss waits for the device, so losses are read this many at a time.
const READ_EVERY: usize = 25;
/// How often the model is tested, and on how many batches.
const TESTS: usize = 4;
const TEST_BATCHES: usize = 8;
/// Stream 0 of the seed is for first weights.
const WINDOWS: u32 = 1;

/// Trains `model` on windows of the text.
pub fn train(
    args: &Args,
    clock: &Clock,
    report: &Report,
    model: &CharGpt,
    text: &Text,
) -> Result<Outcome, Box<dyn Error>> {
    let device = model.parameters()?.values().device().clone();
    let optimizer = AdamW::new(model, args.lr)?;
    // Recorded at its first run and replayed from then on; the learning rate is a tensor and may change.
    let step = Step::new(&device, |batch| {
        let loss = model.forward(&batch[0])?.cross_entropy(&batch[1])?;
        optimizer.step(&loss.backward()?)?;
        Ok(vec![loss])
    });
    let test = Step::new(&device, |batch| {
        eval(|| Ok(vec![model.forward(&batch[0])?.cross_entropy(&batch[1])?]))
    });
    let tested = || -> Result<f64> {
        let mut sum = 0.0;
        for part in 0..TEST_BATCHES {
            let [x, next] =
                text.test_windows(part, TEST_BATCHES, args.batch, args.length, &device)?;
            sum += f64::from(test.run(&[&x, &next])?.swap_remove(0).item::<f32>()?);
        }
        Ok(sum / TEST_BATCHES as f64)
    };

    let mut outcome = Outcome {
        first_step_ms: 0.0,
        characters_per_s: 0.0,
        step_loss: Vec::with_capacity(args.steps),
        test_loss: Vec::new(),
    };
    let mut windows = Stream::new(args.seed, WINDOWS);
    let mut waiting = Vec::with_capacity(READ_EVERY);
    let (mut seconds, mut start) = (0.0, Instant::now());
    let bar = progress(args.steps);
    for taken in 0..args.steps {
        let [x, next] = text.windows(&mut windows, args.batch, args.length, &device)?;
        optimizer.set_lr(args.lr * share(taken, args.steps))?;
        waiting.push(step.run(&[&x, &next])?.swap_remove(0));
        bar.inc(1);
        let done = taken + 1;
        let test_now = done * TESTS / args.steps > taken * TESTS / args.steps;
        if taken == 0 || waiting.len() == READ_EVERY || test_now {
            read(&mut waiting, &mut outcome.step_loss)?;
            if let Some(loss) = outcome.step_loss.last() {
                bar.set_message(format!("loss {loss:.3}"));
            }
        }
        if taken == 0 {
            outcome.first_step_ms = clock.ms();
            // Compiling kernels is part of the first step and not of the throughput.
            start = Instant::now();
        }
        if test_now {
            seconds += start.elapsed().as_secs_f64();
            outcome.test_loss.push((done, tested()?));
            bar.suspend(|| report.tested(&outcome))?;
            start = Instant::now();
        }
    }
    bar.finish_and_clear();
    let trained = (args.steps - 1) * args.batch * args.length;
    outcome.characters_per_s = if trained > 0 { trained as f64 / seconds } else { 0.0 };
    Ok(outcome)
}

/// The share of the learning rate for a step: it grows over the first tenth and falls along a cosine to a tenth.
fn share(step: usize, steps: usize) -> f64 {
    let (step, steps) = (step as f64, steps as f64);
    let warm = (step + 1.0) / (steps / 10.0).max(1.0);
    warm.min(0.55 + 0.45 * (std::f64::consts::PI * step / steps).cos())
}

/// Reads the losses that wait.
fn read(waiting: &mut Vec<Tensor>, losses: &mut Vec<f32>) -> Result<()> {
    let mut reads = Vec::with_capacity(waiting.len());
    for loss in waiting.drain(..) {
        reads.push(loss.read::<f32>()?);
    }
    for read in reads {
        losses.extend(read.wait(READ_TIMEOUT)?);
    }
    Ok(())
}

/// A bar on stderr; nothing where that is no terminal.
fn progress(steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    match ProgressStyle::with_template("[{bar:40}] {pos}/{len} {msg}") {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
