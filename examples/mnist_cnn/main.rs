//! Trains a convolutional network on handwritten digits, with a schedule, checkpoints and a plot.
//!
//! ```text
//! cargo run --release --example mnist_cnn            # see --help for the flags
//! ```

mod args;
#[path = "../common/mod.rs"]
mod common;
mod model;

use args::Args;
use common::{
    digits,
    report::{Report, stopped},
};
use model::Cnn;
use std::{error::Error, process::ExitCode, time::Instant};
use wgrad::{
    nn::{Stop, Trainer, Validation},
    prelude::*,
};

/// Images per batch when nothing is learned.
const TEST_BATCH: usize = 500;

fn main() -> ExitCode {
    common::main(Args::parse, |args| run(&args))
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let (device, no_gpu) = args.device.open()?;
    if let Some(why) = no_gpu {
        eprintln!("{why}");
    }
    device.seed(args.seed)?; // for dropout
    let (train, test) = match &args.data {
        Some(folder) => Dataset::from_folder(folder, 10)?,
        None => digits::embedded()?,
    };
    let &[height, width] = train.sample_shape() else {
        return Err(format!(
            "images of shape {:?}; [height, width] is needed",
            train.sample_shape()
        )
        .into());
    };
    let model = Cnn::new([height, width], train.classes(), args.seed, &device)?;
    eprintln!(
        "{} parameters, {} training and {} test images, on {}",
        model.count_parameters(),
        train.len(),
        test.len(),
        device.info()
    );
    let loader = Loader::new(train, args.batch, &device)?.shuffle(args.seed);
    let steps = loader.batches_per_epoch() as u64 * args.epochs;
    let adam = AdamW::new(&model, args.lr)?;
    let scheduler = Scheduler::new(Schedule::one_cycle(args.lr, steps)?, &adam)?;
    // Small gradients would vanish in 16 bits, so losses are scaled up there.
    let scaler = args.mixed.then(|| GradScaler::new(&device)).transpose()?;
    let step = Step::new(&device, |batch| {
        let loss = || model.forward(&batch[0])?.cross_entropy(&batch[1]);
        let Some(scaler) = &scaler else {
            let loss = loss()?;
            adam.step(&loss.backward()?)?;
            return Ok(vec![loss]);
        };
        let loss = autocast(loss)?;
        let gradients = scaler.unscale(scaler.scale(&loss)?.backward()?)?;
        scaler.step(&adam, &gradients)?;
        scaler.update()?;
        Ok(vec![loss])
    });
    let mut checkpoint = Checkpoint::new()
        .module("model", &model)
        .state("adam", &adam)
        .state("schedule", &scheduler)
        .device(&device);
    if let Some(scaler) = &scaler {
        checkpoint = checkpoint.state("scaler", scaler);
    }
    let outcome =
        Trainer::new(args.epochs).folder(&args.out, checkpoint)?.resume(args.resume).run(
            &loader,
            |batch| {
                let loss = step.run(&[&batch[0], &batch[1]])?.swap_remove(0);
                scheduler.step(&adam)?;
                Ok(loss)
            },
            || test_on(&model, &test, &device),
        )?;
    if outcome.stop == Stop::Interrupted {
        eprintln!("{}", stopped(outcome.steps, &args.out));
        return Ok(());
    }
    let accuracy = test_on(&model, &test, &device)?.metrics[0].1;
    let seconds = start.elapsed().as_secs_f64();
    let text = format!(
        "{:.2}% of {} test images after {} epochs, {seconds:.0} s in all; see {}",
        100.0 * accuracy,
        test.len(),
        outcome.history.epochs().len(),
        args.out.join("loss.svg").display()
    );
    let object = serde_json::json!({
        "device": device.info().name, "epochs": outcome.history.epochs().len(), "steps": outcome.steps,
        "seed": args.seed, "test_accuracy": accuracy, "seconds": seconds, "out": args.out,
    });
    Ok(Report::new(args.json).result(&text, &object)?)
}

/// Loss and the share of images whose digit is found.
fn test_on(model: &Cnn, test: &Dataset, device: &Device) -> Result<Validation> {
    let mut counts = Vec::new();
    for batch in test.batches(TEST_BATCH, device)? {
        let (x, labels) = batch?;
        let images = x.reshape([&[labels.numel()], test.sample_shape()].concat())?;
        let logits = eval(|| model.forward(&images))?;
        let loss = logits.cross_entropy(&labels)?.try_mul(labels.numel() as f64)?;
        counts.push((loss, count_correct(&logits, &labels)?));
    }
    let (mut loss, mut correct) = (0.0, 0.0);
    for (sum, count) in counts {
        loss += f64::from(sum.item::<f32>()?);
        correct += f64::from(count.item::<i32>()?);
    }
    let all = test.len() as f64;
    Ok(Validation::new(loss / all).with("accuracy", correct / all))
}
