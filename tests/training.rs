//! What training does around an optimizer's step, on the CPU and on a GPU: clipping, accumulation, loss scaling, mixed
//! precision. Eager and recorded.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use support::{inputs::read, tolerance};
use wgrad::{
    Role, Step, full_precision,
    nn::{GradScaler, Parameter, State, StateEntry, StateVisitor},
    prelude::*,
};

/// The CPU, and the GPU if there is one.
fn devices() -> Vec<Device> {
    let gpu = match wgrad::gpu() {
        Ok(gpu) => Some(gpu),
        Err(error) if std::env::var_os("WGRAD_REQUIRE_GPU").is_some() => panic!("{error}"),
        Err(_) => None,
    };
    std::iter::once(wgrad::cpu()).chain(gpu).collect()
}

fn draw(seed: u64, shape: &[usize], device: &Device) -> Tensor {
    let mut stream = wgrad::philox::Stream::new(seed, 0);
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| stream.uniform(-1.0, 1.0)).collect();
    Tensor::from_vec(values, shape, device).unwrap()
}

fn near(rule: &str, got: &Tensor, want: &Tensor) {
    let (got, want) = (read(got).unwrap(), read(want).unwrap());
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!(tolerance::of(rule).allows(*got, want), "{got} instead of {want}");
    }
}

fn values(model: &Mlp) -> Tensor {
    model.parameters().unwrap().values().clone()
}

struct Point {
    at: Parameter,
}
wgrad::nn::module!(Point { at });

fn point(device: &Device) -> Point {
    Point { at: Parameter::new(&[6], vec![1.0; 6]).unwrap() }.on(device).unwrap()
}

/// All numbers of a state, as they are on the device.
fn state(of: &dyn State) -> Vec<(String, Vec<f64>)> {
    let read_entry = |(name, entry): (String, StateEntry)| match entry {
        StateEntry::Tensor(tensor) => (name, read(&tensor).unwrap()),
        StateEntry::Count(count) => (name, vec![count.get() as f64]),
        StateEntry::Real(real) => (name, vec![real.get()]),
        StateEntry::Setting(value) => (name, vec![value as f64]),
    };
    StateVisitor::over(of).into_iter().map(read_entry).collect()
}

#[test]
fn f08_micro_batches_are_a_batch() {
    for d in devices() {
        let (x, labels) = (draw(1, &[12, 9], &d), draw(2, &[12, 3], &d).argmax(1).unwrap());
        let part = |from: usize, to: usize| {
            (x.slice(0, from..to).unwrap(), labels.slice(0, from..to).unwrap())
        };
        let new = || {
            let model = Mlp::with_seed(&[9, 8, 3], 3, &d).unwrap();
            let adam = AdamW::new(&model, 1e-2).unwrap();
            (model, adam)
        };
        let (full, adam) = new();
        for _ in 0..3 {
            let loss = full.forward(&x).unwrap().cross_entropy(&labels).unwrap();
            adam.step(&loss.backward().unwrap()).unwrap();
        }
        let want = values(&full);

        // Of unequal size, eagerly.
        let (model, adam) = new();
        let sum = GradAccumulator::new(&model).unwrap();
        for _ in 0..3 {
            for (from, to) in [(0, 2), (2, 7), (7, 12)] {
                let (x, labels) = part(from, to);
                let loss = model.forward(&x).unwrap().cross_entropy(&labels).unwrap();
                sum.add_weighted(&loss.backward().unwrap(), (to - from) as f64).unwrap();
            }
            adam.step(&sum.take().unwrap()).unwrap();
        }
        near("optimizer_steps", &values(&model), &want);

        // One recorded step adds, another one applies.
        let (model, adam) = new();
        let sum = GradAccumulator::new(&model).unwrap();
        let add = Step::new(&d, |batch| {
            let loss = model.forward(&batch[0])?.cross_entropy(&batch[1])?;
            sum.add(&loss.backward()?)?;
            Ok(vec![loss])
        });
        let apply = Step::new(&d, |_| {
            let clipped = sum.take()?.clip_norm(1e3)?;
            adam.step(&clipped.gradients)?;
            Ok(vec![clipped.norm])
        });
        for _ in 0..3 {
            for from in [0, 4, 8] {
                let (x, labels) = part(from, from + 4);
                add.run(&[&x, &labels]).unwrap();
            }
            let norm = apply.run(&[]).unwrap()[0].item::<f32>().unwrap();
            assert!(norm > 0.0 && norm < 1e3, "{norm}");
        }
        near("optimizer_steps", &values(&model), &want);
    }
}

#[test]
fn clipping_in_a_recorded_step() {
    for d in devices() {
        let p = point(&d);
        let step = Step::new(&d, |x| {
            let loss = p.at.tensor()?.try_mul(&x[0])?.sum_all()?;
            let clipped = loss.backward()?.clip_norm(2.0)?;
            Ok(vec![clipped.gradients.wrt(p.at.tensor()?)?.clone(), clipped.norm])
        });
        for (x, norm, first) in [
            ([3e18f32, -4e18, 0.0, 0.0, 0.0, 0.0], 5e18f64, 1.2f64),
            // Twice the reciprocal of the length is no normal number any more.
            ([1.8e38, -2.4e38, 0.0, 0.0, 0.0, 0.0], 3e38, 1.2),
            ([0.0; 6], 0.0, 0.0),
            ([0.25, 0.0, 0.0, 0.0, 0.0, 0.0], 0.25, 0.25),
        ] {
            let out = step.run(&[&Tensor::from_vec(x, [6], &d).unwrap()]).unwrap();
            let got = [read(&out[1]).unwrap()[0], read(&out[0]).unwrap()[0]];
            assert!(tolerance::of("vector_norm").allows(got[0], norm), "{got:?}");
            assert!(tolerance::of("vector_norm").allows(got[1], first), "{got:?}");
        }
        for bad in [f32::NAN, f32::INFINITY] {
            let x = Tensor::from_vec([bad, 7.0, 0.0, 0.0, 0.0, 0.0], [6], &d).unwrap();
            let out = step.run(&[&x]).unwrap();
            let norm = out[1].item::<f32>().unwrap();
            assert_eq!((norm.is_nan(), norm.is_infinite()), (bad.is_nan(), bad.is_infinite()));
            assert_eq!(read(&out[0]).unwrap()[1], 7.0);
        }
    }
}

/// Factors from 1 down to 3e-66, between which each factor of f32 would be lost.
#[test]
fn clipping_by_factors_that_no_number_holds() {
    for d in devices() {
        for max in [3.3e38, 1e38, 1e7, 1.0, 1e-3, 1e-20, 1.1e-27] {
            let p = point(&d);
            let x = Tensor::from_vec([2.04e38f32, -2.72e38, 1e30, 0.5, 0.0, 2.0], [6], &d).unwrap();
            let loss = p.at.tensor().unwrap().try_mul(&x).unwrap().sum_all().unwrap();
            let clipped = loss.backward().unwrap().clip_norm(max).unwrap();
            let got = read(clipped.gradients.wrt(p.at.tensor().unwrap()).unwrap()).unwrap();
            for (got, x) in got.iter().zip(read(&x).unwrap()) {
                let want = if max > 3.4e38 { x } else { x * (max / 3.4e38) };
                assert!(
                    tolerance::of("vector_norm").allows(*got, want),
                    "{d:?} {max:e} {got:e} {want:e}"
                );
            }
        }
        let p = point(&d);
        let loss = p.at.tensor().unwrap().sum_all().unwrap();
        let error = loss.backward().unwrap().clip_norm(1e-28).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Argument, "{error}");
    }
}

/// In 16 bits too, by the same factor: it is rounded with the product and not before.
#[test]
fn dropout_scales_halves_alike_everywhere() {
    for p in [0.1f32, 0.3, 0.7] {
        let all: Vec<Vec<f64>> = devices()
            .iter()
            .map(|d| {
                d.seed(7).unwrap();
                let x = draw(3, &[64, 33], d).cast(DType::F16).unwrap();
                read(&x.dropout(p).unwrap()).unwrap()
            })
            .collect();
        // As the f32 product rounds, on each device.
        let d = wgrad::cpu();
        let x = read(&draw(3, &[64, 33], &d).cast(DType::F16).unwrap()).unwrap();
        let scale = (1.0 / (1.0 - f64::from(p))) as f32;
        for got in &all {
            for (got, x) in got.iter().zip(&x) {
                let want = half::f16::from_f32(*x as f32 * scale).to_f64();
                assert!(*got == 0.0 || *got == want, "{p} {got} {want}");
            }
        }
        assert!(all.iter().all(|one| *one == all[0]), "{p}");
    }
}

/// What the layer above refuses or forgets, on GPUs too.
#[test]
fn steps_given_up_and_averages_applied() {
    for d in devices() {
        let p = point(&d);
        let sgd = Sgd::new(&p, 0.1).unwrap();
        let scaler = GradScaler::with(&d, 8.0, 3, 1.0).unwrap();
        let unscaled = |x: [f32; 6]| {
            let x = Tensor::from_vec(x, [6], &d)?;
            let loss = p.at.tensor()?.try_mul(&x)?.sum_all()?;
            scaler.unscale(scaler.scale(&loss)?.backward()?)
        };
        unscaled(INFINITE).unwrap();
        scaler.give_up().unwrap();
        scaler.step(&sgd, &unscaled(GOOD).unwrap()).unwrap();
        scaler.update().unwrap();
        assert_eq!(scaler.report().unwrap().skipped, 0, "{d:?}");

        let ema = Ema::new(&p, 0.5).unwrap();
        let step = Step::new(&d, |x| {
            ema.update()?;
            Ok(vec![x[0].try_mul(2.0)?])
        });
        let x = Tensor::ones([1], &d).unwrap();
        for _ in 0..3 {
            step.run(&[&x]).unwrap();
            let refused = ema.averaged(|| step.run(&[&x])).map(drop);
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Graph, "{d:?}");
        }
    }
}

/// A point with AdamW and a scaler, whose gradients are what is given. Recorded or not.
fn scaled_run(
    d: &Device,
    recorded: bool,
    check: impl Fn(&dyn Fn([f32; 6]), &Point, &AdamW, &GradScaler),
) {
    let p = point(d);
    let adam = AdamW::new(&p, 0.1).unwrap();
    let scaler = GradScaler::with(d, 8.0, 3, 0.5).unwrap();
    let work = |x: &[Tensor]| {
        let loss = p.at.tensor()?.try_mul(&x[0])?.sum_all()?;
        let gradients = scaler.unscale(scaler.scale(&loss)?.backward()?)?;
        scaler.step(&adam, &gradients)?;
        scaler.update()?;
        Ok(vec![loss])
    };
    let step = Step::new(d, work);
    let run = |x: [f32; 6]| {
        let x = Tensor::from_vec(x, [6], d).unwrap();
        match recorded {
            true => step.run(&[&x]).unwrap(),
            false => work(&[x]).unwrap(),
        };
    };
    check(&run, &p, &adam, &scaler);
}

const GOOD: [f32; 6] = [1.0, -2.0, 0.5, 3.0, 1.0, 1.0];
const INFINITE: [f32; 6] = [1.0, f32::INFINITY, 0.5, 3.0, 1.0, 1.0];
const NAN: [f32; 6] = [1.0, 1.0, 0.5, 3.0, 1.0, f32::NAN];

#[test]
fn g01_to_g04_overflow_skips_a_step_and_the_scale_follows() {
    for d in devices() {
        for recorded in [false, true] {
            scaled_run(&d, recorded, |run, p, adam, scaler| {
                run(GOOD);
                let before = (read(p.at.tensor().unwrap()).unwrap(), state(adam));
                assert_eq!(scaler.current().unwrap(), 8.0);
                run(INFINITE);
                let report = scaler.report().unwrap();
                assert_eq!((report.scale, report.skipped, report.with_nan), (4.0, 1, 0));
                assert_eq!((read(p.at.tensor().unwrap()).unwrap(), state(adam)), before);
                run(NAN);
                let report = scaler.report().unwrap();
                assert_eq!((report.scale, report.skipped, report.with_nan), (2.0, 2, 1));
                assert_eq!((read(p.at.tensor().unwrap()).unwrap(), state(adam)), before);
                // Growth after three good steps in a row, not before.
                for want in [2.0, 2.0, 4.0, 4.0] {
                    run(GOOD);
                    assert_eq!(scaler.current().unwrap(), want);
                }
                assert_ne!(read(p.at.tensor().unwrap()).unwrap(), before.0);
                // Down to the floor, which is told once each time it is met.
                for _ in 0..50 {
                    run(INFINITE);
                }
                let error = scaler.report().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Overflow, "{error}");
                let report = scaler.report().unwrap();
                assert_eq!((report.scale, report.skipped, report.at_floor), (0.5, 52, 47));
                run(GOOD);
                assert_eq!(scaler.report().unwrap().good_steps, 1);
            });
        }
    }
}

/// Four words with a flag lie beside four without.
#[test]
fn flags_in_a_view_are_read_where_they_lie() {
    for d in devices() {
        let words = Tensor::from_vec([1u32, 0, 0, 0, 0, 0, 0, 0], [8], &d).unwrap();
        for (at, moves) in [(0, false), (4, true)] {
            let p = point(&d);
            let sgd = Sgd::new(&p, 0.1).unwrap();
            let loss = p.at.tensor().unwrap().sum_all().unwrap();
            let flags = words.slice(0, at..at + 4).unwrap();
            sgd.step(&loss.backward().unwrap().skipped_by(Some(flags))).unwrap();
            let moved = read(p.at.tensor().unwrap()).unwrap()[0] != 1.0;
            assert_eq!(moved, moves, "{d:?} {at}");
        }
    }
}

#[test]
fn g10_a_schedule_waits_for_skipped_steps() {
    for d in devices() {
        scaled_run(&d, true, |run, _, adam, scaler| {
            let scheduler = Scheduler::new(Schedule::exponential(1.0, 0.5).unwrap(), adam).unwrap();
            for (x, position) in [(GOOD, 1), (INFINITE, 1), (NAN, 1), (GOOD, 2), (GOOD, 3)] {
                run(x);
                scheduler.step_unless_skipped(adam, scaler).unwrap();
                assert_eq!(scheduler.position(), position);
                assert_eq!(adam.lr(), 0.5f64.powi(position as i32));
            }
        });
    }
}

#[test]
fn scaling_by_a_power_of_two_changes_no_bit() {
    for d in devices() {
        let (x, labels) = (draw(1, &[12, 9], &d), draw(2, &[12, 3], &d).argmax(1).unwrap());
        let train = |scaled: bool, recorded: bool| {
            let model = Mlp::with_seed(&[9, 8, 3], 3, &d).unwrap();
            let adam = AdamW::new(&model, 1e-2).unwrap();
            let scaler = GradScaler::with(&d, 1024.0, 3, 1.0).unwrap();
            let work = |batch: &[Tensor]| {
                let loss = model.forward(&batch[0])?.cross_entropy(&batch[1])?;
                if scaled {
                    let gradients = scaler.unscale(scaler.scale(&loss)?.backward()?)?;
                    scaler.step(&adam, &gradients)?;
                    scaler.update()?;
                } else {
                    // The same operations but for the factor, which a product by 1 in its place keeps.
                    adam.step(&loss.try_mul(1.0)?.backward()?)?;
                }
                Ok(vec![loss])
            };
            let step = Step::new(&d, work);
            for _ in 0..8 {
                match recorded {
                    true => step.run(&[&x, &labels]).unwrap(),
                    false => work(&[x.clone(), labels.clone()]).unwrap(),
                };
            }
            read(&values(&model)).unwrap()
        };
        for recorded in [false, true] {
            assert_eq!(train(true, recorded), train(false, recorded), "{d:?} {recorded}");
        }
    }
}

#[test]
fn g07_f16_overflows_and_underflows_as_scaling_says() {
    for d in devices() {
        let gradient = |x: f32, w: f32, slope: f64, scale: Option<f64>| {
            let p = Point { at: Parameter::new(&[1, 1], vec![w]).unwrap() }.on(&d).unwrap();
            let x = Tensor::from_vec([x], [1, 1], &d).unwrap();
            let loss = autocast(|| x.matmul(p.at.tensor()?)?.sum_all()?.try_mul(slope)).unwrap();
            let at = p.at.tensor().unwrap();
            match scale {
                None => loss.backward().unwrap().wrt(at).unwrap().item::<f32>().unwrap(),
                Some(scale) => {
                    let scaler = GradScaler::with(&d, scale, 1, 1.0).unwrap();
                    let sgd = Sgd::new(&p, 0.1).unwrap();
                    let g = scaler.scale(&loss).unwrap().backward().unwrap();
                    let g = scaler.unscale(g).unwrap();
                    scaler.step(&sgd, &g).unwrap();
                    scaler.update().unwrap();
                    let value = g.wrt(at).unwrap().item::<f32>().unwrap();
                    let moved = at.item::<f32>().unwrap() != w;
                    let skipped = scaler.skipped().unwrap();
                    assert_eq!(moved, skipped == 0 && (w - 0.1 * value) != w, "{value}");
                    value
                }
            }
        };
        // 1e-8 is 0 in f16; times 2¹⁶ it is not.
        assert_eq!(gradient(1.0, 0.0, 1e-8, None), 0.0);
        let kept = gradient(1.0, 0.0, 1e-8, Some(65536.0));
        assert!(tolerance::of("once_halved").allows(kept.into(), 1e-8), "{kept}");
        // A product beyond 65504 is infinite, and so is the gradient that follows from it.
        let y = autocast(|| {
            let x = Tensor::from_vec([300.0f32], [1, 1], &d)?;
            x.matmul(&x)
        });
        assert_eq!(y.unwrap().cast(DType::F32).unwrap().item::<f32>().unwrap(), f32::INFINITY);
        assert!(gradient(1000.0, 0.0, 1.0, Some(1024.0)).is_infinite());
    }
}

#[test]
fn g09_what_runs_in_which_type() {
    for d in devices() {
        let (x, w) = (draw(1, &[4, 5], &d), draw(2, &[6, 5], &d));
        let half = |x: &Tensor| x.cast(DType::F16).unwrap();
        autocast(|| {
            let h = x.linear(&w, Some(&Tensor::zeros([6], &d).unwrap()), None).unwrap();
            assert_eq!(h.dtype(), DType::F16);
            assert_eq!(h.matmul(&w).unwrap().dtype(), DType::F16);
            assert_eq!(h.relu().unwrap().dtype(), DType::F16);
            for wide in [
                h.softmax(-1).unwrap(),
                h.log_softmax(-1).unwrap(),
                h.sum([0]).unwrap(),
                h.mean_all().unwrap(),
                h.exp().unwrap(),
                h.try_pow(2.0).unwrap(),
                h.mse(&half(&Tensor::zeros([4, 6], &d).unwrap())).unwrap(),
                h.cross_entropy(&Tensor::zeros([4, 6], &d).unwrap().argmax(1).unwrap()).unwrap(),
                h.try_add(&Tensor::ones([6], &d).unwrap()).unwrap(),
            ] {
                assert_eq!(wide.dtype(), DType::F32);
            }
            assert_eq!(full_precision(|| x.matmul(&w.t().unwrap())).unwrap().dtype(), DType::F32);
            // A weight that is spread over batches is cast once.
            let batches = draw(3, &[7, 4, 5], &d);
            assert_eq!(batches.matmul(&w.t().unwrap()).unwrap().shape(), [7, 4, 6]);
        });
        assert_eq!(x.matmul(&w.t().unwrap()).unwrap().dtype(), DType::F32);
        let mixed = half(&x).try_add(&x);
        assert_eq!(mixed.unwrap_err().kind(), ErrorKind::DType);
    }
}

#[test]
fn activations_take_half_the_memory() {
    // And a GPU that takes its kernels for real ones.
    let hardware = support::devices::device(support::devices::Mode::Hardware);
    let hardware = hardware.ok().map(|opened| opened.device.clone());
    for d in devices().into_iter().chain(hardware) {
        let model = Mlp::with_seed(&[64, 256, 256, 256, 8], 3, &d).unwrap();
        let x = draw(1, &[512, 64], &d);
        let labels = draw(2, &[512, 8], &d).argmax(1).unwrap();
        let kept = |mixed: bool| {
            let forward = || model.forward(&x).unwrap();
            let before = d.memory().role(Role::Activations);
            let y = if mixed { autocast(forward) } else { forward() };
            let after = d.memory().role(Role::Activations);
            drop(y);
            after - before
        };
        let (wide, half) = (kept(false), kept(true));
        let weights = 2 * (64 * 256 + 2 * 256 * 256 + 256 * 8 + 3 * 256 + 8) + 2 * 512 * 64;
        println!(
            "{d:?}: activations of a forward pass {wide} B, mixed {half} B, of which casts {weights} B"
        );
        assert!(half <= wide / 2 + weights + 16 * 1024, "{half} of {wide}");
        let planned = |mixed: bool| {
            let adam = AdamW::new(&model, 1e-3).unwrap();
            let step = Step::new(&d, |batch| {
                let loss = || model.forward(&batch[0])?.cross_entropy(&batch[1]);
                let loss = if mixed { autocast(loss)? } else { loss()? };
                adam.step(&loss.backward()?)?;
                Ok(vec![loss])
            });
            step.report(&[&x, &labels]).unwrap()
        };
        let (wide, half) = (planned(false), planned(true));
        println!("{d:?}: f32   {wide}\n{d:?}: mixed {half}");
        assert!(half.bytes < wide.bytes * 4 / 5, "{half} against {wide}");
        assert!(half.bytes_moved < wide.bytes_moved * 4 / 5, "{half} against {wide}");
    }
}

#[test]
fn digits_in_mixed_precision() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/mnist-10k");
    let (all, labels) = (
        Idx::open(root.join("t10k-images-idx3-ubyte.gz")).unwrap(),
        Idx::open(root.join("t10k-labels-idx1-ubyte.gz")).unwrap(),
    );
    let data = Dataset::from_idx(&all, &labels, 10).unwrap();
    let (train, test) = data.split(8000).unwrap();
    for d in devices() {
        let run = |mixed: bool| {
            let model = Mlp::with_seed(&[784, 64, 10], 3, &d).unwrap();
            let adam = AdamW::new(&model, 2e-3).unwrap();
            let scaler = GradScaler::new(&d).unwrap();
            let step = Step::new(&d, |batch| {
                let forward = || model.forward(&batch[0])?.cross_entropy(&batch[1]);
                if !mixed {
                    let loss = forward()?;
                    adam.step(&loss.backward()?)?;
                    return Ok(vec![loss]);
                }
                let loss = autocast(forward)?;
                let gradients = scaler.unscale(scaler.scale(&loss)?.backward()?)?;
                scaler.step(&adam, &gradients)?;
                scaler.update()?;
                Ok(vec![loss])
            });
            for epoch in 0..3 {
                for batch in train.batches(100, &d).unwrap().shuffle(7, epoch) {
                    let (x, labels) = batch.unwrap();
                    step.run(&[&x, &labels]).unwrap();
                }
            }
            let skipped = scaler.skipped().unwrap();
            let (mut right, mut count) = (0, 0);
            for batch in test.batches(500, &d).unwrap() {
                let (x, labels) = batch.unwrap();
                let logits = no_grad(|| model.forward(&x)).unwrap();
                right += wgrad::nn::count_correct(&logits, &labels).unwrap().item::<i32>().unwrap();
                count += labels.numel();
            }
            let share = f64::from(right) / count as f64;
            println!("{d:?} mixed {mixed}: {share} right, {skipped} steps skipped");
            share
        };
        let (full, mixed) = (run(false), run(true));
        assert!(full > 0.9 && (full - mixed).abs() <= 0.005, "{full} {mixed}");
    }
}
