//! Large tensors, which several threads share, give the same bits as their rows one by one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use support::*;
use wgrad_core::{DType, Result, Tensor, philox::Stream};

/// A prime number of rows, and of columns, beyond what one thread does alone.
const SHAPE: [usize; 2] = [521, 1031];

type Operation = fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>;

/// Of x and w `[rows, columns]` and b `[columns]`.
const OPERATIONS: [(&str, Operation); 6] = [
    ("a row added, then ReLU", |x, _, b| x.try_add(b)?.relu()),
    ("a product", |x, w, _| x.try_mul(w)),
    ("the exponential", |x, _, _| x.exp()),
    ("softmax", |x, _, _| x.softmax(-1)),
    ("its logarithm", |x, _, _| x.log_softmax(-1)),
    ("the gradient of softmax", |x, w, _| {
        let x = x.detach().requiring_grad();
        let y = x.softmax(-1)?;
        y.backward_with(w)?.wrt(&x).cloned()
    }),
];

#[test]
fn rows_one_by_one_give_the_same_bits() {
    let mut stream = Stream::new(7, 0);
    let [x, w] = [0, 1].map(|_| random(&mut stream, &SHAPE, -4.0, 4.0));
    let b = random(&mut stream, &SHAPE[1..], -1.0, 1.0);
    for dtype in [DType::F32, DType::F64, DType::F16] {
        let [x, w, b] = [&x, &w, &b].map(|x| x.cast(dtype).unwrap());
        for (name, f) in OPERATIONS {
            let whole = bits(&f(&x, &w, &b).unwrap());
            for (i, whole) in whole.chunks(SHAPE[1]).enumerate() {
                let row = |x: &Tensor| x.slice(0, i..i + 1).unwrap();
                let alone = bits(&f(&row(&x), &row(&w), &b).unwrap());
                assert!(alone == whole, "{name}, {dtype}, row {i}");
            }
        }
    }
}
