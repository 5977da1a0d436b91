//! The trainer: record, best and latest checkpoints, early stop, Ctrl-C, and losses that are no numbers.
#![cfg(feature = "trainer")]

use std::{
    cell::Cell,
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use wgrad_core::{Device, ErrorKind, Result, Step, Tensor, cpu::Cpu, philox::Stream};
use wgrad_nn::{
    Array, Checkpoint, Epoch, History, Layer, Loader, Losses, Mlp, Module, Optimizer, Outcome,
    Samples, Sgd, Stop, Trainer, Validation, load_weights,
};

type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

const TASK: &str = "WGRAD_TEST_TRAINER";
const FOLDER: &str = "WGRAD_TEST_FOLDER";
const EPOCHS: u64 = 6;

/// A fresh folder for one test.
fn folder(name: &str) -> std::io::Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("trainer-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// A line, with noise of its own; each sample takes some time.
struct Slow(Duration);

impl Samples for Slow {
    fn len(&self) -> usize {
        21
    }
    fn get(&self, i: usize, random: &mut Stream) -> Result<Vec<Array>> {
        thread::sleep(self.0);
        let x = i as f32 / 10.0 - 1.0;
        Ok(vec![
            Array::f32([1], vec![x])?,
            Array::f32([1], vec![2.0 * x + random.uniform(0.0, 0.1)])?,
        ])
    }
}

fn run(
    folder: &Path,
    delay: u64,
    resume: bool,
    mut told: impl FnMut(),
) -> Result<(Outcome, Vec<u32>)> {
    // A device of its own: the process's one has one stream of random numbers for all tests.
    let cpu = Device::new(Box::new(Cpu::new()));
    cpu.seed(4)?;
    let model = Mlp::with_seed(&[1, 8, 1], 1, &cpu)?;
    let sgd = Sgd::new(&model, 0.05)?;
    let loader = Loader::new(Slow(Duration::from_millis(delay)), 4, &cpu)?.shuffle(2);
    let step = Step::new(&cpu, |b| {
        let noise = Tensor::uniform(b[0].shape(), -0.01, 0.01, &cpu)?;
        let loss = model.forward(&b[0].try_add(&noise)?)?.mse(&b[1])?;
        sgd.step(&loss.backward()?)?;
        Ok(vec![loss])
    });
    let outcome = Trainer::new(EPOCHS)
        .folder(folder, Checkpoint::new().module("model", &model).device(&cpu))?
        .resume(resume)
        .quiet()
        .run(
            &loader,
            |b| {
                told();
                Ok(step.run(&[&b[0], &b[1]])?.swap_remove(0))
            },
            || {
                let x = Tensor::from_vec([-1.0f32, 0.0, 1.0], [3, 1], &cpu)?;
                let loss = model.forward(&x)?.mse(&x.try_mul(2.0)?)?.item::<f32>()?;
                Ok(Validation::new(loss.into()).with("root", f64::from(loss).sqrt()))
            },
        )?;
    let bits =
        model.parameters()?.values().to_vec::<f32>()?.into_iter().map(f32::to_bits).collect();
    Ok((outcome, bits))
}

/// No test by itself: a run that a test interrupts.
#[test]
fn child() -> Tested {
    let (Ok(task), Ok(folder)) = (env::var(TASK), env::var(FOLDER)) else { return Ok(()) };
    if task == "lines" || task == "quiet" {
        return shown(task == "quiet");
    }
    let delay = if task == "slow" { 20 } else { 0 };
    let mut steps = 0;
    let (outcome, _) = run(Path::new(&folder), delay, true, || {
        steps += 1;
        if steps == 8 {
            println!("\nat work"); // in the second epoch
        }
    })?;
    println!("\nended {:?} {}", outcome.stop, outcome.steps);
    Ok(())
}

fn again(task: &str, folder: &Path) -> std::io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--exact", "child", "--nocapture"]).env(TASK, task).env(FOLDER, folder);
    command.stdout(Stdio::piped()).spawn()
}

/// A run that may show what it does.
fn shown(quiet: bool) -> Tested {
    let cpu = Device::cpu();
    let loader = Loader::new(Slow(Duration::ZERO), 7, &cpu)?;
    let trainer = if quiet { Trainer::new(2).quiet() } else { Trainer::new(2) };
    trainer.run(
        &loader,
        |_| Tensor::scalar(0.25f32, &cpu),
        || Ok(Validation::new(123.456).with("accuracy", 0.5)),
    )?;
    Ok(())
}

/// Where stderr is no terminal it has one line for each epoch, and none at all from a quiet run.
#[test]
fn lines_on_stderr() -> Tested {
    let lines = |task: &str| -> std::result::Result<Vec<String>, Box<dyn std::error::Error>> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--exact", "child", "--nocapture"]).env(TASK, task).env(FOLDER, "none");
        let output = command.output()?;
        assert!(output.status.success());
        Ok(String::from_utf8(output.stderr)?.lines().map(str::to_owned).collect())
    };
    let shown = lines("lines")?;
    assert_eq!(shown.len(), 2, "{shown:?}");
    for (number, line) in (1..).zip(&shown) {
        let start = format!(
            "epoch {number}/2: training loss 0.2500, validation loss 123.5, accuracy 0.5000, "
        );
        assert!(line.starts_with(&start) && line.ends_with(" s"), "{line}");
    }
    assert_eq!(lines("quiet")?, [""; 0]);
    Ok(())
}

/// What is the same in every run: all but the time it took.
fn timeless(history: &History) -> Vec<Epoch> {
    history.epochs().iter().map(|one| Epoch { seconds: 0.0, ..one.clone() }).collect()
}

/// K5: Ctrl-C in the middle of an epoch ends the run in order, and it goes on to the same bits and record.
#[cfg(unix)]
#[test]
fn interrupted_and_resumed() -> Tested {
    let (whole, parts) = (folder("whole")?, folder("parts")?);
    let (outcome, bits) = run(&whole, 0, false, || ())?;
    assert_eq!((outcome.stop, outcome.steps), (Stop::Done, EPOCHS * 6));

    let mut child = again("slow", &parts)?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    while lines.next().ok_or("the child ended")?? != "at work" {}
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    assert!(killed.success());
    let mut ended = String::new();
    for line in lines {
        let line = line?;
        if line.starts_with("ended ") {
            ended = line;
        }
    }
    assert!(child.wait()?.success());
    let (why, steps) = ended[6..].split_once(' ').ok_or("no end")?;
    let steps: u64 = steps.parse()?;
    assert!(why == "Interrupted" && (8..12).contains(&steps), "{ended}");
    for entry in fs::read_dir(&parts)? {
        let name = entry?.file_name();
        assert!(!name.to_string_lossy().ends_with(".tmp"), "{name:?}");
    }

    let (resumed, same) = run(&parts, 0, true, || ())?;
    assert_eq!((resumed.stop, resumed.steps), (Stop::Done, outcome.steps));
    assert_eq!(same, bits);
    assert_eq!(timeless(&resumed.history), timeless(&outcome.history));
    assert_eq!(resumed.best, outcome.best);
    fs::remove_dir_all(&whole)?;
    fs::remove_dir_all(&parts)?;
    Ok(())
}

#[test]
fn what_a_run_leaves() -> Tested {
    let folder = folder("leaves")?;
    let (outcome, bits) = run(&folder, 0, false, || ())?;
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let step = |n| format!("step-{n:010}.safetensors");
    let want = [
        "best.safetensors",
        "loss.svg",
        "metrics.csv",
        "metrics.jsonl",
        &step(24),
        &step(30),
        &step(36),
    ];
    assert_eq!(names, want);
    let table = wgrad_nn::Csv::open(folder.join("metrics.csv"))?;
    assert_eq!(table.columns(), ["epoch", "step", "train_loss", "loss", "seconds", "root"]);
    let losses = table.numbers(&["train_loss", "loss"])?;
    let losses = losses.as_f32()?;
    assert!(losses[10] < losses[0] && losses[11] < losses[1], "{losses:?}");
    assert_eq!(History::read(folder.join("metrics.jsonl"))?, outcome.history);
    let svg = fs::read_to_string(folder.join("loss.svg"))?;
    assert!(svg.contains("validation loss") && svg.contains("root") && svg.contains("</svg>"));
    // The best one holds weights that load as such.
    let best = Mlp::new(&[1, 8, 1], &Device::cpu())?;
    assert!(load_weights(&best, folder.join("best.safetensors")).is_err());
    wgrad_nn::LoadWeights::new().part("model").load(&best, folder.join(step(36)))?;
    let values = best.parameters()?.values().to_vec::<f32>()?;
    assert!(values.into_iter().map(f32::to_bits).eq(bits));
    // A new run does not mix with it, and a run that is over does nothing more.
    let again = run(&folder, 0, false, || ());
    assert_eq!(again.err().map(|e| e.kind()), Some(ErrorKind::Argument));
    let (more, _) = run(&folder, 0, true, || ())?;
    assert_eq!((more.stop, more.steps), (Stop::Done, outcome.steps));
    fs::remove_dir_all(&folder)?;
    Ok(())
}

#[test]
fn early_stop_and_bad_losses() -> Tested {
    let cpu = Device::cpu();
    let loader = || Loader::new(Slow(Duration::ZERO), 4, &cpu);
    let one = |_: &[Tensor]| Tensor::scalar(1.0f32, &cpu);
    let found = [5.0, 6.0, 3.0, 4.0, 3.0, f64::NAN, 1.0];
    let epoch = Cell::new(0);
    let validate = || {
        epoch.set(epoch.get() + 1);
        Ok(Validation::new(found[epoch.get() - 1]))
    };
    let outcome = Trainer::new(7).patience(3).quiet().run(&loader()?, one, validate)?;
    assert_eq!((outcome.stop, outcome.best, outcome.steps), (Stop::Early, Some((2, 3.0)), 36));
    assert!(outcome.history.json_lines().contains("\"loss\":null"));
    assert!(outcome.history.svg()?.contains("</svg>"));
    assert_eq!(outcome.history.epochs()[0].train_loss, 1.0);

    let bad = |_: &[Tensor]| Tensor::scalar(f32::NAN, &cpu);
    let error = Trainer::new(1).quiet().run(&loader()?, bad, || Ok(Validation::new(0.0))).err();
    assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::Data));
    let error =
        Trainer::new(1).resume(true).run(&loader()?, one, || Ok(Validation::new(0.0))).err();
    assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::Argument));
    Ok(())
}

#[test]
fn seldom_saved() -> Tested {
    let folder = folder("seldom")?;
    let cpu = Device::cpu();
    let loader = Loader::new(Slow(Duration::ZERO), 4, &cpu)?;
    let one = |_: &[Tensor]| Tensor::scalar(1.0f32, &cpu);
    Trainer::new(5).folder(&folder, Checkpoint::new())?.save_every(2).quiet().run(
        &loader,
        one,
        || Ok(Validation::new(1.0)),
    )?;
    // After 2 and 4 epochs of 6 steps, and at the end.
    assert_eq!(wgrad_nn::Checkpoints::new(&folder)?.steps()?, [12, 24, 30]);
    assert_eq!(History::read(folder.join("metrics.jsonl"))?.epochs().len(), 5);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

#[test]
fn losses_come_in_order() -> Tested {
    let cpu = Device::cpu();
    let mut losses = Losses::new(3);
    let mut got = Vec::new();
    for i in 0..10 {
        losses.push(Tensor::scalar(i as f32, &cpu)?, i)?;
        got.extend(losses.arrived());
        // Never those of the last three steps: somebody would have to wait for them.
        assert!(got.len() <= (i + 1).saturating_sub(3), "{} after {}", got.len(), i + 1);
    }
    losses.finish()?;
    got.extend(losses.arrived());
    assert!(got.iter().copied().eq((0..10).map(|i| (i as f32, i))));
    Ok(())
}

#[test]
fn records_that_are_damaged() -> Tested {
    let folder = folder("records")?;
    let path = folder.join("metrics.jsonl");
    assert_eq!(History::read(&path)?, History::default());
    for text in ["x", "{}", "{\"epoch\":-1}", "[]"] {
        fs::write(&path, text)?;
        let error = History::read(&path).err().ok_or("read")?;
        assert!(error.kind() == ErrorKind::Format && error.message().contains("line 1"), "{error}");
    }
    fs::remove_dir_all(&folder)?;
    assert!(History::default().svg()?.contains("</svg>"));
    Ok(())
}

/// The epoch before a validation that fails is not lost: the run goes on behind it, to the same bits.
#[test]
fn a_validation_that_fails_loses_no_step() -> Tested {
    let (whole, parts) = (folder("valid")?, folder("invalid")?);
    let train =
        |folder: &Path, resume: bool, failing: Option<u64>| -> Result<(Outcome, Vec<f32>)> {
            let cpu = Device::new(Box::new(Cpu::new()));
            cpu.seed(4)?;
            let model = Mlp::with_seed(&[1, 8, 1], 1, &cpu)?;
            let sgd = Sgd::new(&model, 0.05)?;
            let loader = Loader::new(Slow(Duration::ZERO), 4, &cpu)?.shuffle(2);
            let mut epoch = if resume { 3 } else { 0 };
            let outcome = Trainer::new(5)
                .folder(folder, Checkpoint::new().module("model", &model).device(&cpu))?
                .resume(resume)
                .save_every(100)
                .quiet()
                .run(
                    &loader,
                    |b| {
                        let loss = model.forward(&b[0])?.mse(&b[1])?;
                        sgd.step(&loss.backward()?)?;
                        Ok(loss)
                    },
                    || {
                        epoch += 1;
                        if Some(epoch) == failing {
                            return Err(wgrad_core::Error::data("validate", "no samples"));
                        }
                        Ok(Validation::new(1.0 / epoch as f64))
                    },
                )?;
            Ok((outcome, model.parameters()?.values().to_vec()?))
        };
    let (outcome, values) = train(&whole, false, None)?;
    let error = train(&parts, false, Some(3)).err().ok_or("a failing validation passed")?;
    assert_eq!((error.kind(), error.message()), (ErrorKind::Data, "no samples"));
    let (resumed, same) = train(&parts, true, None)?;
    assert_eq!((resumed.stop, resumed.steps), (Stop::Done, outcome.steps));
    assert_eq!(same, values);
    let epochs: Vec<u64> = resumed.history.epochs().iter().map(|one| one.epoch).collect();
    assert_eq!(epochs, [0, 1, 3, 4]);
    let losses = |h: &History, epoch| {
        h.epochs().iter().find(|one| one.epoch == epoch).map(|one| one.train_loss.to_bits())
    };
    assert_eq!(losses(&resumed.history, 3), losses(&outcome.history, 3));
    fs::remove_dir_all(&whole)?;

    // If saving fails too, both are told.
    let cut = folder("cut")?;
    let late = cut.clone();
    let cpu = Device::new(Box::new(Cpu::new()));
    let model = Mlp::with_seed(&[1, 8, 1], 1, &cpu)?;
    let error = Trainer::new(5)
        .folder(&cut, Checkpoint::new().module("model", &model))?
        .quiet()
        .run(
            &Loader::new(Slow(Duration::ZERO), 4, &cpu)?,
            |b| model.forward(&b[0])?.mse(&b[1]),
            || {
                let _ = fs::remove_dir_all(&late);
                Err(wgrad_core::Error::data("validate", "no samples"))
            },
        )
        .err()
        .ok_or("a failing validation passed")?;
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error.message().starts_with("no samples; then the state could not be saved"),
        "{error}"
    );
    fs::remove_dir_all(&parts)?;
    Ok(())
}
