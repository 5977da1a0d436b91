//! Predicts how far diabetes goes from ten measurements, with a small network on a table of 442 patients.
//!
//! ```text
//! cargo run --release --example regression            # see --help for the flags
//! ```

use lexopt::{Arg, Parser};
use std::{
    error::Error as StdError,
    path::PathBuf,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};
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
    device: String,
    epochs: u64,
    lr: f64,
    seed: u64,
    out: Option<PathBuf>,
    resume: bool,
    json: bool,
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    let args = match parse() {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\nSee --help for the flags.");
            return ExitCode::from(2);
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse() -> Result<Option<Args>, lexopt::Error> {
    use lexopt::ValueExt;
    let mut args = Args {
        device: "auto".to_owned(),
        epochs: 300,
        lr: 0.003,
        seed: 1,
        out: None,
        resume: false,
        json: false,
    };
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("device") => args.device = parser.value()?.string()?,
            Arg::Long("epochs") => args.epochs = parser.value()?.parse()?,
            Arg::Long("lr") => args.lr = parser.value()?.parse()?,
            Arg::Long("seed") => args.seed = parser.value()?.parse()?,
            Arg::Long("out") => args.out = Some(parser.value()?.into()),
            Arg::Long("resume") => args.resume = true,
            Arg::Long("json") => args.json = true,
            Arg::Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    if args.resume && args.out.is_none() {
        return Err("--resume needs --out, the folder of the run to go on with".into());
    }
    Ok(Some(args))
}

fn run(args: &Args) -> Result<(), Box<dyn StdError>> {
    let device = device(&args.device)?;
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
    let out = match &args.out {
        Some(out) => out.clone(),
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
            PathBuf::from(format!("target/regression-{now}"))
        }
    };
    let checkpoint = Checkpoint::new().module("model", &model).state("adam", &adam).device(&device);
    let outcome = Trainer::new(args.epochs)
        .patience(40)
        .save_every(25)
        .folder(&out, checkpoint)?
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
        eprintln!(
            "stopped after {} steps; --resume --out {} goes on",
            outcome.steps,
            out.display()
        );
        return Ok(());
    }
    // The epoch that was best on the validation rows is what the test rows judge.
    let best = out.join("best.safetensors");
    LoadWeights::new().part("model").load(&model, &best)?;
    let guess = eval(|| model.forward(&features.apply(&test.0)?.to_tensor(&device)?))?;
    let guess = target.undo(&Array::f32([test.0.rows(), 1], guess.to_vec::<f32>()?)?)?;
    let r2 = explained(test.1.as_f32()?, guess.as_f32()?);
    let epochs = outcome.history.epochs().len();
    let text = format!(
        "R² {r2:.3} on {} test rows, after {epochs} epochs on {}; see {}",
        test.0.rows(),
        device.info().name,
        out.join("loss.svg").display()
    );
    if args.json {
        eprintln!("{text}");
        let object = serde_json::json!({
            "device": device.info().name, "epochs": epochs, "steps": outcome.steps, "seed": args.seed,
            "test_r2": r2, "best_epoch": outcome.best.map(|(epoch, _)| epoch), "out": out,
        });
        println!("{object}");
    } else {
        println!("{text}");
    }
    Ok(())
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

fn device(choice: &str) -> Result<Device> {
    match choice {
        "cpu" => Ok(wgrad::cpu()),
        "gpu" => gpu(),
        "auto" => {
            let (device, why) = wgrad::best_device();
            if let Some(error) = why {
                eprintln!("training on the CPU, since there is no GPU adapter: {error}");
            }
            Ok(device)
        }
        other => Err(Error::config("--device", format!("{other:?}; auto, gpu or cpu"))),
    }
}

#[cfg(feature = "gpu")]
fn gpu() -> Result<Device> {
    wgrad::gpu()
}

#[cfg(not(feature = "gpu"))]
fn gpu() -> Result<Device> {
    Err(Error::device("gpu", "this program was built without the feature `gpu`"))
}
