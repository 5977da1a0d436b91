//! The cases with burn, as its users would write them: on the GPU through wgpu, autotuned and fused, and on the CPU with
//! flex.

use burn::module::{Module, Param};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{LayerNormConfig, Linear};
use burn::optim::{AdamWConfig, GradientsParams, SgdConfig};
#[cfg(feature = "wgpu")]
use burn::tensor::DeviceKind;
use burn::tensor::activation::{relu, softmax};
use burn::tensor::module::{attention, conv2d};
use burn::tensor::ops::{AttentionModuleOptions, ConvOptions};
use burn::tensor::{Device, Int, Tensor, TensorData, Transaction};
use harness::cases::{COLS, LAYERNORM_EPS, ROWS};
use harness::{AdamW, Attention, Conv2d, Mlp, Options, Peer, Prepared, Result, Warm};

struct Burn {
    device: Device,
}

#[derive(Module, Debug)]
struct Model {
    layers: Vec<Linear>,
}

impl Model {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let mut layers = self.layers.iter();
        let first = layers.next().map_or(x.clone(), |layer| layer.forward(x));
        layers.fold(first, |h, layer| layer.forward(relu(h)))
    }
}

/// Nothing but parameters.
#[derive(Module, Debug)]
struct Parameters {
    tensors: Vec<Param<Tensor<2>>>,
}

/// Read back: waits for all that was queued before.
fn last(t: Tensor<2>) -> f32 {
    let [rows, cols] = t.dims();
    t.slice([rows - 1..rows, cols - 1..cols]).into_scalar()
}

/// The sum of the last elements of the gradients, which come back in one go.
fn lasts<const N: usize>(loss: Tensor<4>, of: [&Tensor<4>; N]) -> Result<f32> {
    let mut gradients = loss.backward();
    let mut read = Transaction::default();
    for tensor in of {
        let gradient = tensor.grad_remove(&mut gradients).ok_or("a gradient is missing")?;
        let end = gradient.dims().map(|n| n - 1..n);
        read = read.register(gradient.slice(end));
    }
    Ok(read.try_execute()?.iter().flat_map(|data| data.iter::<f32>()).sum())
}

fn tensor1(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn tensor2(values: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn tensor4(values: Vec<f32>, shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

impl Peer for Burn {
    fn matmul(&self, n: usize, a: Vec<f32>, b: Vec<f32>) -> Prepared<'_> {
        let (a, b) = (tensor2(a, [n, n], &self.device), tensor2(b, [n, n], &self.device));
        Ok(Some(Box::new(move || Ok(last(a.clone().matmul(b.clone()))))))
    }

    fn mlp(&self, mlp: Mlp) -> Prepared<'_> {
        let device = self.device.clone().autodiff();
        let x = tensor2(mlp.x(), [mlp.batch, mlp.inputs()], &device);
        let labels: Vec<i32> = mlp.labels().into_iter().map(|label| label as i32).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [mlp.batch]), &device);
        let layer = |(inputs, outputs, w, b)| Linear {
            weight: Param::from_tensor(tensor2(w, [inputs, outputs], &device)),
            bias: Some(Param::from_tensor(tensor1(b, &device))),
        };
        let mut model = Some(Model { layers: mlp.layers().into_iter().map(layer).collect() });
        let cross_entropy = CrossEntropyLossConfig::new().init(&device);
        let mut sgd = SgdConfig::new().init();
        Ok(Some(Box::new(move || {
            let before = model.take().ok_or("the last step failed")?;
            let loss = cross_entropy.forward(before.forward(x.clone()), labels.clone());
            let gradients = GradientsParams::from_grads(loss.backward(), &before);
            model = Some(sgd.step(Mlp::LEARNING_RATE, before, gradients));
            Ok(loss.into_scalar())
        })))
    }

    fn softmax(&self, x: Vec<f32>) -> Prepared<'_> {
        let x = tensor2(x, [ROWS, COLS], &self.device);
        Ok(Some(Box::new(move || Ok(last(softmax(x.clone(), 1))))))
    }

    fn bias_add_relu(&self, x: Vec<f32>, bias: Vec<f32>) -> Prepared<'_> {
        let (x, bias) =
            (tensor2(x, [ROWS, COLS], &self.device), tensor2(bias, [1, COLS], &self.device));
        Ok(Some(Box::new(move || Ok(last(relu(x.clone() + bias.clone()))))))
    }

    fn layernorm(&self, x: Vec<f32>, gamma: Vec<f32>, beta: Vec<f32>) -> Prepared<'_> {
        let x = tensor2(x, [ROWS, COLS], &self.device);
        let mut norm = LayerNormConfig::new(COLS).with_epsilon(LAYERNORM_EPS).init(&self.device);
        norm.gamma = Param::from_tensor(tensor1(gamma, &self.device));
        norm.beta = Some(Param::from_tensor(tensor1(beta, &self.device)));
        Ok(Some(Box::new(move || Ok(last(norm.forward(x.clone()))))))
    }

    fn conv2d(&self, x: Vec<f32>, weight: Vec<f32>, dy: Vec<f32>) -> Prepared<'_> {
        let device = self.device.clone().autodiff();
        let x = tensor4(x, Conv2d::INPUT, &device).require_grad();
        let weight = tensor4(weight, Conv2d::WEIGHT, &device).require_grad();
        let dy = tensor4(dy, Conv2d::OUTPUT, &device);
        Ok(Some(Box::new(move || {
            let options = ConvOptions::new([1, 1], [Conv2d::PADDING; 2], [1, 1], 1);
            let y = conv2d(x.clone(), weight.clone(), None, options);
            // A backward pass starts from ones.
            lasts(y * dy.clone(), [&x, &weight])
        })))
    }

    fn attention(&self, qkv: [Vec<f32>; 3], dy: Vec<f32>) -> Prepared<'_> {
        let device = self.device.clone().autodiff();
        let [q, k, v] = qkv.map(|values| tensor4(values, Attention::SHAPE, &device).require_grad());
        let dy = tensor4(dy, Attention::SHAPE, &device);
        Ok(Some(Box::new(move || {
            let options = AttentionModuleOptions { is_causal: true, ..Default::default() };
            let y = attention(q.clone(), k.clone(), v.clone(), None, None, options);
            lasts(y * dy.clone(), [&q, &k, &v])
        })))
    }

    fn adamw(&self) -> Prepared<'_> {
        let device = self.device.clone().autodiff();
        let parameter = |i| Param::from_tensor(tensor2(AdamW::parameter(i), AdamW::SHAPE, &device));
        let gradient = |i| tensor2(AdamW::gradient(i), AdamW::SHAPE, &self.device);
        let mut model = Some(Parameters { tensors: (0..AdamW::TENSORS).map(parameter).collect() });
        let gradients: Vec<_> = (0..AdamW::TENSORS).map(gradient).collect();
        let mut adamw = AdamWConfig::new()
            .with_beta_1(AdamW::BETA1 as f32)
            .with_beta_2(AdamW::BETA2 as f32)
            .with_epsilon(AdamW::EPS as f32)
            .with_weight_decay(AdamW::WEIGHT_DECAY as f32)
            .init();
        Ok(Some(Box::new(move || {
            let before = model.take().ok_or("the last step failed")?;
            let mut given = GradientsParams::new();
            for (parameter, gradient) in before.tensors.iter().zip(&gradients) {
                given.register(parameter.id, gradient.clone());
            }
            let after = adamw.step(AdamW::LEARNING_RATE, before, given);
            let read = last(after.tensors[AdamW::TENSORS - 1].val());
            model = Some(after);
            Ok(read)
        })))
    }
}

const BACKENDS: &[&str] = &[
    #[cfg(feature = "wgpu")]
    "wgpu",
    #[cfg(feature = "flex")]
    "flex",
];

fn main() -> Result<()> {
    let choice = "--backend";
    let options = Options::parse(choice, BACKENDS)?;
    match options.backend.as_str() {
        #[cfg(feature = "wgpu")]
        "wgpu" => {
            let device = Device::wgpu(DeviceKind::DefaultDevice);
            let name = device.identity().map(|identity| identity.name);
            harness::run(&Burn { device }, "burn-wgpu", name, choice, Warm::UntilSteady, options)
        }
        #[cfg(feature = "flex")]
        "flex" => harness::run(
            &Burn { device: Device::flex() },
            "burn-flex",
            None,
            choice,
            Warm::Few,
            options,
        ),
        other => Err(format!("no backend {other}").into()),
    }
}
