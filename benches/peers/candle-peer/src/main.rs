//! The cases with candle on the CPU, as its users would write them.

use candle_core::backprop::GradStore;
use candle_core::{D, Device, Tensor, Var};
use candle_nn::{AdamW, LayerNorm, Linear, Module, Optimizer, ParamsAdamW, SGD, loss, ops};
use harness::cases::{COLS, LAYERNORM_EPS, ROWS};
use harness::{Attention, Conv2d, Mlp, Options, Peer, Prepared, Result, Warm};

const CPU: &Device = &Device::Cpu;

struct Candle;

fn last(t: &Tensor) -> Result<f32> {
    let (rows, cols) = t.dims2()?;
    Ok(t.narrow(0, rows - 1, 1)?.narrow(1, cols - 1, 1)?.flatten_all()?.squeeze(0)?.to_scalar()?)
}

/// The sum of the last elements of the gradients.
fn lasts(gradients: &GradStore, of: &[&Var]) -> Result<f32> {
    let mut sum = 0.0;
    for var in of {
        let gradient = gradients.get(var.as_tensor()).ok_or("a gradient is missing")?;
        sum += last(&gradient.flatten_to(D::Minus2)?)?;
    }
    Ok(sum)
}

impl Peer for Candle {
    fn matmul(&self, n: usize, a: Vec<f32>, b: Vec<f32>) -> Prepared<'_> {
        let (a, b) = (Tensor::from_vec(a, (n, n), CPU)?, Tensor::from_vec(b, (n, n), CPU)?);
        Ok(Some(Box::new(move || last(&a.matmul(&b)?))))
    }

    fn mlp(&self, mlp: Mlp) -> Prepared<'_> {
        let x = Tensor::from_vec(mlp.x(), (mlp.batch, mlp.inputs()), CPU)?;
        let labels = Tensor::from_vec(mlp.labels(), mlp.batch, CPU)?;
        let mut vars = Vec::new();
        let mut layers = Vec::new();
        for (inputs, outputs, w, b) in mlp.layers() {
            // Linear keeps its weights as [outputs, inputs].
            let w =
                Var::from_tensor(&Tensor::from_vec(w, (inputs, outputs), CPU)?.t()?.contiguous()?)?;
            let b = Var::from_vec(b, outputs, CPU)?;
            layers.push(Linear::new(w.as_tensor().clone(), Some(b.as_tensor().clone())));
            vars.extend([w, b]);
        }
        let mut sgd = SGD::new(vars, Mlp::LEARNING_RATE)?;
        Ok(Some(Box::new(move || {
            let mut h = layers[0].forward(&x)?;
            for layer in &layers[1..] {
                h = layer.forward(&h.relu()?)?;
            }
            let loss = loss::cross_entropy(&h, &labels)?;
            sgd.backward_step(&loss)?;
            Ok(loss.to_scalar()?)
        })))
    }

    fn softmax(&self, x: Vec<f32>) -> Prepared<'_> {
        let x = Tensor::from_vec(x, (ROWS, COLS), CPU)?;
        Ok(Some(Box::new(move || last(&ops::softmax_last_dim(&x)?))))
    }

    fn bias_add_relu(&self, x: Vec<f32>, bias: Vec<f32>) -> Prepared<'_> {
        let (x, bias) =
            (Tensor::from_vec(x, (ROWS, COLS), CPU)?, Tensor::from_vec(bias, COLS, CPU)?);
        Ok(Some(Box::new(move || last(&x.broadcast_add(&bias)?.relu()?))))
    }

    fn layernorm(&self, x: Vec<f32>, gamma: Vec<f32>, beta: Vec<f32>) -> Prepared<'_> {
        let x = Tensor::from_vec(x, (ROWS, COLS), CPU)?;
        let (gamma, beta) =
            (Tensor::from_vec(gamma, COLS, CPU)?, Tensor::from_vec(beta, COLS, CPU)?);
        let norm = LayerNorm::new(gamma, beta, LAYERNORM_EPS);
        Ok(Some(Box::new(move || last(&norm.forward(&x)?))))
    }

    fn conv2d(&self, x: Vec<f32>, weight: Vec<f32>, dy: Vec<f32>) -> Prepared<'_> {
        let x = Var::from_vec(x, &Conv2d::INPUT, CPU)?;
        let weight = Var::from_vec(weight, &Conv2d::WEIGHT, CPU)?;
        let dy = Tensor::from_vec(dy, &Conv2d::OUTPUT, CPU)?;
        Ok(Some(Box::new(move || {
            let y = x.conv2d(&weight, Conv2d::PADDING, 1, 1, 1)?;
            // A backward pass starts from ones.
            let gradients = y.mul(&dy)?.backward()?;
            lasts(&gradients, &[&x, &weight])
        })))
    }

    /// As models in candle write it: `sdpa`, `flash_attn` and `softmax_last_dim` have no gradients.
    fn attention(&self, [q, k, v]: [Vec<f32>; 3], dy: Vec<f32>) -> Prepared<'_> {
        let var = |values| Var::from_vec(values, &Attention::SHAPE, CPU);
        let (q, k, v) = (var(q)?, var(k)?, var(v)?);
        let dy = Tensor::from_vec(dy, &Attention::SHAPE, CPU)?;
        let length = Attention::SHAPE[2];
        let hidden = |i| (0..length).map(move |j| if j > i { f32::NEG_INFINITY } else { 0.0 });
        let mask: Vec<f32> = (0..length).flat_map(hidden).collect();
        let mask = Tensor::from_vec(mask, (length, length), CPU)?;
        Ok(Some(Box::new(move || {
            let scores = (q.matmul(&k.t()?)? * Attention::scale())?.broadcast_add(&mask)?;
            let y = ops::softmax(&scores, D::Minus1)?.matmul(&v)?;
            let gradients = y.mul(&dy)?.backward()?;
            lasts(&gradients, &[&q, &k, &v])
        })))
    }

    fn adamw(&self) -> Prepared<'_> {
        use harness::AdamW as Case;
        let tensor = |values| Tensor::from_vec(values, &Case::SHAPE, CPU);
        // A store of gradients comes from a backward pass only, so an empty one starts from a lone scalar.
        let mut gradients = Var::new(0f32, CPU)?.backward()?;
        let mut vars = Vec::new();
        for i in 0..Case::TENSORS {
            let var = Var::from_tensor(&tensor(Case::parameter(i))?)?;
            gradients.insert(var.as_tensor(), tensor(Case::gradient(i))?);
            vars.push(var);
        }
        let last_var = vars[Case::TENSORS - 1].clone();
        let params = ParamsAdamW {
            lr: Case::LEARNING_RATE,
            beta1: Case::BETA1,
            beta2: Case::BETA2,
            eps: Case::EPS,
            weight_decay: Case::WEIGHT_DECAY,
        };
        let mut adamw = AdamW::new(vars, params)?;
        Ok(Some(Box::new(move || {
            adamw.step(&gradients)?;
            last(last_var.as_tensor())
        })))
    }
}

fn main() -> Result<()> {
    let choice = "--backend";
    let options = Options::parse(choice, &["cpu"])?;
    harness::run(&Candle, "candle-cpu", None, choice, Warm::Few, options)
}
