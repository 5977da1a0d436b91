//! Every error names the caller's line, never one of this library's own.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{fs, path::PathBuf, thread, time::Duration};
use wgrad_core::{
    AttentionOptions, CrossEntropyOptions, DType, Device, Error, Result, Tensor, philox::Stream,
};
use wgrad_nn::{
    Array, Checkpoint, Checkpoints, Csv, Init, Linear, LoadWeights, Loader, Module,
    MultiHeadAttention, Npy, Npz, Samples, TransformerBlock, load_weights, save_weights,
};

/// The error of a call, with the line the call stands in.
macro_rules! told {
    ($call:expr) => {
        (stringify!($call), line!(), $call.err().expect(stringify!($call)))
    };
}

type Told = Vec<(&'static str, u32, Error)>;

fn check(told: Told) {
    for (call, line, error) in told {
        let (text, place) = (error.to_string(), format!("(at {}:{line}:", file!()));
        assert!(text.contains(&place), "{call} must name line {line}: {text}");
        assert_eq!(text.matches("(at ").count(), 1, "{call}: {text}");
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("wgrad-places-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn saving_and_loading() -> Result<()> {
    let cpu = Device::cpu();
    let model = Linear::new(2, 3, &mut Init::new(1))?.on(&cpu)?;
    let run = Checkpoint::new().module("model", &model);
    let options = LoadWeights::new();
    let folder = folder("save");
    let (missing, nowhere) = (folder.join("none"), folder.join("none/file"));
    let (short, cut, extra) = (folder.join("short"), folder.join("cut"), folder.join("extra"));
    let (text, no_json) = (folder.join("text"), folder.join("no_json"));
    save_weights(&model, &cut)?;
    let whole = fs::read(&cut).unwrap();
    fs::write(&short, &whole[..5]).unwrap();
    fs::write(&cut, &whole[..whole.len() - 4]).unwrap();
    fs::write(&extra, [&whole[..], &[0; 4]].concat()).unwrap();
    fs::write(&text, b"this is no such file").unwrap();
    fs::write(&no_json, [&2u64.to_le_bytes()[..], b"[]"].concat()).unwrap();
    let kept = Checkpoints::new(folder.join("kept"))?;
    fs::write(kept.path(1), &whole[..5]).unwrap();
    let mut told = vec![
        told!(load_weights(&model, &missing)),
        told!(options.load(&model, &missing)),
        told!(load_weights(&model, &folder)),
        told!(run.load(&missing)),
        told!(run.save(&nowhere)),
        told!(save_weights(&model, &nowhere)),
        told!(save_weights(&model, &folder)),
        told!(kept.resume(&run)),
        told!(kept.resume_or_older(&run)),
        told!(Checkpoints::new(&text)),
    ];
    for bad in [&short, &cut, &extra, &text, &no_json] {
        told.push(told!(load_weights(&model, bad)));
        told.push(told!(run.load(bad)));
    }
    check(told);
    fs::remove_dir_all(&folder).unwrap();
    Ok(())
}

#[test]
fn tables_and_arrays() -> Result<()> {
    let table = Csv::from_bytes("table", b"a,b\n1,x\n")?;
    let folder = folder("data");
    let missing = folder.join("none");
    // A zip file with nothing in it.
    let zip = [&b"PK\x05\x06"[..], &[0; 18]].concat();
    let npz = Npz::from_bytes("empty", &zip)?;
    check(vec![
        told!(table.column("c")),
        told!(table.numbers(&["c"])),
        told!(table.numbers(&["b"])),
        told!(table.labels("c")),
        told!(table.labels("b")),
        told!(table.classes("c")),
        told!(table.numbers_without(&["c"])),
        told!(table.numbers_without(&["a"])),
        told!(Csv::open(&missing)),
        told!(Csv::from_bytes("table", b"a,b\n1\n")),
        told!(npz.get("x")),
        told!(Npz::open(&missing)),
        told!(Npz::from_bytes("cut", &zip[..9])),
        told!(Npy::open(&missing)),
        told!(Npy::from_bytes("cut", b"\x93NUMPY")),
    ]);
    fs::remove_dir_all(&folder).unwrap();
    Ok(())
}

/// Its first sample is as `f` says.
struct One<F>(F);

impl<F: Fn() -> Result<Vec<Array>> + Send + Sync> Samples for One<F> {
    fn len(&self) -> usize {
        2
    }
    fn get(&self, i: usize, _: &mut Stream) -> Result<Vec<Array>> {
        if i == 0 { (self.0)() } else { Ok(vec![Array::f32([1], vec![0.0])?]) }
    }
}

#[test]
fn loaders() -> Result<()> {
    fn of(f: impl Fn() -> Result<Vec<Array>> + Send + Sync + 'static) -> Result<Loader> {
        Ok(Loader::new(One(f), 2, &Device::cpu())?.timeout(Duration::from_millis(50)))
    }
    let slow = of(|| {
        thread::sleep(Duration::from_millis(400));
        Ok(Vec::new())
    })?;
    let mut told = vec![told!(slow.batches().next().unwrap())];
    for workers in [0, 1, 2] {
        let file = of(|| Npy::open("/nowhere/x.npy").map(|_| Vec::new()))?.workers(workers);
        let nan = of(|| Ok(vec![Array::f32([1], vec![f32::NAN])?]))?.workers(workers);
        let shape = of(|| Ok(vec![Array::f32([2], vec![0.0; 2])?]))?.workers(workers);
        let count = of(|| Ok(vec![Array::f32([1], vec![0.0])?, Array::f32([1], vec![0.0])?]))?
            .workers(workers);
        let panic = of(|| panic!("as it must"))?.workers(workers);
        told.push(told!(file.batches().next().unwrap()));
        told.push(told!(nan.batches().next().unwrap()));
        told.push(told!(shape.batches().next().unwrap()));
        told.push(told!(count.batches().next().unwrap()));
        told.push(told!(panic.batches().next().unwrap()));
    }
    check(told);
    // The reader's own message is kept.
    let file = of(|| Npy::open("/nowhere/x.npy").map(|_| Vec::new()))?.workers(0);
    let error = file.batches().next().unwrap().err().unwrap();
    assert!(error.message().contains("cannot be had: npy: /nowhere/x.npy: "), "{error}");
    Ok(())
}

#[test]
fn attention_with_a_mask_of_floats() -> Result<()> {
    let cpu = Device::cpu();
    let (x, mask) = (Tensor::ones([1, 2, 4], &cpu)?, Tensor::ones([2, 2], &cpu)?);
    let layer = MultiHeadAttention::new(4, 2, &mut Init::new(1))?.on(&cpu)?;
    let block = TransformerBlock::new(4, 2, 8, &mut Init::new(1))?.on(&cpu)?;
    let options = AttentionOptions { mask: Some(&mask), ..AttentionOptions::default() };
    let wide = Tensor::zeros([3, 2, 2], &cpu)?.cast(DType::Bool)?;
    let far = AttentionOptions { mask: Some(&wide), ..AttentionOptions::default() };
    let scaled = AttentionOptions { scale: Some(f32::NAN), ..AttentionOptions::default() };
    check(vec![
        told!(x.attention(&x, &x, options)),
        told!(x.attention(&x, &x, far)),
        told!(x.attention(&x, &x, scaled)),
        told!(x.masked_softmax(Some(&mask), false, 1.0)),
        told!(layer.masked(&x, Some(&mask))),
        told!(layer.cross(&x, &x, Some(&mask))),
        told!(block.masked(&x, Some(&mask))),
    ]);
    Ok(())
}

#[test]
fn operations_that_check_before_they_run() -> Result<()> {
    let cpu = Device::cpu();
    let (x, labels) = (Tensor::ones([2, 3], &cpu)?, Tensor::ones([2], &cpu)?);
    let (whole, wide) = (x.cast(DType::I32)?, CrossEntropyOptions::default());
    check(vec![
        told!(x.broadcast_to([2, 4])),
        told!(x.cross_entropy_with(&labels, &wide)),
        told!(whole.cross_entropy_with(&labels.cast(DType::I32)?, &wide)),
        told!(whole.dropout(0.5)),
    ]);
    Ok(())
}
