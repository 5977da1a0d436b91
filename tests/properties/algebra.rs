//! Broadcasting, adjointness, products, shapes: the operations that others are made of.

use crate::{
    Law, draw, near, near_product, product, same,
    support::{
        compare::close,
        inputs::read,
        tolerance::{self, Context},
    },
};
use wgrad_core::{DType, Result, Tensor};

pub const LAWS: &[Law] = &[
    ("broadcasting_is_explicit_expansion", |d| {
        for (a, b, both) in [
            (&[4, 1, 8][..], &[3, 1][..], &[4, 3, 8][..]),
            (&[7, 5], &[], &[7, 5]),
            (&[1, 65], &[33, 1], &[33, 65]),
        ] {
            let (a, b) = (draw(1, a, d).requiring_grad(), draw(2, b, d).requiring_grad());
            let wide = |x: &Tensor| x.broadcast_to(both).unwrap().contiguous().unwrap();
            same(&a.try_mul(&b).unwrap(), &wide(&a.detach()).try_mul(&wide(&b.detach())).unwrap());
            // The gradient is the sum over what was stretched: explicitly expanded, it goes the same way.
            let gradient = |y: Tensor| {
                let gradients = y.sum_all().unwrap().backward().unwrap();
                [gradients.wrt(&a).unwrap().clone(), gradients.wrt(&b).unwrap().clone()]
            };
            let [short, long] =
                [gradient(a.try_mul(&b).unwrap()), gradient(wide(&a).try_mul(&wide(&b)).unwrap())];
            for (short, long) in short.iter().zip(&long) {
                near("sum", 65, short, long);
            }
        }
    }),
    ("addition_and_multiplication_commute", |d| {
        let (a, b) = (draw(3, &[33, 65], d), draw(4, &[65], d));
        same(&a.try_add(&b).unwrap(), &b.try_add(&a).unwrap());
        same(&a.try_mul(&b).unwrap(), &b.try_mul(&a).unwrap());
    }),
    ("backward_is_linear_in_the_cotangent", |d| {
        let x = draw(5, &[9, 33], d).requiring_grad();
        let y = x.tanh().unwrap().softmax(1).unwrap();
        let back = |c: &Tensor| y.backward_with(c).unwrap().wrt(&x).unwrap().clone();
        let (c, e) = (draw(6, &[9, 33], d), draw(7, &[9, 33], d));
        let together = back(&c.try_mul(2.0).unwrap().try_sub(&e).unwrap());
        near("softmax", 33, &together, &back(&c).try_mul(2.0).unwrap().try_sub(&back(&e)).unwrap());
    }),
    ("gradients_are_adjoint_to_linear_operations", |d| {
        // <J v, w> = <v, Jᵀ w>, where J v is the operation itself.
        type Linear = fn(&Tensor) -> Result<Tensor>;
        let operations: [Linear; 6] = [
            |x| x.matmul(&draw(8, &[12, 7], x.device())),
            |x| x.gather(&Tensor::from_vec([2i32, 0, 2, 5, 1], [5], x.device())?),
            |x| x.scatter_rows(&Tensor::from_vec([1i32, 1, 0, 3, 1, 2], [6], x.device())?, 4),
            |x| x.t()?.slice_step(0, 1..12, 3)?.pad(1, 2, 1),
            |x| Tensor::concat(&[x, &x.try_mul(0.5)?], 1),
            |x| x.sum_keep([0])?.broadcast_to([3, 12]),
        ];
        for (i, operation) in operations.iter().enumerate() {
            let v = draw(9, &[6, 12], d).requiring_grad();
            let y = operation(&v).unwrap();
            let w = draw(10, y.shape(), d);
            let transposed = y.backward_with(&w).unwrap().wrt(&v).unwrap().clone();
            let (left, right) = (product(&y, &w), product(&v, &transposed));
            let bound =
                tolerance::of("matmul").bound(left, &Context { scale: 72.0, ..tolerance::PLAIN });
            close(&format!("operation {i}"), &[], &[right], &[left], |_| bound).unwrap();
        }
    }),
    ("softmax_sums_to_one_and_ignores_shifts", |d| {
        let x = draw(11, &[5, 257], d).try_mul(4.0).unwrap();
        let p = x.softmax(1).unwrap();
        near("softmax", 257, &p.sum([1]).unwrap(), &Tensor::ones([5], d).unwrap());
        near("softmax", 257, &x.try_add(16.0).unwrap().softmax(1).unwrap(), &p);
        assert!(read(&p).unwrap().iter().all(|p| (0.0..=1.0).contains(p)));
        let turned = x.t().unwrap().softmax(0).unwrap().t().unwrap();
        near("softmax", 257, &turned, &p);
        near("log_softmax", 257, &x.log_softmax(1).unwrap().exp().unwrap(), &p);
    }),
    ("cross_entropy_gradients_sum_to_zero", |d| {
        let x = draw(12, &[6, 70], d).requiring_grad();
        let labels = Tensor::from_vec([0i32, 69, 3, 3, 7, 12], [6], d).unwrap();
        for smoothing in [0.0, 0.25] {
            let loss = x.cross_entropy_smoothed(&labels, smoothing).unwrap();
            let sums = loss.backward().unwrap().wrt(&x).unwrap().sum([1]).unwrap();
            near("cross_entropy", 70, &sums, &Tensor::zeros([6], d).unwrap());
        }
    }),
    ("matmul_by_blocks_by_identity_and_transposed", |d| {
        let (a, b) = (draw(13, &[33, 65], d), draw(14, &[65, 31], d));
        let whole = a.matmul(&b).unwrap();
        let turned = b.t().unwrap().matmul(&a.t().unwrap()).unwrap().t().unwrap();
        near_product(65, &turned, &whole);
        let part = |from, to| a.slice(0, from..to).unwrap().matmul(&b).unwrap();
        near_product(65, &Tensor::concat(&[&part(0, 8), &part(8, 33)], 0).unwrap(), &whole);
        let half = |from, to| {
            a.slice(1, from..to).unwrap().matmul(&b.slice(0, from..to).unwrap()).unwrap()
        };
        near_product(65, &half(0, 20).try_add(&half(20, 65)).unwrap(), &whole);
        let one = Tensor::arange(0.0, 65.0, 1.0, DType::I32, d).unwrap().one_hot(65).unwrap();
        same(&a.matmul(&one).unwrap(), &a);
    }),
    ("what_is_undone_is_as_before", |d| {
        let x = draw(15, &[4, 6, 8], d);
        let halves = [x.slice(1, 0..2).unwrap(), x.slice(1, 2..6).unwrap()];
        same(&Tensor::concat(&[&halves[0], &halves[1]], 1).unwrap(), &x);
        same(&x.pad(2, 3, 1).unwrap().slice(2, 3..11).unwrap(), &x);
        same(&x.permute([2, 0, 1]).unwrap().permute([1, 2, 0]).unwrap(), &x);
        same(&x.t().unwrap().reshape([192]).unwrap().reshape([4, 8, 6]).unwrap().t().unwrap(), &x);
        let half = x.cast(DType::F16).unwrap().cast(DType::F32).unwrap();
        same(&half.cast(DType::F16).unwrap().cast(DType::F32).unwrap(), &half);
        same(&x.neg().unwrap().neg().unwrap(), &x);
    }),
    ("sums_do_not_depend_on_order_and_batches_not_on_company", |d| {
        let x = draw(16, &[70, 130], d);
        near(
            "sum",
            9100,
            &x.t().unwrap().contiguous().unwrap().sum_all().unwrap(),
            &x.sum_all().unwrap(),
        );
        let w = draw(17, &[10, 130], d);
        let together = x.linear(&w, None, None).unwrap();
        let alone: Vec<Tensor> = (0..70)
            .map(|i| x.slice(0, i..i + 1).unwrap().linear(&w, None, None).unwrap())
            .collect();
        near_product(
            130,
            &Tensor::concat(&alone.iter().collect::<Vec<_>>(), 0).unwrap(),
            &together,
        );
    }),
];
