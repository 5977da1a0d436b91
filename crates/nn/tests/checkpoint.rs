//! Checkpoints: killed while saving, resumed to the bit in a new process, and what does not fit.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};
use wgrad_core::{DType, Device, ErrorKind, Result, Step, Tensor};
use wgrad_nn::{
    Adam, AdamW, Array, Checkpoint, Checkpoints, Count, Layer, LoadWeights, Loader, Mlp, Module,
    Parameter, Real, Rows, State, StateVisitor, load_weights,
};

type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

const TASK: &str = "WGRAD_TEST_TASK";
const FILE: &str = "WGRAD_TEST_FILE";

/// A fresh folder for one test.
fn folder(name: &str) -> std::io::Result<PathBuf> {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// This program again, with a task for `child` below.
fn again(task: &str, file: &Path) -> std::io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["--exact", "child", "--nocapture"]).env(TASK, task).env(FILE, file);
    command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    Ok(command)
}

/// No test by itself: what this program does when a test starts it again.
#[test]
fn child() -> Tested {
    let (Ok(task), Ok(file)) = (env::var(TASK), env::var(FILE)) else { return Ok(()) };
    match task.split(' ').collect::<Vec<_>>()[..] {
        ["save"] => {
            let numbers = Numbers::new()?;
            let checkpoint = Checkpoint::new().state("numbers", &numbers);
            checkpoint.load(&file)?;
            for value in numbers.value.get() + 1.. {
                numbers.set(value)?;
                checkpoint.save(&file)?;
            }
        }
        ["train", from, to] => {
            let bits = train(Path::new(&file), from.parse()?, to.parse()?)?;
            println!("\nbits {bits:08x}");
        }
        _ => return Err(format!("no task {task:?}").into()),
    }
    Ok(())
}

// ---- killed while saving -----------------------------------------------------------------------

/// A few numbers that are always equal, and large enough to take some writes.
struct Numbers {
    tensors: Vec<Tensor>,
    value: Count,
}

impl Numbers {
    fn new() -> Result<Self> {
        let cpu = Device::cpu();
        let tensors = (0..6).map(|_| Tensor::zeros([100_000], &cpu)).collect::<Result<_>>()?;
        Ok(Self { tensors, value: Count::new(0) })
    }
    fn set(&self, value: u64) -> Result<()> {
        self.value.set(value);
        for tensor in &self.tensors {
            tensor.assign(&Tensor::full([100_000], value as f64, DType::F32, &Device::cpu())?)?;
        }
        Ok(())
    }
}

impl State for Numbers {
    fn state(&self, v: &mut StateVisitor) {
        v.count("value", &self.value);
        for (i, tensor) in self.tensors.iter().enumerate() {
            v.tensor(i, tensor);
        }
    }
}

/// H1: SIGKILL at 40 moments of a save; the file is old or new each time.
#[cfg(unix)]
#[test]
fn killed_while_saving() -> Tested {
    let folder = folder("killed")?;
    let file = folder.join("run.safetensors");
    let numbers = Numbers::new()?;
    let checkpoint = Checkpoint::new().state("numbers", &numbers);
    checkpoint.save(&file)?;
    let mut last = 0;
    let mut left_behind = 0;
    for turn in 0..40u64 {
        let mut child = again("save", &file)?.spawn()?;
        // Until this child's first save, and then a little more.
        let before = fs::metadata(&file)?.modified()?;
        let mut waited = 0;
        while fs::metadata(&file)?.modified()? == before && waited < 30_000 {
            thread::sleep(Duration::from_millis(1));
            waited += 1;
        }
        thread::sleep(Duration::from_micros(turn * 2_917 % 50_000));
        child.kill()?; // SIGKILL
        child.wait()?;
        checkpoint.load(&file)?;
        let value = numbers.value.get();
        for tensor in &numbers.tensors {
            assert!(tensor.to_vec::<f32>()?.iter().all(|&x| x == value as f32), "mixed: {value}");
        }
        assert!(value > last, "turn {turn}: {value} after {last}");
        last = value;
        left_behind += fs::read_dir(&folder)?.count() - 1;
    }
    assert!(left_behind > 0, "no kill fell into a save");
    checkpoint.save(&file)?;
    assert_eq!(fs::read_dir(&folder)?.count(), 1, "what the dead left is cleared away");
    fs::remove_dir_all(&folder)?;
    Ok(())
}

// ---- resumed to the bit ------------------------------------------------------------------------

/// Adam without its correction: two moments for each parameter.
struct Toy {
    moments: Vec<(Parameter, Tensor, Tensor)>,
    rate: Real,
}

impl State for Toy {
    fn state(&self, v: &mut StateVisitor) {
        for (i, (_, m, s)) in self.moments.iter().enumerate() {
            v.tensor(format_args!("{i}.first"), m);
            v.tensor(format_args!("{i}.second"), s);
        }
        v.real("rate", &self.rate);
    }
}

impl Toy {
    fn new(model: &Mlp) -> Result<Self> {
        let mut moments = Vec::new();
        for (_, parameter) in model.named_parameters() {
            let zeros = || Tensor::zeros(parameter.shape(), &Device::cpu());
            moments.push((parameter.clone(), zeros()?, zeros()?));
        }
        Ok(Self { moments, rate: Real::new(0.01) })
    }

    fn step(&self, loss: &Tensor, rate: &Tensor) -> Result<()> {
        let gradients = loss.backward()?;
        for (parameter, m, s) in &self.moments {
            let p = parameter.tensor()?;
            let g = gradients.wrt(p)?;
            m.assign(&m.try_mul(0.9)?.try_add(&g.try_mul(0.1)?)?)?;
            s.assign(&s.try_mul(0.99)?.try_add(&g.square()?.try_mul(0.01)?)?)?;
            let by = m.try_div(&s.sqrt()?.try_add(1e-6)?)?.try_mul(rate)?;
            p.assign(&p.detach().try_sub(&by)?)?;
        }
        Ok(())
    }
}

/// Trains from step `from` (loaded from the file if not 0) to step `to`, saves, and gives a sum over all bits:
/// random dropping on the device, shuffling, a partial last batch, a rate that falls.
fn train(file: &Path, from: u64, to: u64) -> Result<u32> {
    let cpu = Device::cpu();
    cpu.seed(11)?;
    let x: Vec<f32> = (0..29 * 4).map(|i| ((i * 37 % 101) as f32 / 50.0) - 1.0).collect();
    let y = (0..29).map(|i| i * i % 3).collect();
    let rows = Rows::new(vec![Array::f32([29, 4], x)?, Array::i32([29], y)?])?;
    let loader = Loader::new(rows, 8, &cpu)?.shuffle(5).workers(2);
    let model = Mlp::with_seed(&[4, 16, 3], 3, &cpu)?;
    let toy = Toy::new(&model)?;
    let done = Count::new(0);
    let checkpoint = Checkpoint::new()
        .module("model", &model)
        .state("optimizer", &toy)
        .state("data", &loader)
        .count("steps", &done)
        .device(&cpu);
    if from > 0 {
        checkpoint.load(file)?;
    }
    assert_eq!(done.get(), from);
    let step = Step::new(&cpu, |inputs| {
        let x = &inputs[0];
        let keep = Tensor::uniform(x.shape(), 0.0, 1.0, &cpu)?.try_ge(0.2)?.cast(x.dtype())?;
        let loss = model.forward(&x.try_mul(&keep)?)?.cross_entropy(&inputs[1])?;
        toy.step(&loss, &inputs[2])?;
        Ok(vec![loss])
    });
    let mut bits = 0u32;
    'steps: while done.get() < to {
        for batch in loader.batches() {
            let batch = batch?;
            let rate = Tensor::scalar(toy.rate.get() as f32, &cpu)?;
            let loss = step.run(&[&batch[0], &batch[1], &rate])?[0].item::<f32>()?;
            bits = loss.to_bits();
            toy.rate.set(toy.rate.get() * 0.99);
            done.set(done.get() + 1);
            if done.get() == to {
                break 'steps;
            }
        }
    }
    checkpoint.save(file)?;
    for value in model.parameters()?.values().to_vec::<f32>()? {
        bits = bits.rotate_left(5) ^ value.to_bits();
    }
    Ok(bits)
}

/// I1, I2: 23 steps are 10 steps, saved in the middle of an epoch, and 13 in a new process; likewise at each of
/// some other places, an epoch's end (4 batches) among them.
#[test]
fn resumed_in_a_new_process() -> Tested {
    let folder = folder("resumed")?;
    let run = |name: &str,
               from: u64,
               to: u64|
     -> std::result::Result<String, Box<dyn std::error::Error>> {
        let output = again(&format!("train {from} {to}"), &folder.join(name))?.output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let bits = text.lines().find_map(|line| line.strip_prefix("bits "));
        bits.map(str::to_owned).ok_or_else(|| text.clone().into())
    };
    let whole = run("whole", 0, 23)?;
    let bytes = fs::read(folder.join("whole"))?;
    for at in [10, 4, 3, 22] {
        let half = run("parts", 0, at)?;
        assert_ne!(half, whole);
        assert_eq!(run("parts", at, 23)?, whole, "saved after {at} steps");
        assert!(fs::read(folder.join("parts"))? == bytes, "other state after {at} steps");
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

// ---- what does not fit -------------------------------------------------------------------------

/// I3: each thing that must be the same is named.
#[test]
fn other_settings_are_listed() -> Tested {
    let folder = folder("settings")?;
    let file = folder.join("run");
    let cpu = Device::cpu();
    let loader = |count: usize, size: usize, seed: u64| -> Result<Loader> {
        let rows = Rows::new(vec![Array::f32([count, 1], vec![0.0; count])?])?;
        Ok(Loader::new(rows, size, &cpu)?.shuffle(seed))
    };
    let saved = loader(10, 2, 1)?;
    saved.batches().nth(2).ok_or("no batch")??;
    Checkpoint::new().state("data", &saved).save(&file)?;
    let same = loader(10, 2, 1)?;
    Checkpoint::new().state("data", &same).load(&file)?;
    assert_eq!((same.epoch(), same.taken()), (0, 3));
    assert_eq!(same.batches().count(), 2);
    let other = loader(12, 3, 9)?.drop_last();
    let error = Checkpoint::new().state("data", &other).load(&file).err().ok_or("loaded")?;
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    for line in [
        "\"data.samples\" is 10 in the file, 12 here",
        "\"data.batch_size\" is 2 in the file, 3 here",
        "\"data.drop_last\" is 0 in the file, 1 here",
        "\"data.seed\" is 1 in the file, 9 here",
    ] {
        assert!(error.message().contains(line), "{error}");
    }
    assert_eq!((other.epoch(), other.taken()), (0, 0));
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// A checkpoint of another optimizer: both rules by name, and what to do.
#[test]
fn another_rule_is_told_by_name() -> Tested {
    let folder = folder("rules")?;
    let file = folder.join("run");
    let model = Mlp::with_seed(&[2, 3, 1], 1, &Device::cpu())?;
    let (adam, adamw) = (Adam::new(&model, 0.1)?, AdamW::new(&model, 0.1)?);
    Checkpoint::new().state("optimizer", &adam).setting("my.rule", 5).save(&file)?;
    let other = Checkpoint::new().state("optimizer", &adamw).setting("my.rule", 6);
    let error = other.load(&file).err().ok_or("loaded")?;
    for part in [
        "2 differences, nothing was loaded; it was saved with another optimizer",
        "\"optimizer.rule\" is adam in the file, adamw here",
        "\"my.rule\" is 5 in the file, 6 here",
    ] {
        assert!(error.message().contains(part), "{error} does not say {part:?}");
    }
    let other = Checkpoint::new().state("optimizer", &adam).setting("my.rule", 6);
    let error = other.load(&file).err().ok_or("loaded")?;
    assert!(!error.message().contains("another optimizer"), "{error}");
    fs::remove_dir_all(&folder)?;
    Ok(())
}

#[test]
fn files_of_another_kind() -> Tested {
    let folder = folder("kinds")?;
    let file = folder.join("run");
    let cpu = Device::cpu();
    let (model, other) =
        (Mlp::with_seed(&[2, 3, 1], 1, &cpu)?, Mlp::with_seed(&[2, 3, 1], 2, &cpu)?);
    let values = |model: &Mlp| model.parameters()?.values().to_vec::<f32>();
    let rate = Real::new(0.5);
    let checkpoint =
        Checkpoint::new().module("model", &model).real("rate", &rate).note("by", "hand");
    checkpoint.save(&file)?;
    // A part of it, as weights.
    LoadWeights::new().part("model").load(&other, &file)?;
    assert_eq!(values(&model)?, values(&other)?);
    assert_eq!(load_weights(&other, &file).err().map(|e| e.kind()), Some(ErrorKind::Mismatch));
    // Weights are no checkpoint, and a newer version is told.
    wgrad_nn::save_weights(&model, folder.join("weights"))?;
    let error = checkpoint.load(folder.join("weights")).err().ok_or("loaded")?;
    assert!(
        error.kind() == ErrorKind::Mismatch && error.message().contains("load_weights"),
        "{error}"
    );
    let text = r#"{"__metadata__":{"wgrad.checkpoint":"2"}}"#;
    let newer = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    fs::write(folder.join("newer"), newer)?;
    let error = checkpoint.load(folder.join("newer")).err().ok_or("loaded")?;
    assert!(
        error.kind() == ErrorKind::Mismatch && error.message().contains("version 2"),
        "{error}"
    );
    // One name for two things, and a model on no device.
    let twice = Checkpoint::new().real("rate", &rate).real("rate", &rate);
    assert_eq!(twice.save(&file).err().map(|e| e.kind()), Some(ErrorKind::Argument));
    let part = Mlp::part(&[2, 1], Default::default(), &mut wgrad_nn::Init::new(0))?;
    let unplaced = Checkpoint::new().module("model", &part);
    assert_eq!(unplaced.save(&file).err().map(|e| e.kind()), Some(ErrorKind::Argument));
    assert_eq!(checkpoint.load(&file)?.note("by"), Some("hand"));
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// H18, and that numbers of any kind come back to the bit.
#[test]
fn the_latest_that_is_whole() -> Tested {
    let folder = folder("latest")?;
    let (count, real) = (Count::new(u64::MAX), Real::new(-0.0));
    let checkpoint = Checkpoint::new().count("count", &count).real("real", &real);
    let kept = Checkpoints::new(&folder)?.keep(3)?;
    assert!(kept.resume(&checkpoint)?.is_none() && kept.resume_or_older(&checkpoint)?.is_none());
    for step in 1..=5 {
        real.set(f64::from_bits(0x7ff0_0000_0000_0001 + step));
        kept.save(&checkpoint, step * 10)?;
    }
    kept.save_best(&checkpoint)?;
    assert_eq!(kept.steps()?, [30, 40, 50]);
    fs::write(folder.join("step-x.safetensors"), "")?;
    fs::write(folder.join("step-7.safetensors"), "")?; // not a name that is given
    count.set(0);
    assert_eq!(kept.resume(&checkpoint)?.map(|r| r.step), Some(50));
    assert_eq!((count.get(), real.get().to_bits()), (u64::MAX, 0x7ff0_0000_0000_0006));
    // The newest is damaged.
    let mut bytes = fs::read(kept.path(50))?;
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(kept.path(50), bytes)?;
    assert_eq!(kept.resume(&checkpoint).err().map(|e| e.kind()), Some(ErrorKind::Format));
    let resumed = kept.resume_or_older(&checkpoint)?.ok_or("none")?;
    assert_eq!((resumed.step, resumed.damaged.len()), (40, 1));
    assert!(resumed.damaged[0].1.to_string().contains("step-0000000050"));
    // All are; and one that is whole but does not fit is not passed over.
    for step in kept.steps()? {
        fs::write(kept.path(step), "")?;
    }
    assert_eq!(kept.resume_or_older(&checkpoint).err().map(|e| e.kind()), Some(ErrorKind::Format));
    Checkpoint::new().count("other", &count).save(kept.path(60))?;
    assert_eq!(
        kept.resume_or_older(&checkpoint).err().map(|e| e.kind()),
        Some(ErrorKind::Mismatch)
    );
    assert!(kept.clone().keep(0).is_err());
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// Within a recorded step nothing can be read: an error, and no file.
#[test]
fn not_within_a_step() -> Tested {
    let folder = folder("recorded")?;
    let cpu = Device::cpu();
    let model = Mlp::new(&[2, 1], &cpu)?;
    for checkpoint in [Checkpoint::new().module("model", &model), Checkpoint::new().device(&cpu)] {
        let step = Step::new(&cpu, |x| {
            checkpoint.save(folder.join("run"))?;
            Ok(vec![x[0].square()?])
        });
        let error = step.run(&[&Tensor::ones([2], &cpu)?]).err();
        assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::Graph));
        assert_eq!(fs::read_dir(&folder)?.count(), 0);
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}
