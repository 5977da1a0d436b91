//! Laws of every differentiable family: views are copies, backward is linear, pieces join again.

use crate::{
    Law, adjoint,
    dice::{Dice, case},
    draw, same,
    support::{
        compare::{bits, close},
        inputs::read,
        tolerance::{self, PLAIN},
    },
};
use std::ops::Range;
use wgrad::prelude::*;
use wgrad_gpu::Gpu;

/// An operation: its name, its line in the table of tolerances, the shape of its operand, and itself. Other operands
/// are fixed.
struct Family {
    name: &'static str,
    rule: &'static str,
    shape: &'static [usize],
    body: fn(&Tensor) -> Result<Tensor>,
}

const fn family(
    name: &'static str,
    rule: &'static str,
    shape: &'static [usize],
    body: fn(&Tensor) -> Result<Tensor>,
) -> Family {
    Family { name, rule, shape, body }
}

/// Another operand, on the same device and in the same type.
fn fixed(seed: u64, shape: &[usize], like: &Tensor) -> Tensor {
    draw(seed, shape, like.device()).cast(like.dtype()).unwrap()
}

fn labels(like: &Tensor, rows: usize, classes: i32) -> Result<Tensor> {
    let labels: Vec<i32> = (0..rows as i32).map(|i| i * 5 % classes).collect();
    Tensor::from_vec(labels, [rows], like.device())
}

const OPTIONS: Conv2dOptions = Conv2dOptions::new();

const FAMILIES: &[Family] = &[
    family("conv2d of x", "conv", &[2, 6, 7, 5], |x| {
        x.conv2d(&fixed(1, &[9, 2, 3, 2], x), None, &OPTIONS.groups(3).padding(1).stride([1, 2]))
    }),
    family("conv2d of w", "conv", &[6, 3, 3, 3], |w| {
        fixed(2, &[2, 3, 6, 7], w).conv2d(w, None, &OPTIONS.dilation(2).padding(2))
    }),
    family("conv1d", "conv", &[2, 4, 13], |x| {
        x.conv1d(&fixed(3, &[6, 2, 3], x), None, &OPTIONS.groups(2).stride(2))
    }),
    family("conv_transpose2d", "conv", &[2, 4, 3, 5], |x| {
        x.conv_transpose2d(&fixed(4, &[4, 5, 3, 2], x), None, &OPTIONS.stride(2).padding(1), 1)
    }),
    family("max_pool2d", "exact", &[2, 3, 7, 6], |x| {
        x.max_pool2d(&Pool2dOptions::new(3).stride(2).padding(1))
    }),
    family("avg_pool2d", "sum", &[2, 3, 7, 6], |x| {
        x.avg_pool2d(&Pool2dOptions::new([2, 3]).stride(2).padding(1).count_include_pad(false))
    }),
    family("adaptive_avg_pool2d", "sum", &[2, 3, 7, 6], |x| x.adaptive_avg_pool2d([3, 4])),
    family("layer_norm", "norm", &[5, 4, 12], |x| {
        x.layer_norm(Some(&fixed(5, &[12], x)), Some(&fixed(6, &[12], x)), 1e-2)
    }),
    family("rms_norm", "norm", &[5, 4, 13], |x| x.rms_norm(Some(&fixed(7, &[13], x)), 1e-2)),
    family("batch_norm", "norm", &[6, 4, 5], |x| {
        Ok(x.batch_norm(&fixed(8, &[4], x), &fixed(9, &[4], x), 1e-2)?.0)
    }),
    family("softmax", "softmax", &[4, 5, 12], |x| x.softmax(-1)),
    family("log_softmax", "log_softmax", &[4, 5, 7], |x| x.log_softmax(1)),
    family("masked_softmax", "masked_softmax", &[3, 6, 12], |x| {
        x.masked_softmax(Some(&fixed(10, &[6, 12], x).try_gt(-0.5)?), true, 0.75)
    }),
    family("attention of q", "attention", &[2, 5, 8], |q| {
        let options = AttentionOptions { causal: true, ..AttentionOptions::default() };
        q.attention(&fixed(11, &[2, 7, 8], q), &fixed(12, &[2, 7, 4], q), options)
    }),
    family("attention of k", "attention", &[2, 7, 8], |k| {
        let q = fixed(13, &[2, 5, 8], k);
        q.attention(k, &fixed(14, &[2, 7, 4], k), AttentionOptions::default())
    }),
    family("attention of v", "attention", &[2, 7, 4], |v| {
        let (q, k) = (fixed(15, &[2, 5, 8], v), fixed(16, &[2, 7, 8], v));
        q.attention(&k, v, AttentionOptions::default())
    }),
    family("dropout", "arithmetic", &[5, 4, 13], |x| {
        x.device().seed(17)?;
        x.dropout(0.4)
    }),
    family("embedding", "exact", &[6, 5], |x| x.gather(&labels(x, 9, 6)?)),
    family("scatter_rows", "sum", &[9, 5], |x| x.scatter_rows(&labels(x, 9, 6)?, 6)),
    family("split and stack", "arithmetic", &[4, 6, 8], |x| {
        let pieces = x.split(1, 4)?;
        let parts = pieces[0].unbind(-1)?;
        Tensor::stack(&[&parts[7], &parts[2], &parts[2].try_mul(2.0)?], 1)
    }),
    family("cross_entropy", "cross_entropy", &[7, 9], |x| {
        let options = CrossEntropyOptions {
            smoothing: 0.25,
            ignore_index: Some(5),
            weights: Some(fixed(18, &[9], x).try_add(1.5)?),
            ..CrossEntropyOptions::default()
        };
        x.cross_entropy_with(&labels(x, 7, 9)?, &options)
    }),
    family("bce_with_logits", "loss", &[4, 6], |x| {
        x.bce_with_logits(&fixed(19, &[4, 6], x).abs()?)
    }),
    family("huber", "loss", &[4, 6], |x| x.huber(&fixed(20, &[4, 6], x), 0.5)),
    family("l1", "loss", &[4, 6], |x| x.l1(&fixed(21, &[4, 6], x))),
    family("kl_div_log", "loss", &[4, 6], |x| x.kl_div_log(&fixed(22, &[4, 6], x))),
];

/// Operations on any shape `[a, b, c]`.
const ANY_SHAPE: &[Family] = &[
    family("layer_norm", "norm", &[], |x| x.layer_norm(None, None, 1e-1)),
    family("rms_norm", "norm", &[], |x| x.rms_norm(None, 1e-1)),
    family("batch_norm", "norm", &[], |x| {
        let c = x.shape()[1];
        Ok(x.batch_norm(&fixed(30, &[c], x), &fixed(31, &[c], x), 1e-1)?.0)
    }),
    family("softmax", "softmax", &[], |x| x.softmax(1)),
    family("log_softmax", "log_softmax", &[], |x| x.log_softmax(-1)),
    family("masked_softmax", "masked_softmax", &[], |x| {
        let mask = fixed(32, &x.shape()[1..], x).try_gt(-0.5)?;
        x.masked_softmax(Some(&mask), true, 1.5)
    }),
    family("attention", "attention", &[], |x| {
        let (t, width) = (x.shape()[1], x.shape()[2]);
        let k = fixed(33, &[1, t, width], x).broadcast_to(x.shape())?;
        x.attention(&k, &x.try_mul(0.5)?, AttentionOptions::default())
    }),
    family("dropout", "arithmetic", &[], |x| {
        x.device().seed(34)?;
        x.dropout(0.3)
    }),
    family("adaptive_avg_pool2d", "sum", &[], |x| x.unsqueeze(0)?.adaptive_avg_pool2d([3, 2])),
];

/// The same numbers in f64, on a device of the judge's own.
fn judged(x: &Tensor) -> Tensor {
    let cpu = Device::new(Box::new(wgrad_core::cpu::Cpu::new()));
    Tensor::from_vec(read(x).unwrap(), x.shape(), &cpu).unwrap()
}

/// Result and gradient on a device, against those of the judge.
fn against_judge(family: &Family, x: &Tensor) {
    let (got, want) = (both(family, x).0, both(family, &judged(x)).0);
    let terms = x.shape().iter().max().copied().unwrap_or(1).max(60);
    let context = tolerance::Context { scale: terms as f64, terms, ..PLAIN };
    let slopes = slope_bound(family, &want[1]);
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let bound = |at: usize| match i {
            0 => tolerance::of(family.rule).bound(want[at], &context),
            _ => slopes,
        };
        close(family.name, &[want.len()], got, want, bound).unwrap();
    }
}

/// What an operation and its gradient give for an operand, and the kernels of both on a GPU.
fn both(family: &Family, x: &Tensor) -> ([Vec<f64>; 2], Vec<wgrad_shaders::Kernel>) {
    let run = || {
        let x = x.requiring_grad();
        let y = (family.body)(&x).unwrap();
        let c = fixed(23, y.shape(), &x);
        let slope = y.backward_with(&c).unwrap().wrt(&x).unwrap().clone();
        (y, slope)
    };
    let ((y, slope), kernels) = match Gpu::of(x.device()) {
        Some(gpu) => gpu.kernels_of(run),
        None => (run(), Vec::new()),
    };
    ([y, slope].map(|x| read(&x).unwrap()), kernels)
}

/// Gradients may err by three times what results may, on the scale of the largest.
fn slope_bound(family: &Family, slope: &[f64]) -> f64 {
    let scale = slope.iter().fold(1.0f64, |most, x| most.max(x.abs()));
    let context = tolerance::Context { scale, terms: 200, ..PLAIN };
    tolerance::of(family.rule).gradient_bound(scale, 1.0, &context)
}

pub const LAWS: &[Law] = &[
    ("views_are_copies", |d| {
        const SEED: u64 = 201;
        let mut dice = Dice::new(SEED);
        for (number, family) in FAMILIES.iter().enumerate() {
            for _ in 0..8 {
                let x = dice.view(family.shape, d);
                let _case = case!(SEED, number, family.name, x.layout());
                let copy = x.contiguous().unwrap();
                assert!(copy.layout().is_contiguous());
                let (seen, kernels) = both(family, &x);
                let (plain, plain_kernels) = both(family, &copy);
                let context = tolerance::Context { scale: 200.0, terms: 200, ..PLAIN };
                for (i, (seen, plain)) in seen.iter().zip(&plain).enumerate() {
                    if kernels == plain_kernels {
                        bits(family.name, &[seen.len()], seen, plain).unwrap();
                        continue;
                    }
                    // Another kernel for whole vec4, say.
                    let slopes = slope_bound(family, plain);
                    let bound = |at: usize| match i {
                        0 => 2.0 * tolerance::of(family.rule).bound(plain[at], &context),
                        _ => 2.0 * slopes,
                    };
                    close(family.name, &[seen.len()], seen, plain, bound).unwrap();
                }
            }
        }
    }),
    ("families_agree_with_the_judge", |d| {
        const SEED: u64 = 203;
        let mut dice = Dice::new(SEED);
        for (number, family) in FAMILIES.iter().enumerate() {
            let x = dice.view(family.shape, d);
            let _case = case!(SEED, number, family.name, x.layout());
            against_judge(family, &x);
        }
        const SIDES: [usize; 12] = [1, 2, 3, 4, 7, 8, 31, 32, 33, 64, 65, 130];
        for number in 0..10 {
            for family in ANY_SHAPE {
                let [b, c] = [dice.pick(&SIDES), dice.pick(&SIDES)];
                let shape = [dice.number(2, 5), b, c];
                let x = dice.view(&shape, d);
                let _case = case!(SEED, number, family.name, x.layout());
                against_judge(family, &x);
            }
        }
    }),
    ("backward_is_linear_in_every_family", |d| {
        for family in FAMILIES {
            let _case = crate::dice::Case(family.name.to_owned());
            let x = draw(24, family.shape, d).requiring_grad();
            let y = (family.body)(&x).unwrap();
            let back = |c: &Tensor| y.backward_with(c).unwrap().wrt(&x).unwrap().clone();
            let (c, e) = (draw(25, y.shape(), d), draw(26, y.shape(), d));
            let together = back(&c.try_mul(2.0).unwrap().try_sub(&e).unwrap());
            let apart = back(&c).try_mul(2.0).unwrap().try_sub(&back(&e)).unwrap();
            let (together, apart) = (read(&together).unwrap(), read(&apart).unwrap());
            assert!(apart.iter().any(|&x| x != 0.0), "{}", family.name);
            // Three gradients of a cotangent up to 3.
            let bound = 6.0 * slope_bound(family, &apart);
            close(family.name, family.shape, &together, &apart, |_| bound).unwrap();
            // Doubled it is doubled to the bit, and nothing gives nothing.
            same(&back(&c.try_mul(2.0).unwrap()), &back(&c).try_mul(2.0).unwrap());
            let none = back(&c.try_mul(0.0).unwrap());
            assert!(read(&none).unwrap().iter().all(|&x| x == 0.0), "{}", family.name);
        }
    }),
    ("linear_families_are_adjoint", |d| {
        let linear = |name: &str| {
            let names = ["conv", "avg_pool", "adaptive", "attention of v", "dropout"];
            let more = ["embedding", "scatter_rows", "split and stack"];
            names.iter().chain(&more).any(|part| name.starts_with(part))
        };
        let mut count = 0;
        for family in FAMILIES.iter().filter(|family| linear(family.name)) {
            let x = draw(27, family.shape, d).requiring_grad();
            let y = (family.body)(&x).unwrap();
            let c = draw(28, y.shape(), d);
            let gradients = y.backward_with(&c).unwrap();
            adjoint(family.name, 200, [&y, &c], [&x, gradients.wrt(&x).unwrap()]);
            count += 1;
        }
        assert_eq!(count, 11);
        // An embedding as a layer: linear in its table, whose padding row stays 0.
        let words = Embedding::with_padding(7, 4, 2, &mut Init::new(1)).unwrap().on(d).unwrap();
        let index = Tensor::from_vec([0i32, 2, 6, 2, 5, 0], [2, 3], d).unwrap();
        let y = words.forward(&index).unwrap();
        let c = draw(29, &[2, 3, 4], d);
        let gradients = y.backward_with(&c).unwrap();
        let table = words.weight.tensor().unwrap();
        let slope = gradients.wrt(table).unwrap();
        adjoint("embedding layer", 24, [&y, &c], [table, slope]);
        assert_eq!(read(&slope.slice(0, 2..3).unwrap()).unwrap(), [0.0; 4]);
    }),
    ("pieces_join_again", |d| {
        const SEED: u64 = 202;
        let mut dice = Dice::new(SEED);
        for number in 0..30 {
            let rank = dice.number(1, 4);
            let shape: Vec<usize> = (0..rank).map(|_| dice.number(1, 7)).collect();
            let (axis, size) = (dice.number(0, rank - 1), dice.number(1, 8));
            let _case = case!(SEED, number, shape, axis, size);
            let x = dice.view(&shape, d).requiring_grad();
            let at = axis as isize;
            let pieces = x.split(at, size).unwrap();
            let sides: Vec<usize> = pieces.iter().map(|piece| piece.shape()[axis]).collect();
            let whole = (0..shape[axis]).step_by(size).map(|from| size.min(shape[axis] - from));
            assert_eq!(sides, whole.collect::<Vec<_>>());
            let joined = Tensor::concat(&pieces.iter().collect::<Vec<_>>(), at).unwrap();
            same(&joined, &x);
            let singles = x.unbind(at).unwrap();
            let stacked = Tensor::stack(&singles.iter().collect::<Vec<_>>(), at).unwrap();
            same(&stacked, &x);
            // What goes through and back unchanged hands on its cotangent as it is.
            let c = dice.view(&shape, d);
            for y in [joined, stacked] {
                same(y.backward_with(&c).unwrap().wrt(&x).unwrap(), &c.contiguous().unwrap());
            }
            let other = dice.view(&shape, d);
            let new = dice.number(0, rank) as isize;
            let two = Tensor::stack(&[&x, &other], new).unwrap().unbind(new).unwrap();
            same(&two[0], &x);
            same(&two[1], &other);
            // A piece put back into zeros has the cotangent of its place only.
            let Range { start, end } = 0..dice.number(1, shape[axis]);
            let part = x.slice(at, start..end).unwrap();
            let back = part.pad(at, 0, shape[axis] - end).unwrap();
            same(&back.slice(at, start..end).unwrap(), &part);
            let slope = back.backward_with(&c).unwrap().wrt(&x).unwrap().clone();
            same(&slope.slice(at, start..end).unwrap(), &c.slice(at, start..end).unwrap());
        }
    }),
];
