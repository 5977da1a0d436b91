//! Matrix products at 512x512x512: the variant chosen for the adapter, the readable `matmul_tiled`, and
//! the CPU backend. Prints the ratios of one interleaved run, then lets criterion measure each.
//!
//! `cargo bench --bench matmul`

#![allow(clippy::unwrap_used, reason = "a bench has no caller to return errors to")]

use criterion::{Criterion, criterion_group, criterion_main};
use std::{hint::black_box, time::Instant};
use wgrad::{Device, Tensor, no_grad};
use wgrad_gpu::{AdapterChoice, MatMulVariant, Options};

const N: usize = 512;

/// The three products training needs: forward `A B`, and with one operand transposed.
const LAYOUTS: [&str; 3] = ["NN", "NT", "TN"];

fn operands(device: &Device, layout: &str) -> (Tensor, Tensor) {
    let a = Tensor::uniform([N, N], -1.0, 1.0, device).unwrap();
    let b = Tensor::uniform([N, N], -1.0, 1.0, device).unwrap();
    match layout {
        "NT" => (a, b.t().unwrap()),
        "TN" => (a.t().unwrap(), b),
        _ => (a, b),
    }
}

/// One product, finished: reading one element waits for the device.
fn product((a, b): &(Tensor, Tensor)) {
    let y = no_grad(|| a.matmul(b)).unwrap();
    let one = y.slice(0, 0..1).unwrap().slice(1, 0..1).unwrap();
    black_box(one.item::<f32>().unwrap());
}

fn open(force: Option<MatMulVariant>) -> Option<Device> {
    let options = Options { force_matmul: force, ..Options::default() };
    pollster::block_on(wgrad_gpu::open_with(&AdapterChoice::Auto, &options)).ok()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn ratios(c: &mut Criterion) {
    let (Some(chosen), Some(tiled)) = (open(None), open(Some(MatMulVariant::Tiled))) else {
        eprintln!("no GPU adapter: nothing to compare ({})", wgrad_gpu::help());
        return;
    };
    let cpu = wgrad::cpu();
    println!("{} | {N}x{N}x{N} f32, medians of one interleaved run", chosen.info());
    println!("layout   chosen ms   GFLOP/s   tiled ms    cpu ms   x tiled   of cpu");
    for layout in LAYOUTS {
        let inputs = [&chosen, &tiled, &cpu].map(|device| operands(device, layout));
        let mut times = [const { Vec::new() }; 3];
        for round in 0..8 {
            for (input, times) in inputs.iter().zip(&mut times) {
                let start = Instant::now();
                product(input);
                // The first round compiles and warms up.
                if round > 0 {
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        let [fast, slow, cpu] = times.map(median);
        let gflops = 2.0 * (N as f64).powi(3) / fast / 1e6;
        println!(
            "{layout:<6} {fast:>11.2} {gflops:>9.1} {slow:>10.1} {cpu:>9.2} {:>9.1} {:>8.2}",
            slow / fast,
            cpu / fast
        );
    }
    let mut group = c.benchmark_group("matmul_512");
    group.sample_size(10);
    for layout in LAYOUTS {
        for (name, device) in [("chosen", &chosen), ("tiled", &tiled), ("cpu", &cpu)] {
            let input = operands(device, layout);
            group.bench_function(format!("{layout}/{name}"), |b| b.iter(|| product(&input)));
        }
    }
    group.finish();
}

criterion_group!(benches, ratios);
criterion_main!(benches);
