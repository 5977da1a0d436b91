//! Every kind of layer and every rule of an optimizer: saved, loaded and saved again to the same bytes, and resumed to
//! the same bits.

use std::{fs, path::PathBuf};
use wgrad_core::{Device, Error, Result, Tensor, cpu::Cpu, philox::Stream};
use wgrad_nn::{
    Activation, Adagrad, Adam, AdamW, BatchNorm1d, BatchNorm2d, Checkpoint, Conv1d, Conv2d,
    ConvTranspose2d, Dropout, Embedding, Flatten, GroupNorm, Gru, Init, Layer, LayerNorm, Linear,
    Lion, Lstm, MaxPool2d, Mlp, Module, MultiHeadAttention, Optimizer, Positions, Recomputed,
    Residual, RmsNorm, RmsProp, Sequential, Sgd, State, TransformerBlock, Visitor,
};

type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

fn device() -> Device {
    Device::new(Box::new(Cpu::new()))
}

fn folder(name: &str) -> std::io::Result<PathBuf> {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// A layer under a name, on a device.
struct Net<L>(L);
impl<L: Module> Module for Net<L> {
    fn visit(&self, v: &mut Visitor) {
        v.field("layer", &self.0);
    }
}

fn draw(seed: u64, shape: &[usize], device: &Device) -> Result<Tensor> {
    let mut stream = Stream::new(seed, 0);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.uniform(-1.0, 1.0)).collect();
    Tensor::from_vec(values, shape, device)
}

/// A layer trained for two steps, saved, loaded into one that began otherwise, and saved again.
fn same_bytes<L: Module + Layer>(
    name: &str,
    make: impl Fn(&mut Init) -> Result<L>,
    input: impl Fn(&Device) -> Result<Tensor>,
) -> Tested {
    let folder = folder(name)?;
    let net = |seed: u64| -> Result<(Net<L>, Adam, Device)> {
        let device = device();
        device.seed(seed)?;
        let net = Net(make(&mut Init::new(seed))?).on(&device)?;
        let adam = Adam::new(&net, 0.01)?;
        Ok((net, adam, device))
    };
    let bytes = |(net, adam, device): &(Net<L>, Adam, Device), file: &str| -> Result<Vec<u8>> {
        let path = folder.join(file);
        Checkpoint::new().module("net", net).state("adam", adam).device(device).save(&path)?;
        fs::read(&path).map_err(|e| Error::io("test", e.to_string()))
    };
    let train = |(net, adam, device): &(Net<L>, Adam, Device)| -> Result<Vec<f32>> {
        let y = net.0.forward(&input(device)?)?;
        adam.step(&y.square()?.mean_all()?.backward()?)?;
        y.to_vec()
    };
    let first = net(1)?;
    train(&first)?;
    train(&first)?;
    let saved = bytes(&first, "first")?;
    let second = net(2)?;
    train(&second)?;
    assert!(bytes(&second, "second")? != saved, "{name}: nothing to tell two models apart");
    let (model, adam, device) = &second;
    let checkpoint = Checkpoint::new().module("net", model).state("adam", adam).device(device);
    checkpoint.load(folder.join("first"))?;
    assert!(bytes(&second, "again")? == saved, "{name}: other bytes after loading");
    assert_eq!(train(&second)?, train(&first)?, "{name}: another step after loading");
    fs::remove_dir_all(&folder)?;
    Ok(())
}

#[test]
fn every_layer_is_saved_to_the_same_bytes() -> Tested {
    let rows = |d: &Device| draw(3, &[5, 8], d);
    let images = |d: &Device| draw(4, &[3, 4, 6, 6], d);
    let tokens = |d: &Device| draw(5, &[2, 6, 8], d);
    let ids = |d: &Device| Tensor::from_vec((0..12).collect::<Vec<i32>>(), [2, 6], d);
    same_bytes("linear", |i| Linear::new(8, 3, i), rows)?;
    same_bytes("mlp", |i| Mlp::part(&[8, 6, 2], Default::default(), i), rows)?;
    same_bytes("layer_norm", |_| LayerNorm::new(&[8]), rows)?;
    same_bytes("rms_norm", |_| RmsNorm::new(8), rows)?;
    same_bytes("batch_norm1d", |_| BatchNorm1d::new(8), rows)?;
    same_bytes("batch_norm2d", |_| BatchNorm2d::new(4), images)?;
    same_bytes("group_norm", |_| GroupNorm::new(2, 4), images)?;
    same_bytes("conv1d", |i| Conv1d::new(6, 4, 3, i), tokens)?;
    same_bytes("conv2d", |i| Conv2d::new(4, 6, 3, i)?.groups(2), images)?;
    same_bytes("conv_transpose2d", |i| ConvTranspose2d::new(4, 3, 2, i), images)?;
    same_bytes("embedding", |i| Embedding::with_padding(12, 5, 3, i), ids)?;
    same_bytes("positions", |i| Positions::learned(6, 8, i), tokens)?;
    same_bytes("attention", |i| MultiHeadAttention::new(8, 2, i)?.dropout(0.2), tokens)?;
    same_bytes("transformer", |i| TransformerBlock::new(8, 2, 16, i)?.dropout(0.2), tokens)?;
    same_bytes("gru", |i| Ok(Gru::new(8, 5, 2, i)?.batch_first()), tokens)?;
    same_bytes("lstm", |i| Ok(Lstm::new(8, 5, 2, i)?.batch_first()), tokens)?;
    same_bytes("residual", |i| Ok(Residual::new(Linear::new(8, 8, i)?)), rows)?;
    same_bytes("recomputed", |i| Ok(Recomputed::new(Linear::new(8, 3, i)?)), rows)?;
    let sequence = |i: &mut Init| -> Result<Sequential> {
        let pooled = Sequential::new().then(Conv2d::new(4, 6, 3, i)?).then(BatchNorm2d::new(6)?);
        let pooled = pooled.then(Activation::Relu).then(MaxPool2d::new(2)?);
        Ok(pooled.then(Dropout::new(0.3)?).then(Flatten).then(Linear::new(24, 2, i)?))
    };
    same_bytes("sequential", sequence, images)
}

/// Seven steps at once, and the same with a break after `at`, in a model, an optimizer and a device of their own.
fn resumes<O: Optimizer + State>(
    name: &str,
    at: u64,
    make: impl Fn(&Sequential) -> Result<O>,
) -> Tested {
    let folder = folder(&format!("resumed-{name}"))?;
    let run = |from: u64, to: u64, file: &str| -> Tested {
        let device = device();
        device.seed(7)?;
        let mut init = Init::new(if from == 0 { 5 } else { 6 });
        let net = Sequential::new()
            .then(Conv2d::new(2, 4, 3, &mut init)?.padding(1))
            .then(BatchNorm2d::new(4)?)
            .then(Activation::Gelu)
            .then(Dropout::new(0.3)?)
            .then(Flatten)
            .then(Linear::new(64, 3, &mut init)?)
            .on(&device)?;
        let optimizer = make(&net)?;
        let checkpoint =
            Checkpoint::new().module("net", &net).state("optimizer", &optimizer).device(&device);
        if from > 0 {
            checkpoint.load(folder.join(file))?;
        }
        for step in from..to {
            let x = draw(step, &[5, 2, 4, 4], &device)?;
            let loss = net.forward(&x)?.square()?.mean_all()?;
            optimizer.step(&loss.backward()?)?;
            // A rate that changes is a part of what is kept.
            optimizer.set_lr(0.02 / (step + 1) as f64)?;
        }
        checkpoint.save(folder.join(file))?;
        Ok(())
    };
    run(0, 7, "whole")?;
    run(0, at, "parts")?;
    let bytes = |file: &str| fs::read(folder.join(file));
    assert!(bytes("parts")? != bytes("whole")?, "{name}");
    run(at, 7, "parts")?;
    assert!(bytes("parts")? == bytes("whole")?, "{name}: other bits when resumed after {at} steps");
    fs::remove_dir_all(&folder)?;
    Ok(())
}

#[test]
fn every_rule_resumes_to_the_bit() -> Tested {
    let mut dice = Stream::new(77, 0);
    let mut at = || u64::from(1 + dice.below(6));
    resumes("sgd", at(), |m| Sgd::new(m, 0.05))?;
    resumes("momentum", at(), |m| Sgd::new(m, 0.05)?.momentum(0.9)?.weight_decay(0.01))?;
    resumes("nesterov", at(), |m| Sgd::new(m, 0.05)?.momentum(0.9)?.nesterov())?;
    resumes("adam", at(), |m| Adam::new(m, 0.01)?.weight_decay(0.01))?;
    resumes("adamw", at(), |m| AdamW::new(m, 0.01))?;
    resumes("rmsprop", at(), |m| RmsProp::new(m, 0.01))?;
    resumes("centered", at(), |m| RmsProp::new(m, 0.01)?.centered())?;
    resumes("rmsprop-momentum", at(), |m| RmsProp::new(m, 0.01)?.momentum(0.9))?;
    resumes("rmsprop-both", at(), |m| RmsProp::new(m, 0.01)?.centered()?.momentum(0.9))?;
    resumes("adagrad", at(), |m| Adagrad::new(m, 0.05)?.initial(0.1))?;
    resumes("lion", at(), |m| Lion::new(m, 0.01))
}
