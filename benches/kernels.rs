//! The kernels one by one, on the GPU adapter and on the CPU backend: element-wise, reductions, softmax, losses, rows
//! by index, random numbers, optimizers. Each run ends with reading one element back.
//!
//! `cargo bench --bench kernels`, or `cargo bench --bench kernels -- softmax` for some of them

#![allow(clippy::unwrap_used, reason = "a bench has no caller to return errors to")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use wgrad::prelude::*;

const ROWS: usize = 1024;
const COLS: usize = 1024;

/// A kernel: its name, bytes it must read and write, and how to run it once.
type Case = (&'static str, usize, Box<dyn Fn() -> Result<Tensor>>);

fn finish(y: &Tensor) {
    let mut one = y.clone();
    for axis in 0..y.rank() {
        one = one.slice(axis as isize, 0..1).unwrap();
    }
    black_box(one.item::<f32>().unwrap());
}

fn cases(d: &Device) -> Vec<Case> {
    let uniform = |shape: &[usize]| Tensor::uniform(shape, -1.0, 1.0, d).unwrap();
    let (x, y, row) = (uniform(&[ROWS, COLS]), uniform(&[ROWS, COLS]), uniform(&[COLS]));
    let numbers =
        |n: usize, below: usize| -> Vec<i32> { (0..n).map(|i| (i * 7 % below) as i32).collect() };
    let labels = Tensor::from_vec(numbers(ROWS, COLS), [ROWS], d).unwrap();
    let model = Mlp::new(&[COLS, COLS], d).unwrap();
    let loss = model.forward(&x).unwrap().square().unwrap().mean_all().unwrap();
    let gradients = std::rc::Rc::new(loss.backward().unwrap());
    let parameters = model.parameters().unwrap().values().clone();
    let (sgd, momentum, adam) = (
        Sgd::new(&model, 1e-3).unwrap(),
        Sgd::new(&model, 1e-3).unwrap().momentum(0.9).unwrap(),
        AdamW::new(&model, 1e-3).unwrap(),
    );
    let all = ROWS * COLS * 4;
    let weights = parameters.numel() * 4;
    let on = |f: fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>| {
        let (x, y, row) = (x.clone(), y.clone(), row.clone());
        Box::new(move || no_grad(|| f(&x, &y, &row)))
    };
    let indexed = |f: fn(&Tensor, &Tensor) -> Result<Tensor>| {
        let (x, labels) = (x.clone(), labels.clone());
        Box::new(move || f(&x, &labels))
    };
    let chain = {
        let (x, y, row) = (x.clone(), y.clone(), row.clone());
        let step = Step::new(d, move |_| Ok(vec![x.try_mul(&y)?.try_add(&row)?.tanh()?.square()?]));
        Box::new(move || Ok(step.run(&[])?.swap_remove(0)))
    };
    let soft = {
        let at = x.requiring_grad();
        let p = at.softmax(1).unwrap();
        let y = y.clone();
        Box::new(move || Ok(p.backward_with(&y)?.wrt(&at)?.clone()))
    };
    let random = {
        let d = d.clone();
        Box::new(move || Tensor::normal([ROWS, COLS], 0.0, 1.0, &d))
    };
    let optimizers: Vec<Case> = vec![
        ("sgd", 3 * weights, {
            let (g, p) = (gradients.clone(), parameters.clone());
            Box::new(move || sgd.step(&g).map(|()| p.clone()))
        }),
        ("sgd_momentum", 5 * weights, {
            let (g, p) = (gradients.clone(), parameters.clone());
            Box::new(move || momentum.step(&g).map(|()| p.clone()))
        }),
        (
            "adamw",
            7 * weights,
            Box::new(move || adam.step(&gradients).map(|()| parameters.clone())),
        ),
    ];
    let mut cases: Vec<Case> = vec![
        ("exp", 2 * all, on(|x, _, _| x.exp())),
        ("gelu", 2 * all, on(|x, _, _| x.gelu())),
        ("add", 3 * all, on(|x, y, _| x.try_add(y))),
        ("add_row", 2 * all, on(|x, _, row| x.try_add(row))),
        ("add_transposed", 3 * all, on(|x, y, _| x.try_add(&y.t()?))),
        ("chain_of_four", 3 * all, chain),
        ("sum_rows", all, on(|x, _, _| x.sum([1]))),
        ("sum_columns", all, on(|x, _, _| x.sum([0]))),
        ("sum_all", all, on(|x, _, _| x.sum_all())),
        ("softmax", 2 * all, on(|x, _, _| x.softmax(1))),
        ("masked_softmax_causal", 2 * all, on(|x, _, _| x.masked_softmax(None, true, 0.5))),
        ("log_softmax", 2 * all, on(|x, _, _| x.log_softmax(1))),
        ("softmax_backward", 3 * all, soft),
        ("cross_entropy", all, indexed(|x, labels| x.cross_entropy(labels))),
        ("gather_rows", 2 * all, indexed(|x, labels| x.gather(labels))),
        ("normal", all, random),
    ];
    cases.extend(optimizers);
    cases
}

fn kernels(c: &mut Criterion) {
    let mut devices = vec![("cpu", wgrad::cpu())];
    match wgrad::gpu() {
        Ok(device) => devices.push(("gpu", device)),
        Err(error) => eprintln!("without a GPU adapter: {error}"),
    }
    for (place, device) in &devices {
        println!("{place}: {}", device.info());
        let mut group = c.benchmark_group(*place);
        group.sample_size(10);
        for (name, bytes, run) in cases(device) {
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(name, |b| b.iter(|| finish(&run().unwrap())));
        }
        group.finish();
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
