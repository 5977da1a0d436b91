//! Attention and softmax over what is seen.

use crate::{Law, draw, near, same};
use wgrad_core::{AttentionOptions, DType, Tensor};

pub const LAWS: &[Law] = &[
    ("attention_does_not_depend_on_company", |d| {
        let side = |seed, t: usize, width: usize| draw(seed, &[5, t, width], d);
        let (q, k, v) = (side(30, 7, 8), side(31, 9, 8), side(32, 9, 12));
        for causal in [false, true] {
            let options = AttentionOptions { causal, ..AttentionOptions::default() };
            let together = q.attention(&k, &v, options).unwrap();
            let alone: Vec<Tensor> = (0..5)
                .map(|i| {
                    let one = |x: &Tensor| x.slice(0, i..i + 1).unwrap();
                    one(&q).attention(&one(&k), &one(&v), options).unwrap()
                })
                .collect();
            let alone = Tensor::concat(&alone.iter().collect::<Vec<_>>(), 0).unwrap();
            near("attention", 12, &alone, &together);
        }
    }),
    ("attention_does_not_depend_on_the_order_of_keys", |d| {
        let (q, k, v) = (draw(33, &[7, 8], d), draw(34, &[9, 8], d), draw(35, &[9, 5], d));
        let mask = draw(36, &[7, 9], d).try_gt(0.0).unwrap();
        let order = Tensor::from_vec([4i32, 8, 0, 2, 7, 1, 3, 6, 5], [9], d).unwrap();
        let masked = |k: &Tensor, v: &Tensor, mask: &Tensor| {
            let options = AttentionOptions { mask: Some(mask), ..AttentionOptions::default() };
            q.attention(k, v, options).unwrap()
        };
        // Truth values have no gather: through numbers and back.
        let number = mask.cast(DType::F32).unwrap().t().unwrap();
        let turned = number.gather(&order).unwrap().t().unwrap().try_gt(0.5).unwrap();
        let other = masked(&k.gather(&order).unwrap(), &v.gather(&order).unwrap(), &turned);
        near("attention", 9, &other, &masked(&k, &v, &mask));
    }),
    ("causal_is_a_mask", |d| {
        let x = draw(37, &[3, 33, 40], d).try_mul(4.0).unwrap();
        let place = |end: f64| Tensor::arange(0.0, end, 1.0, DType::I32, d).unwrap();
        let reach = place(33.0).try_add(7).unwrap().reshape([33, 1]).unwrap();
        let mask = place(40.0).try_le(&reach).unwrap();
        let causal = x.masked_softmax(None, true, 0.5).unwrap();
        same(&x.masked_softmax(Some(&mask), false, 0.5).unwrap(), &causal);
        near("masked_softmax", 40, &causal.sum([-1]).unwrap(), &Tensor::ones([3, 33], d).unwrap());
        let plain = x.try_mul(0.5).unwrap().softmax(-1).unwrap();
        near("masked_softmax", 40, &x.masked_softmax(None, false, 0.5).unwrap(), &plain);
    }),
];
