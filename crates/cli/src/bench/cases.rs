//! The cases: what is done, how much work it is, and how to do it once and wait for it.

use wgrad::nn::Parameter;
use wgrad::prelude::*;

/// Does a case's work once, and returns when it is done.
pub type Run = Box<dyn FnMut() -> Result<()>>;

/// One case of the suite.
pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    /// Arithmetic operations, a multiply-add counting two.
    pub flops: f64,
    /// Bytes that must at least be read and written.
    pub bytes: f64,
    /// `None` for the one that needs fresh processes.
    pub make: Option<fn(&Device) -> Result<Run>>,
}

const fn product(name: &'static str, n: f64, make: fn(&Device) -> Result<Run>) -> Case {
    let what = "A B of square f32 matrices";
    Case { name, what, flops: 2.0 * n * n * n, bytes: 12.0 * n * n, make: Some(make) }
}

/// Multiply-adds of a step count thrice, less the gradient that the input of the first layer does not need.
const fn step_flops(batch: f64, sizes: &[f64]) -> f64 {
    let (mut total, mut i) = (0.0, 0);
    while i + 1 < sizes.len() {
        let layer = 2.0 * batch * sizes[i] * sizes[i + 1];
        total += layer * if i == 0 { 2.0 } else { 3.0 };
        i += 1;
    }
    total
}

const ROWS: usize = 4096;
const COLS: usize = 1024;
const ELEMENTS: f64 = (ROWS * COLS) as f64;

/// The suite, in the order of the table.
pub const CASES: &[Case] = &[
    product("matmul_256", 256.0, |d| matmul(256, d)),
    product("matmul_512", 512.0, |d| matmul(512, d)),
    product("matmul_1024", 1024.0, |d| matmul(1024, d)),
    product("matmul_2048", 2048.0, |d| matmul(2048, d)),
    Case {
        name: "mlp_train_step",
        what: "784-512-512-10, ReLU, batch 256, cross-entropy, SGD, loss read",
        flops: step_flops(256.0, &[784.0, 512.0, 512.0, 10.0]),
        bytes: 0.0,
        make: Some(mlp_train_step),
    },
    Case {
        name: "mlp_train_step_eager",
        what: "the same, one operation after the other",
        flops: step_flops(256.0, &[784.0, 512.0, 512.0, 10.0]),
        bytes: 0.0,
        make: Some(|d| eager_step(256, &[784, 512, 512, 10], d)),
    },
    Case {
        name: "mlp_small_step",
        what: "64-128-10, ReLU, batch 64, cross-entropy, SGD, loss read",
        flops: step_flops(64.0, &[64.0, 128.0, 10.0]),
        bytes: 0.0,
        make: Some(|d| recorded_step(64, &[64, 128, 10], d)),
    },
    Case {
        name: "mlp_small_step_eager",
        what: "the same, one operation after the other",
        flops: step_flops(64.0, &[64.0, 128.0, 10.0]),
        bytes: 0.0,
        make: Some(|d| eager_step(64, &[64, 128, 10], d)),
    },
    Case {
        name: "conv2d_3x3",
        what: "32 -> 64 channels of 28 x 28, padding 1, batch 32: forward and both gradients",
        flops: 3.0 * 2.0 * 32.0 * 784.0 * 64.0 * 32.0 * 9.0,
        bytes: 0.0,
        make: Some(conv2d_3x3),
    },
    Case {
        name: "attention_causal",
        what: "8 sequences of 256, 8 heads of 64, causal: forward and all gradients",
        // Two products forward, four backward; the half that is masked is not left out.
        flops: 6.0 * 2.0 * 64.0 * 256.0 * 256.0 * 64.0,
        bytes: 0.0,
        make: Some(attention_causal),
    },
    Case {
        name: "softmax_rows",
        what: "softmax of 4096 x 1024 along the last axis",
        flops: 0.0,
        bytes: 8.0 * ELEMENTS,
        make: Some(|d| on_rows(d, |x, _| x.softmax(1))),
    },
    Case {
        name: "layernorm_rows",
        what: "layer norm of 4096 x 1024 along the last axis, with weight and bias",
        flops: 0.0,
        bytes: 8.0 * ELEMENTS,
        make: Some(|d| on_rows(d, |x, b| x.layer_norm(Some(b), Some(b), 1e-5))),
    },
    Case {
        name: "bias_add_relu",
        what: "relu(x + b), 4096 x 1024 + 1024",
        flops: 0.0,
        bytes: 8.0 * ELEMENTS,
        make: Some(bias_add_relu),
    },
    Case {
        name: "bias_add_relu_eager",
        what: "the same in two operations",
        flops: 0.0,
        bytes: 8.0 * ELEMENTS,
        make: Some(|d| on_rows(d, |x, b| x.try_add(b)?.relu())),
    },
    Case {
        name: "adamw_step",
        what: "AdamW, 4 million parameters in 60 tensors",
        flops: 0.0,
        bytes: 28.0 * (TENSORS * EACH) as f64,
        make: Some(adamw_step),
    },
    Case {
        name: "first_step_ms",
        what: "a fresh process from its start to the end of mlp_train_step, shader caches off",
        flops: 0.0,
        bytes: 0.0,
        make: None,
    },
];

/// Waits by reading one element.
fn finish(y: &Tensor) -> Result<()> {
    let mut one = y.clone();
    for axis in 0..y.rank() {
        one = one.slice(axis as isize, 0..1)?;
    }
    std::hint::black_box(one.item::<f32>()?);
    Ok(())
}

fn uniform(shape: &[usize], device: &Device) -> Result<Tensor> {
    Tensor::uniform(shape, -1.0, 1.0, device)
}

fn matmul(n: usize, device: &Device) -> Result<Run> {
    let (a, b) = (uniform(&[n, n], device)?, uniform(&[n, n], device)?);
    Ok(Box::new(move || finish(&a.matmul(&b)?)))
}

fn conv2d_3x3(device: &Device) -> Result<Run> {
    let x = uniform(&[32, 32, 28, 28], device)?.requiring_grad();
    let w = uniform(&[64, 32, 3, 3], device)?.requiring_grad();
    let dy = uniform(&[32, 64, 28, 28], device)?;
    let options = Conv2dOptions::new().padding(1);
    Ok(Box::new(move || {
        let gradients = x.conv2d(&w, None, &options)?.backward_with(&dy)?;
        finish(gradients.wrt(&x)?)?;
        finish(gradients.wrt(&w)?)
    }))
}

fn attention_causal(device: &Device) -> Result<Run> {
    let draw = || uniform(&[8, 8, 256, 64], device);
    let (q, k, v) = (draw()?.requiring_grad(), draw()?.requiring_grad(), draw()?.requiring_grad());
    let dy = draw()?;
    let options = AttentionOptions { causal: true, ..AttentionOptions::default() };
    Ok(Box::new(move || {
        let gradients = q.attention(&k, &v, options)?.backward_with(&dy)?;
        for x in [&q, &k, &v] {
            finish(gradients.wrt(x)?)?;
        }
        Ok(())
    }))
}

fn on_rows(device: &Device, f: fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Run> {
    let (x, b) = (uniform(&[ROWS, COLS], device)?, uniform(&[COLS], device)?);
    Ok(Box::new(move || finish(&f(&x, &b)?)))
}

/// Recorded once, so that both operations become one kernel; x is captured and not copied at each run.
fn bias_add_relu(device: &Device) -> Result<Run> {
    let (x, b) = (uniform(&[ROWS, COLS], device)?, uniform(&[COLS], device)?);
    let step = Step::new(device, move |_| Ok(vec![x.try_add(&b)?.relu()?]));
    Ok(Box::new(move || finish(&step.run(&[])?[0])))
}

/// A batch of noise with labels.
fn batch(rows: usize, sizes: &[usize], device: &Device) -> Result<(Tensor, Tensor)> {
    let classes = sizes.last().copied().unwrap_or(1);
    let labels: Vec<i32> = (0..rows).map(|i| (i * 7 % classes) as i32).collect();
    let x: Vec<f32> = (0..rows * sizes[0]).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    Ok((Tensor::from_vec(x, [rows, sizes[0]], device)?, Tensor::from_vec(labels, [rows], device)?))
}

fn eager_step(rows: usize, sizes: &[usize], device: &Device) -> Result<Run> {
    let (x, labels) = batch(rows, sizes, device)?;
    let model = Mlp::new(sizes, device)?;
    let sgd = Sgd::new(&model, 0.01)?;
    Ok(Box::new(move || {
        let loss = model.forward(&x)?.cross_entropy(&labels)?;
        sgd.step(&loss.backward()?)?;
        std::hint::black_box(loss.item::<f32>()?);
        Ok(())
    }))
}

fn recorded_step(rows: usize, sizes: &[usize], device: &Device) -> Result<Run> {
    let (x, labels) = batch(rows, sizes, device)?;
    let model = Mlp::new(sizes, device)?;
    let sgd = Sgd::new(&model, 0.01)?;
    let step = Step::new(device, move |batch| {
        let loss = model.forward(&batch[0])?.cross_entropy(&batch[1])?;
        sgd.step(&loss.backward()?)?;
        Ok(vec![loss])
    });
    log::info!("step {sizes:?}: {}", step.report(&[&x, &labels])?);
    Ok(Box::new(move || {
        std::hint::black_box(step.run(&[&x, &labels])?[0].item::<f32>()?);
        Ok(())
    }))
}

/// The large step, which `first_step_ms` uses too.
pub fn mlp_train_step(device: &Device) -> Result<Run> {
    recorded_step(256, &[784, 512, 512, 10], device)
}

const TENSORS: usize = 60;
const EACH: usize = 66_668;

/// Parameters without a layer.
struct Plain {
    tensors: Vec<Parameter>,
}
wgrad::prelude::module!(Plain { tensors });

fn adamw_step(device: &Device) -> Result<Run> {
    let tensors = (0..TENSORS).map(|_| Parameter::new(&[EACH], vec![0.5; EACH]));
    let model = Plain { tensors: tensors.collect::<Result<_>>()? }.on(device)?;
    let adamw = AdamW::new(&model, 1e-3)?;
    let mut loss = Tensor::scalar(0.0f32, device)?;
    for parameter in &model.tensors {
        loss = loss.try_add(&parameter.tensor()?.square()?.sum_all()?)?;
    }
    let gradients = loss.backward()?;
    Ok(Box::new(move || {
        adamw.step(&gradients)?;
        finish(model.tensors[0].tensor()?)
    }))
}
