//! Predicts how far diabetes goes from ten measurements, with a small network on a table of 442 patients.
//!
//! ```text
//! cargo run --release --example regression            # see --help for the flags
//! ```

#[path = "../common/mod.rs"]
mod common;

use common::{
    device::Choice,
    flags::{count, folder, help, rate, seed},
    report::{Report, stopped},
};
use lexopt::{Arg, Parser};
use std::{error::Error as StdError, path::PathBuf, process::ExitCode};
use wgrad::{
    nn::{Stop, Trainer, Validation, eval},
    philox::Stream,
    prelude::*,
};

const HELP: &str = "\
Predicts the progression of diabetes from ten measurements (442 patients: 282 train, 60 choose the
best epoch, 100 test).

Usage: cargo run --release --example regression -- [FLAGS]

  --device auto|gpu|cpu   auto: a GPU, else the CPU, saying why                  [auto]
  --epochs N              times through the training rows, at most                [300]
  --lr X                  learning rate                                         [0.003]
  --seed N                seed of split, first weights and shuffling                [1]
  --out DIR               folder for checkpoints, record and plot (loss.svg)
                                                    [target/regression-<time>, a new one]
  --resume                goes on with the run in --out
  --json                  last line on stdout: one JSON object; all else on stderr
  --help                  this text
";

const COLUMNS: [&str; 10] = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"];
const TARGET: &str = "progression";

struct Args {
    device: Choice,
    epochs: u64,
    lr: f64,
    seed: u64,
    out: PathBuf,
    resume: bool,
    json: bool,
}

fn main() -> ExitCode {
    common::main(parse, |args| run(&args))
}

/// The flags of this process; `None` if they asked for help, which is printed.
fn parse() -> Result<Option<Args>, lexopt::Error> {
    let mut args = Args {
        device: Choice::Auto,
        epochs: 300,
        lr: 0.003,
        seed: 1,
        out: PathBuf::new(),
        resume: false,
        json: false,
    };
    let mut out = None;
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("device") => args.device = Choice::parse(&mut parser)?,
            Arg::Long("epochs") => args.epochs = count(&mut parser, "--epochs", 1)?,
            Arg::Long("lr") => args.lr = rate(&mut parser)?,
            Arg::Long("seed") => args.seed = seed(&mut parser)?,
            Arg::Long("out") => out = Some(parser.value()?.into()),
            Arg::Long("resume") => args.resume = true,
            Arg::Long("json") => args.json = true,
            Arg::Long("help") => {
                help(HELP);
                return Ok(None);
            }
            other => return Err(other.unexpected()),
        }
    }
    args.out = folder(out, args.resume, "regression")?;
    Ok(Some(args))
}

fn run(args: &Args) -> Result<(), Box<dyn StdError>> {
    let (device, no_gpu) = args.device.open()?;
    if let Some(why) = no_gpu {
        eprintln!("{why}");
    }
    let [train, validation, test] = parts(args.seed)?;
    // Columns of mean 0 and deviation 1, by what the training rows show; the target likewise.
    let (features, target) = (Standard::of(&train.0)?, Standard::of(&train.1)?);
    let scaled = |(x, y): &(Array, Array)| -> Result<(Array, Array)> {
        Ok((features.apply(x)?, target.apply(y)?))
    };
    let (x, y) = scaled(&train)?;
    let loader = Loader::new(Rows::new(vec![x, y])?, 32, &device)?.shuffle(args.seed);
    let (x, y) = scaled(&validation)?;
    let (x, y) = (x.to_tensor(&device)?, y.to_tensor(&device)?);

    let model = Mlp::with_seed(&[COLUMNS.len(), 32, 1], args.seed, &device)?;
    let adam = AdamW::new(&model, args.lr)?.weight_decay(0.1)?;
    let step = Step::new(&device, |batch| {
        let loss = model.forward(&batch[0])?.mse(&batch[1])?;
        adam.step(&loss.backward()?)?;
        Ok(vec![loss])
    });
    let checkpoint = Checkpoint::new().module("model", &model).state("adam", &adam).device(&device);
    let outcome = Trainer::new(args.epochs)
        .patience(40)
        .save_every(25)
        .folder(&args.out, checkpoint)?
        .resume(args.resume)
        .run(
            &loader,
            |batch| Ok(step.run(&[&batch[0], &batch[1]])?.swap_remove(0)),
            || {
                let loss = eval(|| model.forward(&x)?.mse(&y))?.item::<f32>()?;
                // The target's deviation is 1, so that the share explained follows from the loss.
                Ok(Validation::new(loss.into()).with("r2", 1.0 - f64::from(loss)))
            },
        )?;
    if outcome.stop == Stop::Interrupted {
        eprintln!("{}", stopped(outcome.steps, &args.out));
        return Ok(());
    }
    // The epoch that was best on the validation rows is what the test rows judge.
    let best = args.out.join("best.safetensors");
    LoadWeights::new().part("model").load(&model, &best)?;
    let guess = eval(|| model.forward(&features.apply(&test.0)?.to_tensor(&device)?))?;
    let guess = target.undo(&Array::f32([test.0.rows(), 1], guess.to_vec::<f32>()?)?)?;
    let r2 = explained(test.1.as_f32()?, guess.as_f32()?);
    let epochs = outcome.history.epochs().len();
    let text = format!(
        "R² {r2:.3} on {} test rows, after {epochs} epochs on {}; see {}",
        test.0.rows(),
        device.info().name,
        args.out.join("loss.svg").display()
    );
    let object = serde_json::json!({
        "device": device.info().name, "epochs": epochs, "steps": outcome.steps, "seed": args.seed,
        "test_r2": r2, "best_epoch": outcome.best.map(|(epoch, _)| epoch), "out": args.out,
    });
    Ok(Report::new(args.json).result(&text, &object)?)
}

/// The rows shuffled, as training, validation and test part, each with features and target.
fn parts(seed: u64) -> Result<[(Array, Array); 3]> {
    let file = include_bytes!("../data/diabetes/diabetes.csv");
    let table = Csv::from_bytes("the embedded table", file)?;
    let (x, y) = (table.numbers(&COLUMNS)?, table.numbers(&[TARGET])?);
    let mut stream = Stream::new(seed, 100);
    let mut order: Vec<usize> = (0..table.rows()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, stream.below(i as u32 + 1) as usize);
    }
    let part = |rows: &[usize]| Ok::<_, Error>((x.rows_of(rows)?, y.rows_of(rows)?));
    Ok([part(&order[..282])?, part(&order[282..342])?, part(&order[342..])?])
}

/// The share of the variance that guesses explain: 1 − Σ(y − ŷ)²/Σ(y − ȳ)².
fn explained(want: &[f32], got: &[f32]) -> f64 {
    let mean = want.iter().map(|&y| f64::from(y)).sum::<f64>() / want.len() as f64;
    let all: f64 = want.iter().map(|&y| (f64::from(y) - mean).powi(2)).sum();
    let left: f64 = want.iter().zip(got).map(|(&y, &g)| f64::from(y - g).powi(2)).sum();
    1.0 - left / all
}
