//! Training: windows of text, a recorded step, and the trainer around it.

use crate::{
    args::Args,
    common::{clock::Clock, report::Report},
    model::CharGpt,
    text::Text,
};
use std::error::Error;
use wgrad::{
    nn::{History, Stop, Trainer, Validation},
    prelude::*,
};

/// What training showed.
pub struct Outcome {
    pub stop: Stop,
    /// Steps taken, those before a resume too.
    pub steps: u64,
    /// From the start of the process until the first step's loss was read.
    pub first_step_ms: f64,
    /// Training alone, without the part that compiled kernels.
    pub characters_per_s: f64,
    /// Losses of each part of the run.
    pub history: History,
}

/// The run is divided into so many parts, with a test and a checkpoint after each.
const PARTS: usize = 10;
/// Batches of a test.
const TEST_BATCHES: usize = 8;

/// Trains `model` on windows of the text.
pub fn train(
    args: &Args,
    clock: &Clock,
    report: &Report,
    model: &CharGpt,
    text: &Text,
) -> Result<Outcome, Box<dyn Error>> {
    let device = model.parameters()?.values().device().clone();
    let each = args.steps.div_ceil(PARTS);
    let parts = args.steps.div_ceil(each) as u64;
    let steps = parts * each as u64;
    let optimizer = AdamW::new(model, args.lr)?;
    let warm = steps / 10;
    let schedule = Schedule::cosine(args.lr, steps - warm, args.lr / 10.0)?.warmup(warm)?;
    let scheduler = Scheduler::new(schedule, &optimizer)?;
    // Recorded at its first run and replayed from then on; the learning rate is a tensor and may change.
    let step = Step::new(&device, |batch| {
        let loss = model.forward(&batch[0])?.cross_entropy(&batch[1])?;
        optimizer.step(&loss.backward()?)?;
        Ok(vec![loss])
    });
    let test = Step::new(&device, |batch| {
        eval(|| Ok(vec![model.forward(&batch[0])?.cross_entropy(&batch[1])?]))
    });
    let windows = text.windows(args.length, each * args.batch);
    let loader = Loader::new(windows, args.batch, &device)?.shuffle(args.seed);
    let checkpoint = Checkpoint::new()
        .module("model", model)
        .state("adam", &optimizer)
        .state("schedule", &scheduler)
        .device(&device);
    let mut first_step_ms = 0.0;
    let outcome = Trainer::new(parts).folder(&args.out, checkpoint)?.resume(args.resume).run(
        &loader,
        |batch| {
            let loss = step.run(&[&batch[0], &batch[1]])?.swap_remove(0);
            scheduler.step(&optimizer)?;
            if first_step_ms == 0.0 {
                loss.item::<f32>()?;
                first_step_ms = clock.ms();
            }
            Ok(loss)
        },
        || {
            let mut sum = 0.0;
            for part in 0..TEST_BATCHES {
                let [x, next] =
                    text.test_windows(part, TEST_BATCHES, args.batch, args.length, &device)?;
                sum += f64::from(test.run(&[&x, &next])?.swap_remove(0).item::<f32>()?);
            }
            Ok(Validation::new(sum / TEST_BATCHES as f64))
        },
    )?;
    for epoch in outcome.history.epochs() {
        report.tested(epoch)?;
    }
    let timed = outcome.history.epochs().iter().skip(1);
    let seconds: f64 = timed.clone().map(|epoch| epoch.seconds).sum();
    let characters = timed.count() * each * args.batch * args.length;
    Ok(Outcome {
        stop: outcome.stop,
        steps: outcome.steps,
        first_step_ms,
        characters_per_s: if characters > 0 { characters as f64 / seconds } else { 0.0 },
        history: outcome.history,
    })
}
