//! Blocks that backward computes again: the same gradients to the bit, and less memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::{
    process::ExitCode,
    sync::{Mutex, PoisonError},
};
use support::{
    compare::bits,
    devices::{self, Mode},
    inputs::{floats, read},
    runner, tolerance,
};
use wgrad::{Role, Step, prelude::*, recompute};

/// A fact: its name, and the check on a device.
type Fact = (&'static str, fn(&Device));

const FACTS: &[Fact] = &[
    ("same_gradients_to_the_bit", |d| {
        let x = draw(1, &[33, 20], d);
        let labels =
            Tensor::from_vec((0..33).map(|i| i % 7).collect::<Vec<i32>>(), [33], d).unwrap();
        let gradients = |again: bool| {
            let model = Deep::new(3, 20, 7, d);
            let loss = model.forward(&x, again).unwrap().cross_entropy(&labels).unwrap();
            let g = loss.backward().unwrap();
            let mut all = vec![read(&loss).unwrap()];
            for (_, p) in model.named_parameters() {
                all.push(read(g.wrt(p.tensor().unwrap()).unwrap()).unwrap());
            }
            all
        };
        same(&gradients(true), &gradients(false));
    }),
    ("loss_views_and_constants_inside", |d| {
        let w = draw(2, &[6, 5], d).requiring_grad();
        let x = draw(3, &[4, 6], d);
        let labels = Tensor::from_vec([0i32, 4, 2, 2], [4], d).unwrap();
        let loss = || {
            let z =
                x.matmul(&w)?.t()?.try_mul(&Tensor::arange(0.0, 4.0, 1.0, DType::F32, d)?)?.t()?;
            // What is detached gets no gradient, also when run again.
            z.try_add(&z.detach().square()?)?.slice(1, 0..5)?.cross_entropy(&labels)
        };
        let gradient =
            |loss: Tensor| vec![read(loss.backward().unwrap().wrt(&w).unwrap()).unwrap()];
        same(&gradient(recompute(loss).unwrap()), &gradient(loss().unwrap()));
    }),
    ("random_numbers_are_kept", |d| {
        let w = draw(4, &[64], d).requiring_grad();
        d.seed(9).unwrap();
        let y = recompute(|| w.try_mul(&Tensor::uniform([64], 0.0, 1.0, d)?)?.square()).unwrap();
        let got = read(y.sum_all().unwrap().backward().unwrap().wrt(&w).unwrap()).unwrap();
        d.seed(9).unwrap();
        let noise = Tensor::uniform([64], 0.0, 1.0, d).unwrap();
        let plain = w.try_mul(&noise).unwrap().square().unwrap();
        let want = read(plain.sum_all().unwrap().backward().unwrap().wrt(&w).unwrap()).unwrap();
        same(&[got], &[want]);
    }),
    ("dropout_batch_norm_and_halves_run_alike_again", |d| {
        let images = draw(6, &[5, 3, 6, 6], d);
        let all = |again: bool| {
            d.seed(11).unwrap();
            let mut init = Init::new(4);
            let block = Sequential::new()
                .then(Conv2d::new(3, 4, 3, &mut init).unwrap().padding(1))
                .then(BatchNorm2d::new(4).unwrap())
                .then(Activation::Gelu)
                .then(Dropout::new(0.4).unwrap());
            let head =
                Sequential::new().then(Flatten).then(Linear::new(144, 3, &mut init).unwrap());
            let net = Sequential::new().then(block).then(head);
            let net = Pair(if again { Sequential::new().then(Recomputed::new(net)) } else { net });
            let net = net.on(d).unwrap();
            let loss = autocast(|| net.0.forward(&images)?.square()?.mean_all()).unwrap();
            let g = loss.backward().unwrap();
            let mut seen = vec![read(&loss).unwrap()];
            for (_, p) in net.named_parameters() {
                seen.push(read(g.wrt(p.tensor().unwrap()).unwrap()).unwrap());
            }
            for (_, b) in net.named_buffers() {
                seen.push(read(b.tensor().unwrap()).unwrap());
            }
            // The stream has moved as far, too.
            seen.push(read(&Tensor::uniform([4], 0.0, 1.0, d).unwrap()).unwrap());
            seen
        };
        same(&all(true), &all(false));
    }),
    ("changes_outside_are_made_once", |d| {
        let mean = Tensor::zeros([3], d).unwrap();
        let w = Tensor::ones([3], d).unwrap().requiring_grad();
        let y = recompute(|| {
            let y = w.square()?;
            mean.assign(&mean.try_add(&y.detach())?)?;
            y.exp()
        })
        .unwrap();
        y.sum_all().unwrap().backward().unwrap();
        assert_eq!(read(&mean).unwrap(), [1.0; 3]);
    }),
    ("what_cannot_run_again_says_so", |d| {
        let w = Tensor::ones([3], d).unwrap().requiring_grad();
        let kind = |e: Result<Tensor>| e.map(|_| ()).map_err(|e| e.kind());
        let inside = recompute(|| {
            let y = w.square()?;
            y.detach().assign(&w.detach())?;
            y.exp()
        });
        assert_eq!(kind(inside), Err(ErrorKind::Graph));
        let outside = Tensor::ones([3], d).unwrap();
        let y = recompute(|| w.try_mul(&outside)?.exp()).unwrap().sum_all().unwrap();
        outside.assign(&w.detach().try_mul(2.0).unwrap()).unwrap();
        assert_eq!(y.backward().map(|_| ()).map_err(|e| e.kind()), Err(ErrorKind::Graph));
        // The next block is not harmed, and neither is one whose closure fails.
        assert!(recompute(|| w.reshape([7])).is_err());
        assert!(recompute(|| w.exp()).unwrap().sum_all().unwrap().backward().is_ok());
    }),
    ("nothing_to_compute", |d| {
        let w = Tensor::ones([0, 3], d).unwrap().requiring_grad();
        let y = recompute(|| w.exp()?.sum_all()).unwrap();
        assert_eq!(y.backward().unwrap().wrt(&w).unwrap().shape(), [0, 3]);
        let same = recompute(|| Ok(w.clone())).unwrap();
        assert!(same.same(&w));
        let off = no_grad(|| recompute(|| w.exp())).unwrap();
        assert!(!off.requires_grad());
        // The block's own result as the end of backward, and a block within a block.
        let v = Tensor::ones([], d).unwrap().requiring_grad();
        let y = recompute(|| recompute(|| v.exp())?.square()).unwrap();
        let e2 = read(y.backward().unwrap().wrt(&v).unwrap()).unwrap()[0];
        assert!(tolerance::of("chain").allows(e2, 2.0 * 2f64.exp()), "{e2}");
    }),
    ("long_chains_drop_without_recursion", |d| {
        let mut x = Tensor::ones([1], d).unwrap().requiring_grad();
        for _ in 0..20_000 {
            x = recompute(|| x.neg()).unwrap();
        }
        x.sum_all().unwrap().backward().unwrap();
    }),
    ("less_memory", |d| {
        // Eight blocks of width 256 over 512 rows: each keeps its input (512 KiB) and otherwise nothing.
        let x = draw(5, &[512, 256], d);
        let held = |again: bool| {
            let model = Deep::new(8, 256, 4, d);
            let before = d.memory().role(Role::Activations);
            let y = model.forward(&x, again).unwrap();
            d.sync().unwrap();
            let held = d.memory().role(Role::Activations) - before;
            drop(y);
            held
        };
        let (with, without) = (held(true), held(false));
        assert!(with * 2 < without, "{with} bytes kept with recompute, {without} without");
        let planned = |again: bool| {
            let model = Deep::new(8, 256, 4, d);
            let step = Step::new(d, |x| {
                let g = model.forward(&x[0], again)?.square()?.mean_all()?.backward()?;
                let first = model.named_parameters()[0].1.clone();
                Ok(vec![g.wrt(first.tensor()?)?.clone()])
            });
            let bytes = step.report(&[&x]).unwrap().bytes;
            (bytes, vec![read(&step.run(&[&x]).unwrap()[0]).unwrap()])
        };
        let ((with, a), (without, b)) = (planned(true), planned(false));
        assert!(with * 3 < without * 2, "{with} bytes planned with recompute, {without} without");
        same(&a, &b);
    }),
];

/// A network under a name of its own.
struct Pair(Sequential);
impl Module for Pair {
    fn visit(&self, v: &mut Visitor) {
        v.field("net", &self.0);
    }
}

/// Blocks of two products and activations, and a head.
struct Deep {
    blocks: Vec<Mlp>,
    head: Linear,
}
module!(Deep { blocks, head });

impl Deep {
    fn new(blocks: usize, width: usize, classes: usize, device: &Device) -> Deep {
        let mut init = Init::new(1);
        let options = MlpOptions { activation: Activation::Gelu, ..MlpOptions::default() };
        let sizes = [width, width, width, width];
        let block = |_| Mlp::part(&sizes, options, &mut init).unwrap();
        let blocks = (0..blocks).map(block).collect();
        let head = Linear::new(width, classes, &mut Init::new(2)).unwrap();
        Deep { blocks, head }.on(device).unwrap()
    }

    fn forward(&self, x: &Tensor, again: bool) -> Result<Tensor> {
        let mut x = x.clone();
        for block in &self.blocks {
            x = if again { recompute(|| block.forward(&x))? } else { block.forward(&x)? };
        }
        self.head.forward(&x)
    }
}

fn draw(seed: u64, shape: &[usize], device: &Device) -> Tensor {
    let input = floats(shape, -1.0, 1.0);
    input.tensor(&input.values(seed, false), DType::F32, device).unwrap()
}

fn same(a: &[Vec<f64>], b: &[Vec<f64>]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        bits("recompute", &[a.len()], a, b).unwrap();
    }
}

fn main() -> ExitCode {
    // Memory is counted for a whole device, so those tests take turns on one of their own.
    runner::main(|suite| {
        for &(name, check) in FACTS {
            suite.cpu(format!("{name}::cpu"), move || {
                static TURN: Mutex<()> = Mutex::new(());
                let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
                check(&Device::cpu());
                Ok(())
            });
            suite.gpu(format!("{name}::{}", Mode::Software), move || {
                let opened = devices::device(Mode::Software).map_err(|e| e.to_string())?;
                let _turn = opened.turn();
                check(&opened.device);
                Ok(())
            });
        }
    })
}
