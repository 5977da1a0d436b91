//! Large tensors, which several threads share, give the same bits as their rows one by one, and however many threads
//! there are.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use support::*;
use wgrad_core::{AttentionOptions, DType, Result, Tensor, philox::Stream};

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

/// Numbers in a type, and asked for their gradient.
fn leaf(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    let x = random(&mut Stream::new(seed, 0), shape, -3.0, 3.0);
    x.cast(dtype).unwrap().requiring_grad()
}

/// The bits of a result and of its gradients.
fn everything(y: &Tensor, leaves: &[&Tensor]) -> Vec<u64> {
    let dy = leaf(9, y.shape(), y.dtype()).detach();
    let gradients = y.backward_with(&dy).unwrap();
    let mut all = bits(&y.detach());
    leaves.iter().for_each(|leaf| all.extend(bits(gradients.wrt(leaf).unwrap())));
    all
}

type Work = fn(DType) -> Vec<u64>;

/// Tall, wide, and many small ones: each is cut for threads in another way.
const WORKS: [(&str, Work); 7] = [
    ("layer norm of many rows", |t| {
        let [x, g, b] = [&[20_011, 17][..], &[17], &[17]].map(|shape| leaf(1, shape, t));
        everything(&x.layer_norm(Some(&g), Some(&b), 1e-5).unwrap(), &[&x, &g, &b])
    }),
    ("RMS norm of long rows", |t| {
        let [x, g] = [&[3, 100_003][..], &[100_003]].map(|shape| leaf(1, shape, t));
        everything(&x.rms_norm(Some(&g), 1e-5).unwrap(), &[&x, &g])
    }),
    ("masked softmax", |t| {
        let x = leaf(1, &[5, 257, 301], t);
        let mask: Vec<bool> = (0..301).map(|i| i % 7 != 3).collect();
        let mask = Tensor::from_vec(mask, [301], &cpu()).unwrap();
        everything(&x.masked_softmax(Some(&mask), true, 0.3).unwrap(), &[&x])
    }),
    ("attention", |t| {
        let [q, k, v] = [[2, 3, 257, 33], [2, 3, 301, 33], [2, 3, 301, 17]].map(|s| leaf(1, &s, t));
        let y = q.attention(&k, &v, AttentionOptions::default()).unwrap();
        everything(&y, &[&q, &k, &v])
    }),
    ("many products", |t| products(t, [300, 17, 33, 65])),
    ("some products", |t| products(t, [5, 157, 258, 129])),
    ("one product", |t| products(t, [1, 257, 513, 65])),
];

fn products(dtype: DType, [n, rows, depth, columns]: [usize; 4]) -> Vec<u64> {
    let (a, b) = (leaf(1, &[n, rows, depth], dtype), leaf(2, &[n, depth, columns], dtype));
    everything(&a.matmul(&b).unwrap(), &[&a, &b])
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let with = |threads: usize, work: Work, dtype| {
        let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| work(dtype))
    };
    for dtype in [DType::F32, DType::F64] {
        for (name, work) in WORKS {
            let alone = with(1, work, dtype);
            for threads in [2, 5] {
                assert!(with(threads, work, dtype) == alone, "{name}, {dtype}, {threads} threads");
            }
        }
    }
}
