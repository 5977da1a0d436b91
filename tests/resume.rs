//! Training resumed in a new process, on the CPU and on a GPU: the bits of a run that was never stopped.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use wgrad::{
    Step,
    nn::{Array, Ema, GradScaler, Schedule, Scheduler},
    prelude::*,
};

type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

const TASK: &str = "WGRAD_TEST_RESUME";
const FILE: &str = "WGRAD_TEST_RESUME_FILE";

/// Trains from step `from` (loaded if not 0) to step `to`, saves, and gives a sum over the bits of parameters and
/// last loss. AdamW with a loss scale and steps that are skipped, a schedule, an average of
/// the parameters, random dropping, shuffling, and a last batch that is smaller.
fn train(device: &Device, file: &Path, from: u64, to: u64) -> Result<u32> {
    device.seed(11)?;
    let x: Vec<f32> = (0..53 * 6).map(|i| ((i * 37 % 101) as f32 / 50.0) - 1.0).collect();
    let y = (0..53).map(|i| i * i % 3).collect();
    let rows = Rows::new(vec![Array::f32([53, 6], x)?, Array::i32([53], y)?])?;
    let loader = Loader::new(rows, 16, device)?.shuffle(5).workers(2);
    let model = Mlp::with_seed(&[6, 24, 3], 3, device)?;
    let adam = AdamW::new(&model, 0.01)?;
    let scheduler = Scheduler::new(Schedule::exponential(0.01, 0.97)?, &adam)?;
    let scaler = GradScaler::with(device, 65_536.0, 4, 1.0)?;
    let ema = Ema::new(&model, 0.9)?;
    let done = Count::new(0);
    let checkpoint = Checkpoint::new()
        .module("model", &model)
        .state("optimizer", &adam)
        .state("schedule", &scheduler)
        .state("scaler", &scaler)
        .state("ema", &ema)
        .state("data", &loader)
        .count("steps", &done)
        .device(device);
    if from > 0 {
        checkpoint.load(file)?;
    }
    assert_eq!(done.get(), from);
    let step = Step::new(device, |b| {
        let keep =
            Tensor::uniform(b[0].shape(), 0.0, 1.0, device)?.try_ge(0.2)?.cast(DType::F32)?;
        let loss = model.forward(&b[0].try_mul(&keep)?)?.cross_entropy(&b[1])?.try_mul(&b[2])?;
        let gradients = scaler.unscale(scaler.scale(&loss)?.backward()?)?;
        scaler.step(&adam, &gradients)?;
        scaler.update()?;
        ema.update()?;
        Ok(vec![loss])
    });
    let mut last = 0.0f32;
    while done.get() < to {
        for batch in loader.batches() {
            let batch = batch?;
            // Too large for a gradient, every fifth time.
            let times = if done.get() % 5 == 1 { 1e38f32 } else { 1.0 };
            let times = Tensor::scalar(times, device)?;
            last = step.run(&[&batch[0], &batch[1], &times])?[0].item()?;
            scheduler.step_unless_skipped(&adam, &scaler)?;
            done.set(done.get() + 1);
            if done.get() == to {
                break;
            }
        }
    }
    assert!(scaler.skipped()? >= to / 5);
    checkpoint.save(file)?;
    let mut bits = last.to_bits();
    for values in [model.parameters()?.values(), ema.values()?] {
        for value in values.to_vec::<f32>()? {
            bits = bits.rotate_left(5) ^ value.to_bits();
        }
    }
    Ok(bits)
}

/// No test by itself: what a test starts this program again for.
#[test]
fn child() -> Tested {
    let (Ok(task), Ok(file)) = (env::var(TASK), env::var(FILE)) else { return Ok(()) };
    let [device, from, to] = task.split(' ').collect::<Vec<_>>()[..] else {
        return Err(format!("no task {task:?}").into());
    };
    let device = if device == "cpu" { wgrad::cpu() } else { gpu()? };
    println!("\nbits {:08x}", train(&device, Path::new(&file), from.parse()?, to.parse()?)?);
    Ok(())
}

#[cfg(feature = "gpu")]
fn gpu() -> Result<Device> {
    wgrad::gpu()
}

#[cfg(not(feature = "gpu"))]
fn gpu() -> Result<Device> {
    Err(Error::device("test", "built without the feature `gpu`"))
}

fn resumed(device: &str) -> Tested {
    let name = format!("resume-{device}-{}", std::process::id());
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder)?;
    let run = |name: &str,
               from: u64,
               to: u64|
     -> std::result::Result<String, Box<dyn std::error::Error>> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["--exact", "child", "--nocapture"]).stderr(Stdio::inherit());
        command.env(TASK, format!("{device} {from} {to}")).env(FILE, folder.join(name));
        let text = String::from_utf8_lossy(&command.output()?.stdout).into_owned();
        let bits = text.lines().find_map(|line| line.strip_prefix("bits "));
        bits.map(str::to_owned).ok_or_else(|| text.clone().into())
    };
    let whole = run("whole", 0, 19)?;
    let bytes = fs::read(folder.join("whole"))?;
    // In the middle of an epoch of 4 steps, and at its end.
    for at in [6, 12] {
        assert_ne!(run("parts", 0, at)?, whole);
        assert_eq!(run("parts", at, 19)?, whole, "saved after {at} steps");
        assert!(fs::read(folder.join("parts"))? == bytes, "another state after {at} steps");
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

#[test]
fn on_the_cpu() -> Tested {
    resumed("cpu")
}

#[cfg(feature = "gpu")]
#[test]
fn on_a_gpu() -> Tested {
    match gpu() {
        Err(error) if env::var_os("WGRAD_REQUIRE_GPU").is_none() => {
            eprintln!("skipped: {error}");
            Ok(())
        }
        _ => resumed("gpu"),
    }
}
