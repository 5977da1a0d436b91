//! The trainer with a loader or a folder that was used before, and with losses that are not one number.
#![cfg(feature = "trainer")]

use std::{cell::Cell, env, fs, path::PathBuf};
use wgrad_core::{DType, Device, Error, ErrorKind, Result, Tensor, cpu::Cpu};
use wgrad_nn::{
    Array, Checkpoint, Layer, Loader, Losses, Mlp, Module, Optimizer, Outcome, Rows, Sgd, Stop,
    Trainer, Validation,
};

type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

/// 21 samples of a line: 6 batches of 4, the last one smaller.
fn loader(cpu: &Device) -> Result<Loader> {
    let x: Vec<f32> = (0..21).map(|i| i as f32 / 10.0 - 1.0).collect();
    let y = x.iter().map(|x| 2.0 * x).collect();
    Ok(Loader::new(Rows::new(vec![Array::f32([21, 1], x)?, Array::f32([21, 1], y)?])?, 4, cpu)?
        .shuffle(2))
}

fn folder(name: &str) -> std::io::Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("trainer-again-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn one(_: &[Tensor]) -> Result<Tensor> {
    Tensor::scalar(1.0f32, &Device::cpu())
}

fn epochs(outcome: &Outcome) -> Vec<u64> {
    outcome.history.epochs().iter().map(|one| one.epoch).collect()
}

/// To look at a batch, or at all of them, takes nothing from the run.
#[test]
fn a_loader_that_was_looked_at() -> Tested {
    let cpu = Device::cpu();
    let seen = |looks: usize| -> Result<(Outcome, Vec<f32>)> {
        let loader = loader(&cpu)?;
        for batch in loader.batches().take(looks) {
            batch?;
        }
        let mut sums = Vec::new();
        let step = |b: &[Tensor]| {
            sums.push(b[0].sum_all()?.item::<f32>()?);
            one(b)
        };
        let outcome = Trainer::new(2).quiet().run(&loader, step, || Ok(Validation::new(1.0)))?;
        Ok((outcome, sums))
    };
    let (_, untouched) = seen(0)?;
    for looks in [0, 1, 5, 6, 7] {
        let (outcome, sums) = seen(looks)?;
        assert_eq!((outcome.stop, outcome.steps), (Stop::Done, 12), "after {looks} batches");
        assert_eq!((epochs(&outcome), outcome.best), (vec![0, 1], Some((0, 1.0))));
        // Within an epoch that one begins anew.
        assert_eq!(sums == untouched, looks < 7, "after {looks} batches");
    }
    Ok(())
}

#[test]
fn a_second_run() -> Tested {
    let cpu = Device::cpu();
    let loader = loader(&cpu)?;
    let outcome = Trainer::new(2).quiet().run(&loader, one, || Ok(Validation::new(1.0)))?;
    assert_eq!((outcome.stop, outcome.steps, loader.epoch()), (Stop::Done, 12, 2));
    // Another trainer, on the same loader.
    let trainer = Trainer::new(4).patience(2).quiet();
    let found = Cell::new(0.0);
    let rising = || {
        found.set(found.get() + 1.0);
        Ok(Validation::new(found.get()))
    };
    for _ in 0..2 {
        // The same trainer again: it does not know the best of the run before.
        let best = found.get() + 1.0;
        let outcome = trainer.run(&loader, one, rising)?;
        assert_eq!((outcome.stop, outcome.steps), (Stop::Early, 18));
        assert_eq!((epochs(&outcome), outcome.best), (vec![0, 1, 2], Some((0, best))));
    }
    // A run that failed leaves nothing behind: neither its steps nor its losses.
    let steps = Cell::new(0);
    let failing = |b: &[Tensor]| {
        steps.set(steps.get() + 1);
        if steps.get() == 4 { Err(Error::data("step", "no")) } else { one(b) }
    };
    assert!(trainer.run(&loader, failing, || Ok(Validation::new(1.0))).is_err());
    let outcome = trainer.run(&loader, one, || Ok(Validation::new(1.0)))?;
    assert_eq!((outcome.stop, outcome.steps), (Stop::Early, 18));
    assert!(outcome.history.epochs().iter().all(|epoch| epoch.train_loss == 1.0));
    Ok(())
}

/// A run on a loader that was used is resumed to the same bits; so is one with more epochs than before.
#[test]
fn resumed_from_a_used_loader() -> Tested {
    let train = |folder: &PathBuf, n: u64, resume: bool, looks: usize, fails: bool| -> Result<_> {
        let cpu = Device::new(Box::new(Cpu::new()));
        let model = Mlp::with_seed(&[1, 8, 1], 1, &cpu)?;
        let sgd = Sgd::new(&model, 0.05)?;
        let loader = loader(&cpu)?;
        for batch in loader.batches().take(looks) {
            batch?;
        }
        let mut calls = 0;
        let trainer = Trainer::new(n)
            .folder(folder, Checkpoint::new().module("model", &model))?
            .resume(resume)
            .quiet();
        let outcome = trainer.run(
            &loader,
            |b| {
                let loss = model.forward(&b[0])?.mse(&b[1])?;
                sgd.step(&loss.backward()?)?;
                Ok(loss)
            },
            || {
                calls += 1;
                match fails && calls == 3 {
                    true => Err(Error::data("validate", "no")),
                    false => Ok(Validation::new(1.0)),
                }
            },
        )?;
        Ok((outcome, model.parameters()?.values().to_vec::<f32>()?, loader.epoch()))
    };
    let (whole, parts, more) = (folder("whole")?, folder("parts")?, folder("more")?);
    // The loader has one epoch behind it: the run is epochs 1 to 5 of it.
    let (outcome, values, epoch) = train(&whole, 5, false, 7, false)?;
    assert_eq!((outcome.steps, epoch), (30, 6));
    assert_eq!(epochs(&outcome), [0, 1, 2, 3, 4]);
    assert!(train(&parts, 5, false, 7, true).is_err());
    let (resumed, same, epoch) = train(&parts, 5, true, 0, false)?;
    assert_eq!((resumed.stop, resumed.steps, epoch), (Stop::Done, 30, 6));
    assert_eq!((same, epochs(&resumed)), (values.clone(), vec![0, 1, 3, 4]));
    // What is over trains nothing more unless it is given more epochs.
    let (over, _, epoch) = train(&parts, 5, true, 3, false)?;
    assert_eq!((over.stop, over.steps, epoch), (Stop::Done, 30, 6));
    train(&more, 2, false, 7, false)?;
    let (extended, same, _) = train(&more, 5, true, 0, false)?;
    assert_eq!((extended.steps, same, epochs(&extended)), (30, values, vec![0, 1, 2, 3, 4]));
    for folder in [whole, parts, more] {
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

/// The record would hold the mean over the numbers that happen to be there, or nothing at all.
#[test]
fn a_loss_of_several_numbers_or_none() -> Tested {
    let cpu = Device::cpu();
    for shape in [&[4][..], &[4, 1], &[0], &[2, 0]] {
        let loss = |_: &[Tensor]| Tensor::full(shape, 1.0, DType::F32, &cpu);
        let of_run = Trainer::new(1).quiet().run(&loader(&cpu)?, loss, || Ok(Validation::new(1.0)));
        let of_losses = Losses::new(1).push(loss(&[])?, 4);
        for error in [of_run.err(), of_losses.err()] {
            let error = error.ok_or("a loss of several numbers passed")?;
            assert_eq!(error.kind(), ErrorKind::Shape);
            let text = error.message();
            assert!(text.contains(&format!("{shape:?}")) && text.contains("mean_all()"), "{error}");
            assert!(error.location().file().ends_with("trainer_again.rs"), "{error}");
        }
    }
    for shape in [&[][..], &[1], &[1, 1]] {
        let loss = |_: &[Tensor]| Tensor::full(shape, 2.0, DType::F32, &cpu);
        let outcome =
            Trainer::new(1).quiet().run(&loader(&cpu)?, loss, || Ok(Validation::new(1.0)))?;
        assert_eq!(outcome.history.epochs()[0].train_loss, 2.0);
    }
    Ok(())
}

/// A file that a crash cut off costs the epochs since the one before it, and not the run.
#[test]
fn resumed_behind_a_damaged_file() -> Tested {
    let folder = folder("damaged")?;
    let train = |n: u64, resume: bool| -> Result<(Outcome, Vec<f32>)> {
        let cpu = Device::new(Box::new(Cpu::new()));
        let model = Mlp::with_seed(&[1, 8, 1], 1, &cpu)?;
        let sgd = Sgd::new(&model, 0.05)?;
        let outcome = Trainer::new(n)
            .folder(&folder, Checkpoint::new().module("model", &model))?
            .resume(resume)
            .quiet()
            .run(
                &loader(&cpu)?,
                |b| {
                    let loss = model.forward(&b[0])?.mse(&b[1])?;
                    sgd.step(&loss.backward()?)?;
                    Ok(loss)
                },
                || Ok(Validation::new(1.0)),
            )?;
        Ok((outcome, model.parameters()?.values().to_vec()?))
    };
    let (whole, values) = train(4, false)?;
    assert!(whole.damaged.is_empty());
    let file = |step: u64| folder.join(format!("step-{step:010}.safetensors"));
    let cut = |step| {
        let bytes = fs::read(file(step))?;
        fs::write(file(step), &bytes[..bytes.len() / 2])
    };
    cut(24)?;
    cut(18)?;
    let (resumed, same) = train(4, true)?;
    assert_eq!((resumed.stop, resumed.steps, same), (Stop::Done, 24, values));
    assert_eq!(epochs(&resumed), [0, 1, 2, 3]);
    let damaged: Vec<_> = resumed.damaged.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(damaged, [file(24), file(18)]);
    assert!(resumed.damaged.iter().all(|(_, error)| error.kind() == ErrorKind::Format));
    // Both were written anew.
    assert!(train(4, true)?.0.damaged.is_empty());

    // With none that is whole the error says what is left to do.
    for step in [12, 18, 24] {
        cut(step)?;
    }
    let error = train(4, true).err().ok_or("a damaged run went on")?;
    assert_eq!(error.kind(), ErrorKind::Format);
    for part in ["step-0000000024", "no older checkpoint", "best.safetensors", "another folder"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
    // A record that is damaged names its file and the way out.
    fs::write(folder.join("metrics.jsonl"), "{\"epoch\":0,")?;
    let error = train(4, true).err().ok_or("a damaged record was read")?;
    assert!(
        error.message().contains("metrics.jsonl") && error.message().contains("remove"),
        "{error}"
    );
    fs::remove_dir_all(&folder)?;
    Ok(())
}
