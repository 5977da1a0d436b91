//! Part 4 of the course: one layer, forward and backward, written three ways. First as loops over
//! numbers, then as matrix operations on the CPU, then the same matrix operations on the GPU. The
//! numbers stay the same; the times do not.
//!
//! ```text
//! cargo run --release --example 04_loops_to_gpu
//! cargo run --example 04_loops_to_gpu -- --size small     # a debug build finishes too
//! ```

use std::time::{Duration, Instant};
use wgrad::prelude::*;

/// The sizes of the layer: its batch, inputs and outputs.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    inputs: usize,
    outputs: usize,
}

/// What goes in, as plain numbers, row after row: inputs X `[batch, inputs]`, weight W
/// `[outputs, inputs]`, bias b `[outputs]`, and how the loss changes with the output, dA
/// `[batch, outputs]`.
struct Given {
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    da: Vec<f32>,
}

/// What comes out: the activations A `[batch, outputs]`, and the gradients of W, b and X.
struct Found {
    a: Vec<f32>,
    dw: Vec<f32>,
    db: Vec<f32>,
    dx: Vec<f32>,
}

// ---- 1. loops ------------------------------------------------------------------------------------

/// The layer as one would explain it: `z = Σ x w + b` for one example and one output, `a = σ(z)`; then
/// `δ = ∂loss/∂z`, and each gradient is a sum over whatever used that number.
fn loops(s: Sizes, given: &Given) -> Found {
    let Given { x, w, b, da } = given;
    let mut a = vec![0.0f32; s.batch * s.outputs];
    for i in 0..s.batch {
        for j in 0..s.outputs {
            let mut z = 0.0;
            for k in 0..s.inputs {
                z += x[i * s.inputs + k] * w[j * s.inputs + k];
            }
            a[i * s.outputs + j] = sigmoid(z + b[j]);
        }
    }
    // σ'(z) = a (1 - a), so the output is all that backward needs of the forward direction.
    let delta: Vec<f32> = da.iter().zip(&a).map(|(da, a)| da * a * (1.0 - a)).collect();
    let mut dw = vec![0.0f32; s.outputs * s.inputs];
    for j in 0..s.outputs {
        for k in 0..s.inputs {
            let mut sum = 0.0;
            for i in 0..s.batch {
                sum += delta[i * s.outputs + j] * x[i * s.inputs + k];
            }
            dw[j * s.inputs + k] = sum;
        }
    }
    let mut db = vec![0.0f32; s.outputs];
    for j in 0..s.outputs {
        for i in 0..s.batch {
            db[j] += delta[i * s.outputs + j];
        }
    }
    let mut dx = vec![0.0f32; s.batch * s.inputs];
    for i in 0..s.batch {
        for k in 0..s.inputs {
            let mut sum = 0.0;
            for j in 0..s.outputs {
                sum += delta[i * s.outputs + j] * w[j * s.inputs + k];
            }
            dx[i * s.inputs + k] = sum;
        }
    }
    Found { a, dw, db, dx }
}

fn sigmoid(z: f32) -> f32 {
    1.0 / (1.0 + (-z).exp())
}

// ---- 2. matrix operations ------------------------------------------------------------------------

/// The inputs on a device: X, W, b, dA.
struct Operands {
    x: Tensor,
    w: Tensor,
    b: Tensor,
    da: Tensor,
}

impl Operands {
    fn on(device: &Device, s: Sizes, given: &Given) -> Result<Operands> {
        Ok(Operands {
            x: Tensor::from_vec(&given.x, [s.batch, s.inputs], device)?,
            w: Tensor::from_vec(&given.w, [s.outputs, s.inputs], device)?,
            b: Tensor::from_vec(&given.b, [s.outputs], device)?,
            da: Tensor::from_vec(&given.da, [s.batch, s.outputs], device)?,
        })
    }
}

/// The same layer without an index: every loop above is now part of one operation. A, dW, db, dX.
fn matrices(o: &Operands) -> Result<[Tensor; 4]> {
    let Operands { x, w, b, da } = o;
    let z = x.matmul(&w.t()?)?.try_add(b)?; //      Z = X Wᵀ + b
    let a = z.sigmoid()?; //                        A = σ(Z)
    let slope = a.try_mul(&(1.0 - &a))?;
    let delta = da.try_mul(&slope)?; //             Δ = dA ⊙ A ⊙ (1 − A)
    let dw = delta.t()?.matmul(x)?; //              dW = Δᵀ X
    let db = delta.sum([0])?; //                    db = Σ δ over the batch
    let dx = delta.matmul(w)?; //                   dX = Δ W
    Ok([a, dw, db, dx])
}

fn read([a, dw, db, dx]: &[Tensor; 4]) -> Result<Found> {
    Ok(Found { a: a.to_vec()?, dw: dw.to_vec()?, db: db.to_vec()?, dx: dx.to_vec()? })
}

// ---- 3. and what training does -------------------------------------------------------------------

/// The layer as in a model: product, bias and activation in one operation, and the gradients by
/// `backward`, which knows the rules spelled out above.
fn layer(o: &Operands) -> Result<[Tensor; 4]> {
    let (x, w, b) = (o.x.requiring_grad(), o.w.requiring_grad(), o.b.requiring_grad());
    let a = x.linear(&w, Some(&b), None)?.sigmoid()?;
    let gradients = a.backward_with(&o.da)?;
    let of = |leaf: &Tensor| gradients.wrt(leaf).cloned();
    Ok([a.detach(), of(&w)?, of(&b)?, of(&x)?])
}

// ---- equal numbers -------------------------------------------------------------------------------

/// Demands equal numbers, up to rounding. A sum of n products may be formed in any order, and each
/// order rounds differently: by about √n roundings of 2⁻²³, relative to the sum of the absolute
/// products, which is at most n times the largest. 4 more for what comes before and after the sum.
fn assert_close(s: Sizes, got: &Found, want: &Found, given: &Given) {
    let largest = |values: &[f32]| values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let (x, w) = (largest(&given.x), largest(&given.w));
    let delta = largest(&given.da) / 4.0; // a (1 - a) is at most 1/4
    for (name, got, want, terms, product) in [
        ("A", &got.a, &want.a, s.inputs, x * w / 4.0), // σ is flatter than 1/4 everywhere
        ("dW", &got.dw, &want.dw, s.batch, delta * x),
        ("db", &got.db, &want.db, s.batch, delta),
        ("dX", &got.dx, &want.dx, s.outputs, delta * w),
    ] {
        let n = terms as f32;
        let allowed = (4.0 + n.sqrt()) * f32::EPSILON * n * product;
        assert_eq!(got.len(), want.len(), "{name}");
        let mut most = 0.0f32;
        for (got, want) in got.iter().zip(want) {
            let off = (got - want).abs();
            // Written so that a NaN fails.
            assert!(!matches!(off.partial_cmp(&allowed), None | Some(std::cmp::Ordering::Greater)));
            most = most.max(off);
        }
        println!("    {name:<2} differs by at most {most:.1e}, allowed {allowed:.1e}");
    }
}

// ---- times ---------------------------------------------------------------------------------------

/// The median time of `runs` runs, after one that warms up: it compiles kernels and fills the memory
/// pool, which in training happens once.
fn median(runs: usize, mut run: impl FnMut() -> Result<()>) -> Result<Duration> {
    run()?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times[runs / 2])
}

/// The same on a device. Reading the small db at the end waits for everything, since a device works
/// in order; without that one would time the writing down of work rather than the work.
fn timed(run: impl Fn() -> Result<[Tensor; 4]>) -> Result<Duration> {
    median(9, || {
        let [.., db, _dx] = &run()?;
        db.to_vec::<f32>()?;
        Ok(())
    })
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let s = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["--size", "full"] => Sizes { batch: 256, inputs: 784, outputs: 512 },
        ["--size", "small"] => Sizes { batch: 32, inputs: 96, outputs: 64 },
        _ => {
            eprintln!("usage: 04_loops_to_gpu [--size small|full]");
            std::process::exit(2);
        }
    };
    let products = 3 * s.batch * s.inputs * s.outputs;
    println!(
        "one layer, {} examples, {} inputs, {} outputs: {:.1} million multiply-adds\n",
        s.batch,
        s.inputs,
        s.outputs,
        products as f64 / 1e6
    );

    let cpu = wgrad::cpu();
    cpu.seed(1)?;
    let random = |shape: [usize; 2], bound: f32| -> Result<Vec<f32>> {
        Tensor::uniform(shape, -bound, bound, &cpu)?.to_vec()
    };
    let given = Given {
        x: random([s.batch, s.inputs], 1.0)?,
        w: random([s.outputs, s.inputs], 1.0 / (s.inputs as f32).sqrt())?,
        b: random([1, s.outputs], 0.1)?,
        da: random([s.batch, s.outputs], 1.0)?,
    };

    let want = loops(s, &given);
    let on_cpu = Operands::on(&cpu, s, &given)?;
    println!("matrix operations on the CPU against the loops:");
    assert_close(s, &read(&matrices(&on_cpu)?)?, &want, &given);
    println!("linear and backward on the CPU against the loops:");
    assert_close(s, &read(&layer(&on_cpu)?)?, &want, &given);

    let (device, why_no_gpu) = wgrad::best_device();
    let on_gpu = match device.info().kind {
        DeviceKind::Cpu => None,
        _ => Some(Operands::on(&device, s, &given)?),
    };
    if let Some(operands) = &on_gpu {
        println!("matrix operations on the GPU against the loops:");
        assert_close(s, &read(&matrices(operands)?)?, &want, &given);
        println!("linear and backward on the GPU against the loops:");
        assert_close(s, &read(&layer(operands)?)?, &want, &given);
    }

    let slow = median(3, || {
        std::hint::black_box(loops(s, &given));
        Ok(())
    })?;
    let mut rows = vec![
        ("loops on the CPU", Some(slow)),
        ("matrix operations on the CPU", Some(timed(|| matrices(&on_cpu))?)),
        ("linear and backward on the CPU", Some(timed(|| layer(&on_cpu))?)),
    ];
    match &on_gpu {
        Some(operands) => rows.extend([
            ("matrix operations on the GPU", Some(timed(|| matrices(operands))?)),
            ("linear and backward on the GPU", Some(timed(|| layer(operands))?)),
        ]),
        None => rows.push(("matrix operations on the GPU", None)),
    }

    println!("\nforward and backward, median of several warm runs:");
    println!("{:<32} {:>10} {:>9} {:>9}", "", "ms", "times", "GFLOP/s");
    for (name, time) in rows {
        let Some(time) = time else {
            println!("{name:<32} {:>10}", "missing");
            continue;
        };
        let seconds = time.as_secs_f64();
        println!(
            "{name:<32} {:>10.3} {:>8.1}x {:>9.2}",
            seconds * 1e3,
            slow.as_secs_f64() / seconds,
            2.0 * products as f64 / seconds / 1e9
        );
    }
    match why_no_gpu {
        Some(why) => println!("\nno GPU row: {why}"),
        None => println!("\nthe GPU is {}", device.info()),
    }
    if device.info().kind == DeviceKind::SoftwareGpu {
        println!(
            "This one is software: its kernels run on the CPU, and only the code path is a GPU's."
        );
    }
    Ok(())
}
