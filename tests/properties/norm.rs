//! What normalisation promises: mean 0 and variance 1, blindness to shift and scale, and which norm is which.

use crate::{Law, adjoint, draw, near, support::inputs::read};
use wgrad::prelude::*;

/// So small beside a variance of 1/3 that results do not show it.
const EPS: f64 = 1e-12;

/// Rows as short and as long as the kernels tell apart.
const ROWS: [[usize; 2]; 5] = [[5, 7], [3, 64], [9, 65], [70, 12], [2, 1028]];

#[track_caller]
fn zero(x: &Tensor) {
    near("norm", 1, x, &Tensor::zeros(x.shape(), x.device()).unwrap());
}

#[track_caller]
fn one(x: &Tensor) {
    near("norm", 1, x, &Tensor::ones(x.shape(), x.device()).unwrap());
}

pub const LAWS: &[Law] = &[
    ("layer_norm_has_mean_0_and_variance_1", |d| {
        for (seed, shape) in (70..).zip(ROWS) {
            let x = draw(seed, &shape, d).requiring_grad();
            let y = x.layer_norm(None, None, EPS).unwrap();
            zero(&y.mean([1]).unwrap());
            one(&y.square().unwrap().mean([1]).unwrap());
            // Blind to the shift and the scale of a row.
            let moved = x.try_mul(3.0).unwrap().try_add(2.0).unwrap();
            near("norm", 1, &moved.layer_norm(None, None, EPS).unwrap(), &y);
            near(
                "norm",
                1,
                &x.neg().unwrap().layer_norm(None, None, EPS).unwrap(),
                &y.neg().unwrap(),
            );
            // So its gradient has no part along a shift or along y.
            let c = draw(seed + 9, &shape, d);
            let gradients = y.backward_with(&c).unwrap();
            let dx = gradients.wrt(&x).unwrap();
            zero(&dx.mean([1]).unwrap());
            zero(&dx.try_mul(&y).unwrap().mean([1]).unwrap());
        }
    }),
    ("rms_norm_has_mean_square_1", |d| {
        for (seed, shape) in (80..).zip(ROWS) {
            let x = draw(seed, &shape, d).requiring_grad();
            let y = x.rms_norm(None, EPS).unwrap();
            one(&y.square().unwrap().mean([1]).unwrap());
            near("norm", 1, &x.try_mul(5.0).unwrap().rms_norm(None, EPS).unwrap(), &y);
            let gradients = y.backward_with(&draw(seed + 9, &shape, d)).unwrap();
            zero(&gradients.wrt(&x).unwrap().try_mul(&y).unwrap().mean([1]).unwrap());
            // A shift is seen; without one both norms are the same.
            let shifted = x.try_add(2.0).unwrap().rms_norm(None, EPS).unwrap();
            assert!(read(&shifted).unwrap().iter().all(|&y| y > 0.0));
            let centred = x.try_sub(&x.mean_keep([1]).unwrap()).unwrap();
            let want = x.layer_norm(None, None, EPS).unwrap();
            near("norm", 1, &centred.rms_norm(None, EPS).unwrap(), &want);
        }
    }),
    ("the_affine_part_of_a_norm_is_adjoint", |d| {
        for (seed, [rows, cols]) in (90..).zip(ROWS) {
            let x = draw(seed, &[rows, cols], d);
            let (g, b) = (draw(seed + 9, &[cols], d), draw(seed + 18, &[cols], d));
            let (g, b) = (g.requiring_grad(), b.requiring_grad());
            let c = draw(seed + 27, &[rows, cols], d);
            let law = |name: &str, y: &Tensor, shifted: bool| {
                let gradients = y.backward_with(&c).unwrap();
                let dg = gradients.wrt(&g).unwrap();
                if !shifted {
                    return adjoint(name, rows * cols, [y, &c], [&g, dg]);
                }
                let db = gradients.wrt(&b).unwrap();
                let both = [Tensor::concat(&[&g, &b], 0), Tensor::concat(&[dg, db], 0)];
                let [all, slopes] = both.map(Result::unwrap);
                adjoint(name, rows * cols, [y, &c], [&all, &slopes]);
            };
            law("layer_norm", &x.layer_norm(Some(&g), Some(&b), EPS).unwrap(), true);
            law("layer_norm gamma", &x.layer_norm(Some(&g), None, EPS).unwrap(), false);
            law("rms_norm", &x.rms_norm(Some(&g), EPS).unwrap(), false);
            law("batch_norm", &x.batch_norm(&g, &b, EPS).unwrap().0, true);
        }
    }),
    ("batch_norm_is_layer_norm_of_columns", |d| {
        for (seed, [rows, cols]) in (110..).zip(ROWS) {
            let x = draw(seed, &[rows, cols], d);
            let (ones, zeros) =
                (Tensor::ones([cols], d).unwrap(), Tensor::zeros([cols], d).unwrap());
            let (y, mean, variance) = x.batch_norm(&ones, &zeros, EPS).unwrap();
            let turned = x.t().unwrap();
            let want = turned.layer_norm(None, None, EPS).unwrap().t().unwrap();
            near("norm", 1, &y, &want);
            near("norm", 1, &mean, &x.mean([0]).unwrap());
            near("norm", 1, &variance, &x.var([0], 0).unwrap());
            // Images: all places of all images together.
            let images = draw(seed, &[rows, 3, 5, 2], d);
            let (ones, zeros) = (Tensor::ones([3], d).unwrap(), Tensor::zeros([3], d).unwrap());
            let (y, mean, _) = images.batch_norm(&ones, &zeros, EPS).unwrap();
            zero(&y.mean([0, 2, 3]).unwrap());
            one(&y.square().unwrap().mean([0, 2, 3]).unwrap());
            near("norm", 1, &mean, &images.mean([0, 2, 3]).unwrap());
            let order = images.permute([1, 0, 2, 3]).unwrap();
            let flat = order.reshape([3, rows * 10]).unwrap();
            let want = flat.layer_norm(None, None, EPS).unwrap().reshape([3, rows, 5, 2]).unwrap();
            near("norm", 1, &y.permute([1, 0, 2, 3]).unwrap(), &want);
        }
    }),
    ("batch_norm_in_evaluation_takes_what_it_keeps", |d| {
        let x = draw(120, &[6, 4, 3, 5], d);
        let norm = BatchNorm2d::new(4).unwrap().momentum(1.0).unwrap().on(d).unwrap();
        norm.weight().tensor().unwrap().assign(&draw(121, &[4], d)).unwrap();
        norm.bias().tensor().unwrap().assign(&draw(122, &[4], d)).unwrap();
        let trained = norm.forward(&x).unwrap();
        let (mean, variance) = (norm.running_mean(), norm.running_var());
        // What is kept is the variance over n - 1; a batch is normalised by that over n.
        near("norm", 1, mean.tensor().unwrap(), &x.mean([0, 2, 3]).unwrap());
        near("norm", 1, variance.tensor().unwrap(), &x.var([0, 2, 3], 1).unwrap());
        variance.tensor().unwrap().assign(&x.var([0, 2, 3], 0).unwrap()).unwrap();
        let before = read(mean.tensor().unwrap()).unwrap();
        near("norm", 1, &eval(|| norm.forward(&x)).unwrap(), &trained);
        assert_eq!(read(mean.tensor().unwrap()).unwrap(), before);
    }),
    ("group_norms_are_layer_and_instance_norms", |d| {
        let x = draw(130, &[3, 6, 4, 5], d);
        let with = |groups: usize| {
            let norm = GroupNorm::new(groups, 6).unwrap().on(d).unwrap();
            norm.forward(&x).unwrap()
        };
        let rows = |count: usize| {
            let flat = x.reshape([3 * count, 120 / count]).unwrap();
            flat.layer_norm(None, None, 1e-5).unwrap().reshape([3, 6, 4, 5]).unwrap()
        };
        // One group: over channels and places. As many groups as channels: each plane by itself.
        let layer = LayerNorm::without_parameters(&[6, 4, 5]).unwrap();
        near("norm", 1, &with(1), &layer.forward(&x).unwrap());
        for groups in [1, 2, 3, 6] {
            near("norm", 1, &with(groups), &rows(groups));
        }
        let planes = with(6);
        zero(&planes.mean([2, 3]).unwrap());
    }),
];
