//! The CPU backend judges the GPU's kernels; this judges the CPU backend: hand-worked numbers,
//! published values, differences, and the rows of the fault list that concern it (a01 to f07).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![allow(clippy::approx_constant, clippy::excessive_precision, reason = "values as published")]

mod support;

use half::f16;
use support::*;
use wgrad_core::{
    AttentionOptions, Conv2dOptions, DType, Device, ErrorKind, FlatParameters, Layout, MAX_RANK,
    Meta, Op, Pool2dOptions, Role, Shape, Tensor, View, no_grad,
    ops::{
        conv::{Conv, ConvInput, ConvWeight},
        pool::{Averages, AvgPool, AvgPoolBackward, MaxPool, MaxPoolBackward},
    },
};
use wgrad_core::{
    ops::{
        arg_reduce::ArgReduce,
        assign::Assign,
        binary::{Binary, Scalar},
        cast::Cast,
        compare::{Compare, CompareScalar},
        concat::Concat,
        copy::Copy,
        create::{Arange, Fill, OneHot},
        cross_entropy::CrossEntropy,
        gather::{Gather, ScatterRows},
        linear::{FusedActivation, Linear},
        losses::Reduction,
        masked_softmax::{MaskedSoftmax, MaskedSoftmaxBackward},
        matmul::MatMul,
        optimizer::{NUMBERS, Rule, range},
        pad::Pad,
        random::{Distribution, Random},
        reduce::{Reduce, ReduceOp},
        select::{Mask, Where},
        softmax::{Softmax, SoftmaxBackward},
        unary::{Unary, UnaryBackward},
    },
    philox::{Stream, philox4x32, unit},
};

const FLOATS: [DType; 3] = [DType::F32, DType::F64, DType::F16];
const NAN: f64 = f64::NAN;
const INF: f64 = f64::INFINITY;

// ---- values: element-wise ------------------------------------------------------------------------

const XS: [f64; 9] = [-8.0, -3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 2.0, 10.0];

/// Function and derivative at [`XS`], from mpmath with 40 digits.
const ACTIVATIONS: [(Unary, [f64; 9], [f64; 9]); 5] = [
    (
        Unary::Sigmoid,
        [
            0.0003353501304664781,
            0.04742587317756678,
            0.2689414213699951,
            0.4378234991142019,
            0.5,
            0.6224593312018546,
            0.7310585786300049,
            0.8807970779778824,
            0.9999546021312976,
        ],
        [
            0.00033523767075647424,
            0.04517665973091213,
            0.19661193324148185,
            0.24613408273759835,
            0.25,
            0.2350037122015945,
            0.19661193324148185,
            0.10499358540350652,
            4.5395807735951673e-05,
        ],
    ),
    (
        Unary::Gelu,
        [
            -4.976768459417427e-15,
            -0.0040496940948902835,
            -0.15865525393145705,
            -0.10032341857926907,
            0.0,
            0.34573123063700656,
            0.8413447460685429,
            1.9544997361036416,
            10.0,
        ],
        [
            -3.979607261086796e-14,
            -0.011945647204183927,
            -0.0833154705876863,
            0.30462664511636395,
            0.5,
            0.8674951246561629,
            1.0833154705876864,
            1.085231801078197,
            1.0,
        ],
    ),
    (
        Unary::GeluTanh,
        [
            -3.1077829375011112e-21,
            -0.003637392081773019,
            -0.1588080093917233,
            -0.100324649298315,
            0.0,
            0.34571400982514394,
            0.8411919906082767,
            1.954597694087775,
            10.0,
        ],
        [
            -4.7147845041068414e-20,
            -0.011584166630969726,
            -0.08296408384578255,
            0.30464590484893955,
            0.5,
            0.8673699035346423,
            1.0829640838457826,
            1.0860992566236183,
            1.0,
        ],
    ),
    (
        Unary::Silu,
        [
            -0.002682801043731825,
            -0.14227761953270035,
            -0.2689414213699951,
            -0.10945587477855047,
            0.0,
            0.3112296656009273,
            0.7310585786300049,
            1.7615941559557649,
            9.999546021312975,
        ],
        [
            -0.0023465512355853157,
            -0.08810410601516962,
            0.07232948812851327,
            0.37628997842980233,
            0.5,
            0.7399611873026518,
            0.9276705118714867,
            1.0907842487848955,
            1.000408560208657,
        ],
    ),
    (
        Unary::Softplus,
        [
            0.00033540637289576885,
            0.04858735157374206,
            0.3132616875182228,
            0.5759394198788436,
            0.6931471805599453,
            0.9740769841801067,
            1.3132616875182228,
            2.1269280110429727,
            10.000045398899218,
        ],
        [
            0.0003353501304664781,
            0.04742587317756678,
            0.2689414213699951,
            0.4378234991142019,
            0.5,
            0.6224593312018546,
            0.7310585786300049,
            0.8807970779778824,
            0.9999546021312976,
        ],
    ),
];

fn unary(op: Unary, x: &Tensor) -> Tensor {
    match op {
        Unary::Neg => x.neg(),
        Unary::Exp => x.exp(),
        Unary::Log => x.log(),
        Unary::Sqrt => x.sqrt(),
        Unary::Abs => x.abs(),
        Unary::Square => x.square(),
        Unary::Reciprocal => x.reciprocal(),
        Unary::Relu => x.relu(),
        Unary::LeakyRelu(slope) => x.leaky_relu(slope),
        Unary::Sigmoid => x.sigmoid(),
        Unary::Tanh => x.tanh(),
        Unary::Gelu => x.gelu(),
        Unary::GeluTanh => x.gelu_tanh(),
        Unary::Silu => x.silu(),
        Unary::Softplus => x.softplus(),
    }
    .unwrap()
}

#[test]
fn activations_against_published_values() {
    for dtype in FLOATS {
        for (op, value, slope) in ACTIVATIONS {
            let x = tensor(dtype, &XS, &[9]).requiring_grad();
            let y = unary(op, &x);
            let tolerance = if dtype == DType::F16 { FUNCTION } else { TAIL };
            assert_close(&values(&y), &value, tolerance.of(dtype));
            let grads = gradients(&y);
            let got = values(grads.wrt(&x).unwrap());
            if op.backward_from_output() {
                // Sigmoid: what is stored of y decides how much of 1 - y is left.
                let slope: Vec<f64> = values(&y).iter().map(|y| y * (1.0 - y)).collect();
                assert_close(&got, &slope, FUNCTION.of(dtype));
            }
            if !op.backward_from_output() || dtype != DType::F16 {
                let tolerance = if op.backward_from_output() { FUNCTION } else { tolerance };
                assert_close(&got, &slope, tolerance.of(dtype));
            }
        }
    }
}

#[test]
fn plain_functions_by_hand() {
    let at = [-4.0, -1.0, 0.0, 0.25, 4.0];
    let e = std::f64::consts::E;
    let rows: [(Unary, [f64; 5], [f64; 5]); 10] = [
        (Unary::Neg, [4.0, 1.0, 0.0, -0.25, -4.0], [-1.0; 5]),
        (Unary::Abs, [4.0, 1.0, 0.0, 0.25, 4.0], [-1.0, -1.0, 0.0, 1.0, 1.0]),
        (Unary::Square, [16.0, 1.0, 0.0, 0.0625, 16.0], [-8.0, -2.0, 0.0, 0.5, 8.0]),
        (Unary::Relu, [0.0, 0.0, 0.0, 0.25, 4.0], [0.0, 0.0, 0.0, 1.0, 1.0]),
        (Unary::LeakyRelu(0.5), [-2.0, -0.5, 0.0, 0.25, 4.0], [0.5, 0.5, 0.5, 1.0, 1.0]),
        (Unary::Sqrt, [NAN, NAN, 0.0, 0.5, 2.0], [NAN, NAN, 0.0, 1.0, 0.25]),
        (Unary::Reciprocal, [-0.25, -1.0, INF, 4.0, 0.25], [-0.0625, -1.0, -INF, -16.0, -0.0625]),
        (
            Unary::Log,
            [NAN, NAN, -INF, -1.3862943611198906, 1.3862943611198906],
            [-0.25, -1.0, INF, 4.0, 0.25],
        ),
        (
            Unary::Exp,
            [e.powi(-4), e.powi(-1), 1.0, e.sqrt().sqrt(), e.powi(4)],
            [e.powi(-4), e.powi(-1), 1.0, e.sqrt().sqrt(), e.powi(4)],
        ),
        (
            Unary::Tanh,
            [-0.999329299739067, -0.7615941559557649, 0.0, 0.24491866240370913, 0.999329299739067],
            [
                0.0013409506830258969,
                0.41997434161402614,
                1.0,
                0.940014848806378,
                0.0013409506830258969,
            ],
        ),
    ];
    for dtype in [DType::F32, DType::F64] {
        for (op, value, slope) in rows {
            let x = tensor(dtype, &at, &[5]).requiring_grad();
            let y = unary(op, &x);
            assert_close(&values(&y), &value, FUNCTION.of(dtype));
            assert_close(&values(gradients(&y).wrt(&x).unwrap()), &slope, FUNCTION.of(dtype));
        }
    }
}

#[test]
fn arithmetic_by_hand() {
    for dtype in [DType::F32, DType::F64, DType::F16, DType::I32] {
        let a = tensor(dtype, &[7.0, -7.0, 3.0, 0.0], &[2, 2]);
        let b = tensor(dtype, &[2.0, 4.0], &[2]);
        assert_eq!(values(&a.try_add(&b).unwrap()), [9.0, -3.0, 5.0, 4.0]);
        assert_eq!(values(&a.try_sub(&b).unwrap()), [5.0, -11.0, 1.0, -4.0]);
        assert_eq!(values(&a.try_mul(&b).unwrap()), [14.0, -28.0, 6.0, 0.0]);
        let quotient: [f64; 4] =
            if dtype == DType::I32 { [3.0, -1.0, 1.0, 0.0] } else { [3.5, -1.75, 1.5, 0.0] };
        assert_eq!(values(&a.try_div(&b).unwrap()), quotient);
        assert_eq!(values(&a.maximum(&b).unwrap()), [7.0, 4.0, 3.0, 4.0]);
        assert_eq!(values(&a.minimum(&b).unwrap()), [2.0, -7.0, 2.0, 0.0]);
        assert_eq!(values(&a.try_add(2.0).unwrap()), [9.0, -5.0, 5.0, 2.0]);
        assert_eq!(values(&(2.0 - &a)), [-5.0, 9.0, -1.0, 2.0]);
        assert_eq!(values(&a.maximum(1.0).unwrap()), [7.0, 1.0, 3.0, 1.0]);
        let less: Vec<bool> = a.try_lt(&b).unwrap().to_vec().unwrap();
        assert_eq!(less, [false, true, false, true]);
        let equal: Vec<bool> = a.try_ge(3.0).unwrap().to_vec().unwrap();
        assert_eq!(equal, [true, false, true, false]);
        let chosen = a.try_gt(0.0).unwrap().select(&a, &b).unwrap();
        assert_eq!(values(&chosen), [7.0, 4.0, 3.0, 4.0]);
        assert_eq!(values(&a.mask(&a.try_gt(0.0).unwrap()).unwrap()), [7.0, 0.0, 3.0, 0.0]);
    }
    let (yes, no) = (Tensor::scalar(true, &cpu()).unwrap(), Tensor::scalar(false, &cpu()).unwrap());
    assert!(yes.try_ne(&no).unwrap().item::<bool>().unwrap());
    assert!(yes.select(&yes, &no).unwrap().item::<bool>().unwrap());
}

#[test]
fn comparisons_by_hand() {
    let (a, b) = ([1.0, 2.0, 2.0, NAN, 1.0, NAN], [2.0, 2.0, 1.0, 1.0, NAN, NAN]);
    let (yes, no) = (true, false);
    let rows = [
        (Compare::Eq, [no, yes, no, no, no, no]),
        (Compare::Ne, [yes, no, yes, yes, yes, yes]),
        (Compare::Lt, [yes, no, no, no, no, no]),
        (Compare::Le, [yes, yes, no, no, no, no]),
        (Compare::Gt, [no, no, yes, no, no, no]),
        (Compare::Ge, [no, yes, yes, no, no, no]),
    ];
    for dtype in [DType::F32, DType::F64, DType::F16, DType::I32, DType::U32] {
        let n = if dtype.is_float() { 6 } else { 3 };
        let (x, y) = (tensor(dtype, &a[..n], &[n]), tensor(dtype, &b[..n], &[n]));
        for (op, want) in rows {
            let run = |x: &Tensor, y: wgrad_core::Operand<'_>| {
                let result = match op {
                    Compare::Eq => x.try_eq(y),
                    Compare::Ne => x.try_ne(y),
                    Compare::Lt => x.try_lt(y),
                    Compare::Le => x.try_le(y),
                    Compare::Gt => x.try_gt(y),
                    Compare::Ge => x.try_ge(y),
                };
                result.unwrap().to_vec::<bool>().unwrap()
            };
            assert_eq!(run(&x, (&y).into()), want[..n], "{op:?} {dtype}");
            for i in 0..n.min(4) {
                let one = x.slice(0, i..i + 1).unwrap();
                assert_eq!(run(&one, b[i].into()), want[i..=i], "{op:?} {dtype} {i}");
            }
        }
    }
}

// ---- values: reductions, products ------------------------------------------------------------------

#[test]
fn reductions_by_hand() {
    let data: Vec<f64> = (0..24).map(|i| f64::from((i * 7) % 24)).collect();
    let at = |i: usize, j: usize, k: usize| data[i * 12 + j * 4 + k];
    for dtype in [DType::F32, DType::F64, DType::F16, DType::I32, DType::U32] {
        let x = tensor(dtype, &data, &[2, 3, 4]);
        let mut sums = vec![0.0; 3];
        let mut largest = vec![-1.0f64; 3];
        for j in 0..3 {
            for (i, k) in (0..2).flat_map(|i| (0..4).map(move |k| (i, k))) {
                sums[j] += at(i, j, k);
                largest[j] = largest[j].max(at(i, j, k));
            }
        }
        assert_eq!(values(&x.sum([0, -1]).unwrap()), sums);
        assert_eq!(x.sum_keep([0, -1]).unwrap().shape(), [1, 3, 1]);
        assert_eq!(values(&x.max([0, 2]).unwrap()), largest);
        assert_eq!(values(&x.min_all().unwrap()), [0.0]);
        assert_eq!(values(&x.sum_all().unwrap()), [276.0]);
        let rows: Vec<f64> = (0..6).map(|r| data[r * 4..r * 4 + 4].iter().sum()).collect();
        assert_eq!(values(&x.sum([2]).unwrap()), rows);
        let first: Vec<i32> = x.argmax(0).unwrap().to_vec().unwrap();
        let want: Vec<i32> = (0..12).map(|i| i32::from(data[12 + i] > data[i])).collect();
        assert_eq!(first, want);
    }
    let mean = tensor(DType::F32, &[1.0, 2.0, 6.0, 3.0], &[2, 2]).mean([1]).unwrap();
    assert_eq!(values(&mean), [1.5, 4.5]);
}

#[test]
fn products_by_hand() {
    for dtype in FLOATS {
        let a = tensor(dtype, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).requiring_grad();
        let b = tensor(dtype, &[7.0, 8.0, 9.0, 10.0, 11.0, 12.0], &[3, 2]).requiring_grad();
        let y = a.matmul(&b).unwrap();
        assert_eq!(values(&y), [58.0, 64.0, 139.0, 154.0]);
        let grads = gradients(&y);
        assert_eq!(values(grads.wrt(&a).unwrap()), [15.0, 19.0, 23.0, 15.0, 19.0, 23.0]);
        assert_eq!(values(grads.wrt(&b).unwrap()), [5.0, 5.0, 7.0, 7.0, 9.0, 9.0]);
        // Transposed views, and a row repeated by stride 0.
        assert_eq!(
            values(&b.t().unwrap().matmul(&a.t().unwrap()).unwrap()),
            [58.0, 139.0, 64.0, 154.0]
        );
        let row = tensor(dtype, &[1.0, 0.0, -1.0], &[1, 3]).broadcast_to([2, 3]).unwrap();
        assert_eq!(values(&row.matmul(&b).unwrap()), [-4.0, -4.0, -4.0, -4.0]);
        let w = tensor(dtype, &[1.0, 0.0, 0.0, 0.0, -1.0, 0.0], &[2, 3]);
        let bias = tensor(dtype, &[-2.0, 3.0], &[2]);
        let z = a.linear(&w, Some(&bias), None).unwrap();
        assert_eq!(values(&z), [-1.0, 1.0, 2.0, -2.0]);
        let relu = a.linear(&w, Some(&bias), Some(FusedActivation::Relu)).unwrap();
        assert_eq!(values(&relu), [0.0, 1.0, 2.0, 0.0]);
        let tanh = a.linear(&w, None, Some(FusedActivation::Tanh)).unwrap();
        assert_close(&values(&tanh)[..1], &[0.7615941559557649], FUNCTION.of(dtype));
    }
}

/// A convolution as gather and product: a 3x3 image under a 2x2 kernel, worked out by hand.
#[test]
fn convolution_by_patches() {
    let image = tensor(DType::F32, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], &[9]);
    let patches: Vec<i32> = vec![0, 1, 3, 4, 1, 2, 4, 5, 3, 4, 6, 7, 4, 5, 7, 8];
    let index = Tensor::from_vec(patches, [4, 4], &cpu()).unwrap();
    let kernel = f32s(&[1.0, 0.0, 0.0, -2.0]);
    let y = image.gather(&index).unwrap().matmul(&kernel).unwrap();
    assert_eq!(values(&y), [-9.0, -10.0, -12.0, -13.0]);
}

#[test]
fn a_large_product_against_sums_in_f64() {
    let mut stream = Stream::new(1, 0);
    let (m, k, n) = (67, 129, 33);
    let a = random(&mut stream, &[m, k], -1.0, 1.0);
    let b = random(&mut stream, &[k, n], -1.0, 1.0);
    let (av, bv) = (values(&a), values(&b));
    let mut want = vec![0.0; m * n];
    let mut size = vec![0.0; m * n];
    for (i, j, l) in (0..m).flat_map(|i| (0..n).flat_map(move |j| (0..k).map(move |l| (i, j, l)))) {
        want[i * n + j] += av[i * k + l] * bv[l * n + j];
        size[i * n + j] += (av[i * k + l] * bv[l * n + j]).abs();
    }
    let single = a.cast(DType::F32).unwrap().matmul(&b.cast(DType::F32).unwrap()).unwrap();
    for (y, epsilon) in [(a.matmul(&b).unwrap(), f64::EPSILON), (single, f64::from(f32::EPSILON))] {
        // (4 + √k) roundings of |A|·|B|: the statistical bound for a sum of products.
        let scaled: Vec<f64> = (values(&y).iter().zip(&want).zip(&size))
            .map(|((y, want), size)| (y - want) / (size * epsilon * (4.0 + (k as f64).sqrt())))
            .collect();
        assert!(scaled.iter().all(|error| error.abs() <= 1.0), "{scaled:?}");
    }
}

// ---- values: softmax and losses --------------------------------------------------------------------

#[test]
fn softmax_by_hand() {
    let (ln2, ln3) = (2f64.ln(), 3f64.ln());
    for dtype in FLOATS {
        let x = tensor(dtype, &[0.0, ln2, ln3, 5.0, 5.0, 5.0], &[2, 3]).requiring_grad();
        let third = 1.0 / 3.0;
        let want = [1.0 / 6.0, third, 0.5, third, third, third];
        assert_close(&values(&x.softmax(1).unwrap()), &want, SOFTMAX.of(dtype));
        let turned = x.t().unwrap().softmax(0).unwrap().t().unwrap();
        assert_close(&values(&turned), &want, SOFTMAX.of(dtype));
        let logs: Vec<f64> = want.iter().map(|p| p.ln()).collect();
        assert_close(&values(&x.log_softmax(-1).unwrap()), &logs, LOSS.of(dtype));
        // dy picks one element: dx = p (onehot - p_j), by hand for p = (1/6, 1/3, 1/2), j = 2.
        let dy = tensor(dtype, &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], &[2, 3]);
        let grads = x.softmax(1).unwrap().backward_with(&dy).unwrap();
        let want = [-1.0 / 12.0, -1.0 / 6.0, 0.25, 0.0, 0.0, 0.0];
        assert_close(&values(grads.wrt(&x).unwrap()), &want, SOFTMAX.of(dtype));
        let grads = x.log_softmax(1).unwrap().backward_with(&dy).unwrap();
        let want = [-1.0 / 6.0, -third, 0.5, 0.0, 0.0, 0.0];
        assert_close(&values(grads.wrt(&x).unwrap()), &want, SOFTMAX.of(dtype));
    }
}

#[test]
fn masked_softmax_by_hand() {
    let (ln2, ln3) = (2f64.ln(), 3f64.ln());
    for dtype in FLOATS {
        // Twice the numbers: weights 1, 4, 9 where they are seen.
        let x = tensor(dtype, &[0.0, ln2, ln3, 0.0, ln2, ln3], &[2, 3]).requiring_grad();
        let y = x.masked_softmax(Some(&condition()), false, 2.0).unwrap();
        assert_close(&values(&y), &[0.1, 0.0, 0.9, 0.1, 0.0, 0.9], SOFTMAX.of(dtype));
        // dy picks one element: dx = scale p (onehot - p_j).
        let dy = tensor(dtype, &[0.0, 7.0, 1.0, 0.0, 0.0, 0.0], &[2, 3]);
        let grads = y.backward_with(&dy).unwrap();
        let want = [-0.18, 0.0, 0.18, 0.0, 0.0, 0.0];
        assert_close(&values(grads.wrt(&x).unwrap()), &want, SOFTMAX.of(dtype));
        let y = x.masked_softmax(None, true, 2.0).unwrap();
        let want = [0.2, 0.8, 0.0, 1.0 / 14.0, 2.0 / 7.0, 9.0 / 14.0];
        assert_close(&values(&y), &want, SOFTMAX.of(dtype));
    }
}

/// Values and gradients of PyTorch's `scaled_dot_product_attention` in f64.
#[test]
fn attention_as_published() {
    let numbers = |shape: &[usize], seed: usize| {
        let count = shape.iter().product();
        let values: Vec<f64> =
            (0..count).map(|k: usize| ((k * 7 + seed * 5 + 3) % 13) as f64 / 8.0 - 0.75).collect();
        tensor(DType::F64, &values, shape).requiring_grad()
    };
    let (q, k, v) = (numbers(&[1, 2, 3], 1), numbers(&[1, 4, 3], 2), numbers(&[1, 4, 2], 3));
    let mask = [true, false, true, true, true, true, false, true];
    let mask = Tensor::from_vec(mask, [2, 4], &cpu()).unwrap();
    let options = AttentionOptions { mask: Some(&mask), ..AttentionOptions::default() };
    let y = q.attention(&k, &v, options).unwrap();
    let near =
        |got: &Tensor, want: &[f64]| assert_close(&values(got), want, SOFTMAX.of(DType::F64));
    near(&y, &[0.117265338985237, -0.204285406702879, 0.0077346610147634, 0.014082576446608]);
    let grads = y.backward_with(&numbers(&[1, 2, 2], 4).detach()).unwrap();
    near(
        grads.wrt(&q).unwrap(),
        &[
            0.0582344494683617,
            -0.00302967203956234,
            0.0582344494683617,
            0.0593248007864466,
            -0.017071451955466,
            0.0593248007864466,
        ],
    );
    near(
        grads.wrt(&k).unwrap(),
        &[
            0.00394093673401522,
            0.0038713961845715,
            -0.0087801819647296,
            -0.00531818230286411,
            0.00709090973715214,
            -0.00354545486857607,
            0.00426371828213014,
            -0.00852743656426028,
            0.00639557742319521,
            -0.00288647271328125,
            -0.00243486935746337,
            0.00593005941011046,
        ],
    );
    near(
        grads.wrt(&v).unwrap(),
        &[
            0.422733584185135,
            -0.124095878773509,
            0.169308780867797,
            -0.0338617561735593,
            0.135447024694237,
            -0.0677235123471186,
            0.397510610252831,
            -0.149318852705813,
        ],
    );
}

/// Cross-entropy without options, with its gradient.
const PLAIN: CrossEntropy = CrossEntropy {
    log: false,
    smoothing: 0.0,
    ignored: None,
    weighted: false,
    reduction: Reduction::Mean,
    gradient: true,
};

#[test]
fn cross_entropy_by_hand() {
    let (ln2, ln3) = (2f64.ln(), 3f64.ln());
    for dtype in FLOATS {
        for labels in [DType::I32, DType::U32] {
            let x = tensor(dtype, &[0.0, ln2, ln3, 0.0, ln2, ln3], &[2, 3]).requiring_grad();
            let labels = tensor(labels, &[0.0, 2.0], &[2]);
            // p = (1/6, 1/3, 1/2): the losses are ln 6 and ln 2.
            let loss = x.cross_entropy(&labels).unwrap();
            assert_close(&values(&loss), &[(6f64.ln() + ln2) / 2.0], LOSS.of(dtype));
            let grads = loss.backward().unwrap();
            let want = [-5.0, 2.0, 3.0, 1.0, 2.0, -3.0].map(|x| x / 12.0);
            assert_close(&values(grads.wrt(&x).unwrap()), &want, SOFTMAX.of(dtype));
            // Smoothing 0.3: 0.7 of that, and 0.1 of each class: Σ -ln p = ln 36.
            let loss = x.cross_entropy_smoothed(&labels, 0.3).unwrap();
            let share = f64::from(0.3f32);
            let want = (1.0 - share) * (6f64.ln() + ln2) / 2.0 + share * 36f64.ln() / 3.0;
            assert_close(&values(&loss), &[want], LOSS.of(dtype));
            let grads = loss.try_mul(6.0).unwrap().backward().unwrap();
            let p = [1.0 / 6.0, 1.0 / 3.0, 0.5];
            let want: Vec<f64> = (0..6)
                .map(|i| {
                    let hit = f64::from(i == 0 || i == 5);
                    3.0 * (p[i % 3] - (1.0 - share) * hit - share / 3.0)
                })
                .collect();
            assert_close(&values(grads.wrt(&x).unwrap()), &want, SOFTMAX.of(dtype));
        }
    }
    let loss = f32s(&[1.0, 2.0]).mse(&f32s(&[0.0, 4.0])).unwrap();
    assert_eq!(values(&loss), [2.5]);
}

// ---- values: indices, moves, creation ----------------------------------------------------------------

#[test]
fn rows_by_index() {
    for dtype in [DType::F32, DType::F64, DType::F16, DType::I32, DType::U32] {
        let table = tensor(dtype, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2]);
        let index = Tensor::from_vec([2u32, 0, 2, 2], [2, 2], &cpu()).unwrap();
        let rows = table.gather(&index).unwrap();
        assert_eq!(rows.shape(), [2, 2, 2]);
        assert_eq!(values(&rows), [5.0, 6.0, 1.0, 2.0, 5.0, 6.0, 5.0, 6.0]);
        let back = rows.scatter_rows(&index, 4).unwrap();
        assert_eq!(values(&back), [1.0, 2.0, 0.0, 0.0, 15.0, 18.0, 0.0, 0.0]);
        let sums = table.scatter_rows(&i32s(&[1, 1, 1]), 2).unwrap();
        assert_eq!(values(&sums), [0.0, 0.0, 9.0, 12.0]);
        let columns = table.t().unwrap().gather(&i32s(&[1, 1])).unwrap();
        assert_eq!(values(&columns), [2.0, 4.0, 6.0, 2.0, 4.0, 6.0]);
    }
    let hot = i32s(&[1, 0]).one_hot(2).unwrap();
    assert_eq!(values(&hot), [0.0, 1.0, 1.0, 0.0]);
}

#[test]
fn moves_and_creation() {
    for dtype in [DType::F32, DType::F64, DType::F16, DType::I32, DType::U32, DType::Bool] {
        let x = tensor(dtype, &[1.0, 0.0, 1.0, 1.0, 0.0, 0.0], &[2, 3]);
        assert_eq!(values(&x.t().unwrap().contiguous().unwrap()), [1.0, 1.0, 0.0, 0.0, 1.0, 0.0]);
        let both = Tensor::concat(&[&x, &x.slice(1, 1..2).unwrap()], 1).unwrap();
        assert_eq!(values(&both), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        let padded = x.slice(1, 2..3).unwrap().pad(1, 1, 1).unwrap();
        assert_eq!(values(&padded), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        let target = Tensor::full([3, 2], 1.0, dtype, &cpu()).unwrap();
        target.slice(0, 1..2).unwrap().assign(&x.t().unwrap().slice(0, 1..2).unwrap()).unwrap();
        assert_eq!(values(&target), [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
    }
    let counted = Tensor::arange(-1.0, 1.0, 0.75, DType::F32, &cpu()).unwrap();
    assert_eq!(values(&counted), [-1.0, -0.25, 0.5]);
    let x = f32s(&[-1.5, 0.0, 3e9, 2.0]);
    assert_eq!(x.cast(DType::U32).unwrap().to_vec::<u32>().unwrap(), [0, 0, 3_000_000_000, 2]);
    assert_eq!(x.cast(DType::Bool).unwrap().to_vec::<bool>().unwrap(), [true, false, true, true]);
    let flags = x.cast(DType::Bool).unwrap();
    for dtype in [DType::F32, DType::F16, DType::I32, DType::U32, DType::F64] {
        assert_eq!(values(&flags.cast(dtype).unwrap()), [1.0, 0.0, 1.0, 1.0]);
    }
    assert_eq!(i32s(&[-1]).cast(DType::U32).unwrap().to_vec::<u32>().unwrap(), [u32::MAX]);
}

/// Source and target of an assignment in one memory, overlapping.
#[test]
fn assigning_within_one_memory() {
    let x = tensor(DType::F32, &[1.0, 2.0, 3.0, 4.0], &[2, 2]);
    x.assign(&x.t().unwrap()).unwrap();
    assert_eq!(values(&x), [1.0, 3.0, 2.0, 4.0]);
    let line = i32s(&[1, 2, 3, 4, 5]);
    line.slice(0, 1..5).unwrap().assign(&line.slice(0, 0..4).unwrap()).unwrap();
    assert_eq!(values(&line), [1.0, 1.0, 2.0, 3.0, 4.0]);
    let halves = tensor(DType::F16, &[1.0, 2.0, 3.0], &[3]);
    halves.slice(0, 0..2).unwrap().assign(&halves.slice(0, 1..3).unwrap()).unwrap();
    assert_eq!(values(&halves), [2.0, 3.0, 3.0]);
}

// ---- values: optimizers --------------------------------------------------------------------------------

/// Parameters whose gradients are g: the loss is Σ g·p.
fn step_setup(p: &[f32], g: &[f32]) -> (FlatParameters, wgrad_core::Gradients) {
    let flat = FlatParameters::new(&[("p", &[p.len()][..], p.to_vec())], &cpu()).unwrap();
    let loss = flat.get("p").unwrap().try_mul(&f32s(g)).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    (flat, gradients)
}

/// hyper of plain or heavy descent over one range.
fn sgd_hyper(flat: &FlatParameters, [rate, momentum, decay]: [f32; 3]) -> Tensor {
    let mut all = vec![rate, momentum];
    all.resize(NUMBERS, 0.0);
    all.extend(range(0, 1.0, decay));
    flat.hyper(&all).unwrap()
}

fn sgd(
    flat: &FlatParameters,
    g: &wgrad_core::Gradients,
    hyper: &Tensor,
    v: Option<&Tensor>,
    nesterov: bool,
) -> wgrad_core::Result<()> {
    let moments: Vec<Tensor> = v.cloned().into_iter().collect();
    flat.update(Rule::Sgd { momentum: v.is_some(), nesterov }, g, hyper, &moments)
}

#[test]
fn two_steps_of_sgd_by_hand() {
    let (flat, g) = step_setup(&[1.0, -2.0], &[0.5, 1.0]);
    let hyper = sgd_hyper(&flat, [0.1, 0.9, 0.0]);
    let v = flat.zeros_like().unwrap();
    sgd(&flat, &g, &hyper, Some(&v), false).unwrap();
    assert_close(&values(flat.values()), &[0.95, -2.1], STEP);
    sgd(&flat, &g, &hyper, Some(&v), false).unwrap(); // v = 0.9 g + g = 1.9 g
    assert_close(&values(&v), &[0.95, 1.9], STEP);
    assert_close(&values(flat.values()), &[0.855, -2.29], STEP);

    let (flat, g) = step_setup(&[1.0, -2.0], &[0.5, 1.0]);
    let hyper = sgd_hyper(&flat, [0.1, 0.9, 0.5]);
    let v = flat.zeros_like().unwrap();
    sgd(&flat, &g, &hyper, Some(&v), true).unwrap(); // g + decay·p = (1, 0); step 1.9 of it
    assert_close(&values(flat.values()), &[0.81, -2.0], STEP);
    sgd(&flat, &g, &hyper, Some(&v), true).unwrap(); // g = (0.905, 0); v = (1.805, 0); step g + 0.9 v
    assert_close(&values(flat.values()), &[0.81 - 0.1 * (0.905 + 0.9 * 1.805), -2.0], STEP);

    let (flat, g) = step_setup(&[1.0, -2.0], &[0.5, 1.0]);
    sgd(&flat, &g, &sgd_hyper(&flat, [0.1, 0.9, 0.5]), None, false).unwrap();
    assert_close(&values(flat.values()), &[0.9, -2.0], STEP);
}

fn adam_hyper(flat: &FlatParameters, rate: f32, eps: f32, decay: f32) -> Tensor {
    let (b1, b2) = (0.9f64, 0.999f64);
    let rest = [1.0 - b1, 1.0 - b2, b1.ln(), b2.ln()].map(|x| x as f32);
    let numbers = [&[rate, b1 as f32, b2 as f32, eps][..], &rest, &range(0, 1.0, decay)].concat();
    flat.hyper(&numbers).unwrap()
}

#[test]
fn two_steps_of_adam_by_hand() {
    let adam = Rule::Adam { decoupled: false };
    // The first step is rate·sign(g) whatever g is, and so is the second with the same g.
    let (flat, g) = step_setup(&[1.0, -2.0, 3.0], &[0.5, -4.0, 1e-3]);
    let hyper = adam_hyper(&flat, 0.01, 0.0, 0.0);
    // Both moments in one memory: several outputs of one operation.
    let moments = Tensor::zeros([6], &cpu()).unwrap();
    let (m, v) = (moments.slice(0, 0..3).unwrap(), moments.slice(0, 3..6).unwrap());
    let state = [m.clone(), v.clone(), Tensor::zeros([1], &cpu()).unwrap()];
    flat.update(adam, &g, &hyper, &state).unwrap();
    assert_close(&values(flat.values()), &[0.99, -1.99, 2.99], STEP);
    assert_close(&values(&m), &[0.05, -0.4, 1e-4], STEP);
    assert_close(&values(&v), &[0.25e-3, 16e-3, 1e-9], STEP);
    flat.update(adam, &g, &hyper, &state).unwrap();
    assert_close(&values(flat.values()), &[0.98, -1.98, 2.98], STEP);
    assert_close(&values(&m), &[0.095, -0.76, 1.9e-4], STEP);
    assert_eq!(values(&state[2]), [2.0]);

    // Decay: within g it changes nothing but signs here; decoupled it shrinks p by rate·decay first.
    for (decoupled, want) in [(false, [0.99, -1.99]), (true, [0.985, -1.98])] {
        let (flat, g) = step_setup(&[1.0, -2.0], &[0.5, -4.0]);
        let rule = Rule::Adam { decoupled };
        let state = flat.moments(rule).unwrap();
        flat.update(rule, &g, &adam_hyper(&flat, 0.01, 0.0, 0.5), &state).unwrap();
        assert_close(&values(flat.values()), &want, STEP);
        assert_close(
            &values(&state[0]),
            &[if decoupled { 0.05 } else { 0.1 }, if decoupled { -0.4 } else { -0.5 }],
            STEP,
        );
    }

    // Epsilon stands outside the root: |g| = eps halves the step.
    let (flat, g) = step_setup(&[1.0], &[1e-3]);
    let state = flat.moments(adam).unwrap();
    flat.update(adam, &g, &adam_hyper(&flat, 0.01, 1e-3, 0.0), &state).unwrap();
    assert_close(&values(flat.values()), &[0.995], STEP);
}

/// Two steps of a rule with these numbers from p = (1, -2) with g = (0.5, -1): p after each.
fn two_steps(rule: Rule, numbers: &[f32], decay: f32) -> [Vec<f64>; 2] {
    let (flat, g) = step_setup(&[1.0, -2.0], &[0.5, -1.0]);
    let mut all = numbers.to_vec();
    all.resize(NUMBERS, 0.0);
    all.extend(range(0, 1.0, decay));
    let (hyper, state) = (flat.hyper(&all).unwrap(), flat.moments(rule).unwrap());
    [(); 2].map(|()| {
        flat.update(rule, &g, &hyper, &state).unwrap();
        values(flat.values())
    })
}

#[test]
fn two_steps_of_the_other_rules_by_hand() {
    // s = 0.25 g², then 0.4375 g²: steps 0.1 sign(g) / 0.5 and / 0.66143783.
    let rmsprop = |centered, momentum| Rule::RmsProp { centered, momentum };
    let [one, two] = two_steps(rmsprop(false, false), &[0.1, 0.75, 0.25, 0.0], 0.0);
    assert_close(&one, &[0.8, -1.8], STEP);
    assert_close(&two, &[0.8 - 0.151_185_789, -1.8 + 0.151_185_789], STEP);
    // Velocity 2, then 0.5·2 + 1.51185789.
    let [one, two] = two_steps(rmsprop(false, true), &[0.1, 0.75, 0.25, 0.0, 0.5], 0.0);
    assert_close(&one, &[0.8, -1.8], STEP);
    assert_close(&two, &[0.8 - 0.251_185_789, -1.8 + 0.251_185_789], STEP);
    // Means 0.25 g and 0.4375 g: variances (0.25 - 0.0625) g² and (0.4375 - 0.19140625) g².
    let [one, two] = two_steps(rmsprop(true, false), &[0.1, 0.75, 0.25, 0.0], 0.0);
    assert_close(&one, &[1.0 - 0.230_940_108, -2.0 + 0.230_940_108], STEP);
    let second = 0.1 / 0.246_093_75f64.sqrt();
    assert_close(&two, &[1.0 - 0.230_940_108 - second, -2.0 + 0.230_940_108 + second], STEP);
    // Epsilon outside the root, decay within g: g = 0.5 + 0.5·1 = 1 and -1 - 1 = -2; roots 0.5 and 1.
    let [one, _] = two_steps(rmsprop(false, false), &[0.1, 0.75, 0.25, 0.5], 0.5);
    assert_close(&one, &[0.9, -2.0 + 0.2 / 1.5], STEP);

    // Sums g² and 2 g²: steps 0.1 and 0.1 / √2.
    let [one, two] = two_steps(Rule::Adagrad, &[0.1, 0.0], 0.0);
    assert_close(&one, &[0.9, -1.9], STEP);
    assert_close(&two, &[0.9 - 0.070_710_678, -1.9 + 0.070_710_678], STEP);

    // The sign alone, and the decay of p itself: 0.1·(1 + 0.5·1) and 0.1·(-1 - 0.5·2).
    let [one, two] = two_steps(Rule::Lion, &[0.1, 0.9, 0.99, 0.1, 0.01], 0.5);
    assert_close(&one, &[0.85, -1.8], STEP);
    assert_close(&two, &[0.85 - 0.1 - 0.0425, -1.8 + 0.1 + 0.09], STEP);
}

#[test]
fn ranges_have_rates_and_decays_of_their_own() {
    let (flat, g) = step_setup(&[1.0; 5], &[1.0; 5]);
    let numbers =
        [&[0.1; NUMBERS][..], &range(0, 1.0, 0.0), &range(2, 0.5, 1.0), &range(3, 0.0, 1.0)];
    let hyper = flat.hyper(&numbers.concat()).unwrap();
    flat.update(Rule::Sgd { momentum: false, nesterov: false }, &g, &hyper, &[]).unwrap();
    assert_close(&values(flat.values()), &[0.9, 0.9, 0.9, 1.0, 1.0], STEP);
}

#[test]
fn lengths_neither_overflow_nor_spread_nan() {
    let clip = |g: &[f32]| {
        let (flat, gradients) = step_setup(&vec![0.0; g.len()], g);
        let clipped = gradients.clip_norm(2.0).unwrap();
        let norm = f64::from(clipped.norm.item::<f32>().unwrap());
        (norm, values(clipped.gradients.wrt(flat.get("p").unwrap()).unwrap()))
    };
    let (norm, g) = clip(&[3e18, -4e18]);
    assert_close(&[norm], &[5e18], STEP);
    assert_close(&g, &[1.2, -1.6], STEP);
    assert_eq!(clip(&[0.0, 0.0]), (0.0, vec![0.0, 0.0]));
    assert_eq!(clip(&[0.5, -0.5]).1, [0.5, -0.5]);
    let (norm, g) = clip(&[f32::NAN, 7.0]);
    assert!(norm.is_nan() && g[1] == 7.0, "{norm} {g:?}");
    let (norm, g) = clip(&[f32::INFINITY, 7.0]);
    assert!(norm == f64::INFINITY && g[1] == 7.0, "{norm} {g:?}");
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-60] {
        let (_, gradients) = step_setup(&[1.0], &[1.0]);
        assert_fails(gradients.clip_norm(bad), ErrorKind::Argument, &["clip_norm", "above 0"]);
    }
    // Leaves in no flat buffer count too, each in its own memory.
    let (a, b) = (f32s(&[3.0]).requiring_grad(), f32s(&[4.0]).requiring_grad());
    let loss = a.try_mul(&b).unwrap().sum_all().unwrap();
    let clipped = loss.backward().unwrap().clip_norm(1.0).unwrap();
    assert_close(&values(clipped.gradients.wrt(&a).unwrap()), &[0.8], STEP);
    assert_close(&values(clipped.gradients.wrt(&b).unwrap()), &[0.6], STEP);
    assert_eq!(values(&a), [3.0]);
}

// ---- values: random numbers ------------------------------------------------------------------------------

#[test]
fn random_numbers_follow_philox() {
    let device = own_cpu();
    let seed = 0x0123_4567_89ab_cdef;
    device.seed(seed).unwrap();
    let key = [seed as u32, (seed >> 32) as u32];
    let block = |i: u32| philox4x32([i, 0, 0, 0], key);
    let first = Tensor::uniform([2, 3], -1.0, 3.0, &device).unwrap().to_vec::<f32>().unwrap();
    let want: Vec<f32> = (0..6).map(|i| -1.0 + 4.0 * unit(block(i / 4)[i as usize % 4])).collect();
    assert_eq!(first, want);
    // Six elements took two blocks.
    let next = Tensor::normal([5], 10.0, 2.0, &device).unwrap().to_vec::<f32>().unwrap();
    let bits = [block(2), block(3)].concat();
    let want: Vec<f64> = (0..5)
        .map(|i| {
            let (a, b) = (bits[i / 2 * 2], bits[i / 2 * 2 + 1]);
            let radius = (-2.0 * (1.0 - f64::from(unit(a))).ln()).sqrt();
            let angle = std::f64::consts::TAU * f64::from(unit(b));
            10.0 + 2.0 * radius * if i % 2 == 0 { angle.cos() } else { angle.sin() }
        })
        .collect();
    let next: Vec<f64> = next.into_iter().map(f64::from).collect();
    assert_close(&next, &want, FUNCTION);
    // An empty tensor takes nothing.
    Tensor::uniform([0], 0.0, 1.0, &device).unwrap();
    let after = Tensor::uniform([1], 0.0, 1.0, &device).unwrap().item::<f32>().unwrap();
    assert_eq!(after, unit(block(4)[0]));
}

// ---- gradients against differences, views against copies ---------------------------------------------------

type Body = fn(&[Tensor]) -> wgrad_core::Result<Tensor>;

/// A differentiable operation: name, shapes and range of the operands, the operation.
struct Row(&'static str, &'static [&'static [usize]], (f64, f64), Body);

fn condition() -> Tensor {
    Tensor::from_vec([true, false, true], [3], &cpu()).unwrap()
}

fn rows() -> Vec<Row> {
    const ONE: &[&[usize]] = &[&[4, 3]];
    const TWO: &[&[usize]] = &[&[4, 3], &[3]];
    const TURNED: &[&[usize]] = &[&[1, 3], &[4, 1]];
    const DENSE: &[&[usize]] = &[&[4, 5], &[3, 5], &[3]];
    const IMAGES: &[&[usize]] = &[&[2, 2, 5, 4], &[3, 2, 3, 2], &[3]];
    const ANY: (f64, f64) = (-2.0, 2.0);
    const POSITIVE: (f64, f64) = (0.2, 2.0);
    vec![
        Row("neg", ONE, ANY, |x| x[0].neg()),
        Row("exp", ONE, ANY, |x| x[0].exp()),
        Row("log", ONE, POSITIVE, |x| x[0].log()),
        Row("sqrt", ONE, POSITIVE, |x| x[0].sqrt()),
        Row("abs", ONE, ANY, |x| x[0].abs()),
        Row("square", ONE, ANY, |x| x[0].square()),
        Row("reciprocal", ONE, POSITIVE, |x| x[0].reciprocal()),
        Row("relu", ONE, ANY, |x| x[0].relu()),
        Row("leaky_relu", ONE, ANY, |x| x[0].leaky_relu(0.1)),
        Row("sigmoid", ONE, ANY, |x| x[0].sigmoid()),
        Row("tanh", ONE, ANY, |x| x[0].tanh()),
        Row("gelu", ONE, ANY, |x| x[0].gelu()),
        Row("gelu_tanh", ONE, ANY, |x| x[0].gelu_tanh()),
        Row("silu", ONE, ANY, |x| x[0].silu()),
        Row("softplus", ONE, ANY, |x| x[0].softplus()),
        Row("add", TWO, ANY, |x| x[0].try_add(&x[1])),
        Row("sub", TURNED, ANY, |x| x[0].try_sub(&x[1])),
        Row("mul", TURNED, ANY, |x| x[0].try_mul(&x[1])),
        Row("mul with itself", ONE, ANY, |x| x[0].try_mul(&x[0])),
        Row("div", TWO, POSITIVE, |x| x[0].try_div(&x[1])),
        Row("maximum", TWO, ANY, |x| x[0].maximum(&x[1])),
        Row("minimum", TURNED, ANY, |x| x[0].minimum(&x[1])),
        Row("pow", TWO, POSITIVE, |x| x[0].try_pow(&x[1])),
        Row("add number", ONE, ANY, |x| x[0].try_add(1.5)),
        Row("sub from number", ONE, ANY, |x| Ok(1.5 - &x[0])),
        Row("mul number", ONE, ANY, |x| x[0].try_mul(-1.5)),
        Row("div number", ONE, ANY, |x| x[0].try_div(1.5)),
        Row("number by", ONE, POSITIVE, |x| Ok(1.5 / &x[0])),
        Row("maximum number", ONE, ANY, |x| x[0].maximum(0.5)),
        Row("minimum number", ONE, ANY, |x| x[0].minimum(0.5)),
        Row("cube", ONE, ANY, |x| x[0].try_pow(3.0)),
        Row("to the -1.5", ONE, POSITIVE, |x| x[0].try_pow(-1.5)),
        Row("where", TWO, ANY, |x| condition().select(&x[0], &x[1])),
        Row("mask", ONE, ANY, |x| x[0].mask(&condition())),
        Row("sum", &[&[2, 3, 4]], ANY, |x| x[0].sum([0, 2])),
        Row("sum of rows", &[&[4, 37]], ANY, |x| x[0].sum([1])),
        Row("sum of columns", &[&[37, 11]], ANY, |x| x[0].sum([0])),
        Row("mean", &[&[2, 3, 4]], ANY, |x| x[0].mean_keep([1])),
        Row("max", &[&[2, 3, 4]], ANY, |x| x[0].max([0, -1])),
        Row("min", &[&[2, 3, 4]], ANY, |x| x[0].min_keep([1])),
        Row("var", &[&[3, 5]], ANY, |x| x[0].var([1], 1)),
        Row("matmul", &[&[4, 5], &[5, 3]], ANY, |x| x[0].matmul(&x[1])),
        Row("matmul in batches", &[&[2, 1, 4, 5], &[3, 5, 2]], ANY, |x| x[0].matmul(&x[1])),
        Row("matrix by vector", &[&[4, 5], &[5]], ANY, |x| x[0].matmul(&x[1])),
        Row("vector by matrix", &[&[4], &[4, 5]], ANY, |x| x[0].matmul(&x[1])),
        Row("linear", DENSE, ANY, |x| x[0].linear(&x[1], Some(&x[2]), None)),
        Row("linear without bias", &[&[2, 2, 5], &[3, 5]], ANY, |x| x[0].linear(&x[1], None, None)),
        Row("linear relu", DENSE, ANY, |x| {
            x[0].linear(&x[1], Some(&x[2]), Some(FusedActivation::Relu))
        }),
        Row("linear tanh", DENSE, ANY, |x| {
            x[0].linear(&x[1], Some(&x[2]), Some(FusedActivation::Tanh))
        }),
        Row("linear sigmoid", DENSE, ANY, |x| {
            x[0].linear(&x[1], Some(&x[2]), Some(FusedActivation::Sigmoid))
        }),
        Row("softmax", ONE, ANY, |x| x[0].softmax(1)),
        Row("softmax over 0", &[&[3, 2, 2]], ANY, |x| x[0].softmax(0)),
        Row("log_softmax", ONE, ANY, |x| x[0].log_softmax(0)),
        Row("masked_softmax", ONE, ANY, |x| x[0].masked_softmax(Some(&condition()), true, 1.5)),
        Row("attention", &[&[2, 3, 4], &[2, 5, 4], &[5, 2]], ANY, |x| {
            x[0].attention(&x[1], &x[2], AttentionOptions { causal: true, ..Default::default() })
        }),
        Row("split", &[&[4, 7]], ANY, |x| {
            let parts = x[0].split(1, 3)?;
            parts[0].slice(1, 0..1)?.try_mul(&parts[2])
        }),
        Row("unbind and stack", &[&[4, 3]], ANY, |x| {
            let parts = x[0].unbind(1)?;
            Tensor::stack(&[&parts[2], &parts[0].square()?, &parts[2]], 1)
        }),
        Row("cross_entropy", ONE, ANY, |x| x[0].cross_entropy(&i32s(&[2, 0, 1, 2]))),
        Row("smoothed cross_entropy", &[&[2, 2, 3]], ANY, |x| {
            x[0].cross_entropy_smoothed(&i32s(&[2, 0, 1, 2]).reshape([2, 2])?, 0.2)
        }),
        Row("mse", &[&[4, 3], &[4, 3]], ANY, |x| x[0].mse(&x[1])),
        Row("gather", ONE, ANY, |x| x[0].gather(&i32s(&[3, 1, 3]))),
        Row("scatter_rows", ONE, ANY, |x| x[0].scatter_rows(&i32s(&[1, 4, 1, 0]), 5)),
        Row("slice", &[&[4, 7]], ANY, |x| x[0].slice_step(1, 1..6, 2)),
        Row("pad", ONE, ANY, |x| x[0].pad(0, 1, 2)),
        Row("concat", &[&[4, 3], &[4, 1]], ANY, |x| Tensor::concat(&[&x[0], &x[1], &x[0]], 1)),
        Row("permute", &[&[2, 3, 4]], ANY, |x| x[0].permute([2, 0, 1])),
        Row("reshape", ONE, ANY, |x| x[0].t()?.reshape([2, 6])),
        Row("broadcast", &[&[4, 1]], ANY, |x| x[0].broadcast_to([2, 4, 3])),
        Row("contiguous", ONE, ANY, |x| x[0].t()?.contiguous()),
        Row("conv2d", IMAGES, ANY, |x| {
            let options = Conv2dOptions::new().stride([2, 1]).padding(1).dilation([1, 2]);
            x[0].conv2d(&x[1], Some(&x[2]), &options)
        }),
        Row("conv_transpose2d", &[&[2, 2, 5, 4], &[2, 3, 3, 2]], ANY, |x| {
            x[0].conv_transpose2d(&x[1], None, &Conv2dOptions::new().stride(2), [0, 1])
        }),
        Row("max_pool2d", &[&[2, 2, 5, 4]], ANY, |x| {
            x[0].max_pool2d(&Pool2dOptions::new(3).stride(2).padding(1))
        }),
        Row("avg_pool2d", &[&[2, 2, 5, 4]], ANY, |x| {
            x[0].avg_pool2d(&Pool2dOptions::new(3).stride(2).padding(1).count_include_pad(false))
        }),
        Row("adaptive_avg_pool2d", &[&[2, 2, 5, 4]], ANY, |x| x[0].adaptive_avg_pool2d([2, 3])),
    ]
}

#[test]
fn gradients_agree_with_differences() {
    let mut stream = Stream::new(7, 0);
    for Row(name, shapes, (low, high), f) in rows() {
        let leaves: Vec<Tensor> =
            shapes.iter().map(|s| random(&mut stream, s, low, high).requiring_grad()).collect();
        let y = f(&leaves).unwrap();
        let cotangent = random(&mut stream, y.shape(), -1.0, 1.0);
        let grads = y.backward_with(&cotangent).unwrap();
        for (i, leaf) in leaves.iter().enumerate() {
            let gradient = grads.wrt(leaf).unwrap();
            assert_eq!(gradient.shape(), leaf.shape(), "{name}");
            let start = values(leaf);
            let shifted = |j: usize, by: f64| -> f64 {
                let mut data = start.clone();
                data[j] += by;
                let mut xs = leaves.clone();
                xs[i] = Tensor::from_vec(data, leaf.shape(), &cpu()).unwrap();
                let y = no_grad(|| f(&xs)).unwrap();
                values(&y.try_mul(&cotangent).unwrap().sum_all().unwrap())[0]
            };
            let want: Vec<f64> = (0..start.len())
                .map(|j| {
                    let h = DIFFERENCE_STEP;
                    (shifted(j, h) - shifted(j, -h)) / (2.0 * h)
                })
                .collect();
            println!("{name}, operand {i}");
            assert_close(&values(gradient), &want, DIFFERENCE);
        }
    }
}

/// The same elements in memory laid out another way.
fn look(x: &Tensor, way: usize) -> Tensor {
    let reversed: Vec<isize> = (0..x.rank() as isize).rev().collect();
    match way {
        // transposed storage
        0 => x.permute(&reversed).unwrap().contiguous().unwrap().permute(&reversed).unwrap(),
        // every second element, with an offset, along the last axis
        1 => {
            let last = x.rank() - 1;
            let size = x.shape()[last];
            let mut shape = x.shape().to_vec();
            shape[last] = 2 * size + 1;
            let wide = Tensor::full(&shape, 9.0, x.dtype(), &cpu()).unwrap();
            let look = wide.slice_step(last as isize, 1..2 * size + 1, 2).unwrap();
            look.assign(x).unwrap();
            look
        }
        // one row repeated with stride 0
        _ => {
            let mut row = x.slice(0, 0..1).unwrap();
            row = row.broadcast_to(x.shape()).unwrap();
            row
        }
    }
}

#[test]
fn views_give_the_bits_of_their_copies() {
    let mut stream = Stream::new(8, 0);
    for Row(name, shapes, (low, high), f) in rows() {
        for dtype in FLOATS {
            for way in 0..3 {
                let views: Vec<Tensor> = (shapes.iter())
                    .map(|s| look(&random(&mut stream, s, low, high).cast(dtype).unwrap(), way))
                    .collect();
                let run = |xs: Vec<Tensor>| {
                    let leaves: Vec<Tensor> = xs.iter().map(Tensor::requiring_grad).collect();
                    let y = f(&leaves).unwrap();
                    let grads = gradients(&y);
                    let mut all = bits(&y);
                    leaves.iter().for_each(|x| all.extend(bits(grads.wrt(x).unwrap())));
                    all
                };
                let copies: Vec<Tensor> = (views.iter())
                    .map(|x| {
                        let flat = values(x);
                        tensor(dtype, &flat, x.shape())
                    })
                    .collect();
                assert_eq!(run(views), run(copies), "{name} {dtype} way {way}");
            }
        }
    }
}

/// Every operation writes into a strided view with an offset, and nowhere beside it.
#[test]
fn outputs_go_where_the_view_says_and_nowhere_else() {
    let device = own_cpu();
    let mut stream = Stream::new(9, 0);
    let meta = |dtype, shape: &[usize]| Meta { shape: Shape::new("test", shape).unwrap(), dtype };
    let f = |shape: &[usize]| meta(DType::F32, shape);
    let (i, b) =
        (|shape: &[usize]| meta(DType::I32, shape), |shape: &[usize]| meta(DType::Bool, shape));
    let sum = |axes, keep| Reduce { op: ReduceOp::Sum, axes, keep };
    let shape = Shape::new("test", &[3, 5]).unwrap();
    let dense = Linear { bias: true, activation: Some(FusedActivation::Relu) };
    let normal = Distribution::Normal { mean: 0.0, std: 1.0 };
    let state = meta(DType::U32, &[4]);
    let (options, windows) = (Conv2dOptions::new().padding(1).groups(2), Pool2dOptions::new(2));
    let reduction = Reduction::None;
    let weighted = CrossEntropy { smoothing: 0.1, weighted: true, reduction, ..PLAIN };
    let rows: Vec<(Op, Vec<Meta>)> = vec![
        (Unary::Exp.into(), vec![f(&[4, 3])]),
        (UnaryBackward(Unary::Silu).into(), vec![f(&[4, 3]), f(&[4, 3])]),
        (Binary::Mul.into(), vec![f(&[4, 3]), f(&[3])]),
        (Scalar { op: Binary::Sub, value: 2.0, left: true }.into(), vec![i(&[4, 3])]),
        (Compare::Lt.into(), vec![f(&[4, 3]), f(&[4, 1])]),
        (CompareScalar { op: Compare::Ge, value: 1.0 }.into(), vec![i(&[4, 3])]),
        (Where.into(), vec![b(&[3]), f(&[4, 3]), f(&[1])]),
        (Mask { keep: false }.into(), vec![b(&[4, 1]), f(&[3])]),
        (sum(0b101, false).into(), vec![f(&[4, 3, 2])]),
        (sum(0b01, true).into(), vec![f(&[40, 30])]),
        (sum(0b10, false).into(), vec![f(&[4, 30])]),
        (ArgReduce { max: true, axes: 1 }.into(), vec![f(&[4, 3])]),
        (MatMul.into(), vec![f(&[2, 4, 3]), f(&[2, 3, 5])]),
        (dense.into(), vec![f(&[4, 3]), f(&[5, 3]), f(&[5])]),
        (Softmax { axis: 0, log: false }.into(), vec![f(&[4, 3])]),
        (SoftmaxBackward { axis: 1, log: true }.into(), vec![f(&[4, 3]), f(&[4, 3])]),
        (MaskedSoftmax { causal: true, scale: 0.5 }.into(), vec![f(&[4, 3]), b(&[4, 1])]),
        (MaskedSoftmaxBackward { scale: 0.5 }.into(), vec![f(&[4, 3]), f(&[4, 3])]),
        (PLAIN.into(), vec![f(&[4, 3]), i(&[4])]),
        (weighted.into(), vec![f(&[4, 3]), i(&[4]), f(&[3])]),
        (Gather.into(), vec![f(&[4, 3]), i(&[2, 2])]),
        (ScatterRows { rows: 5 }.into(), vec![f(&[4, 3]), i(&[4])]),
        (Copy.into(), vec![f(&[4, 3])]),
        (Assign.into(), vec![f(&[4, 3]), f(&[4, 3])]),
        (Cast(DType::F16).into(), vec![f(&[4, 3])]),
        (Cast(DType::F64).into(), vec![f(&[4, 3])]),
        (Concat { axis: 1 }.into(), vec![f(&[4, 3]), f(&[4, 2])]),
        (Pad { axis: 0, start: 1, step: 2, size: 9 }.into(), vec![f(&[4, 3])]),
        (Fill { shape, dtype: DType::F16, value: 0.1 }.into(), vec![]),
        (Arange { start: 1.0, step: 2.0, count: 7, dtype: DType::I32 }.into(), vec![]),
        (OneHot { classes: 3 }.into(), vec![i(&[4])]),
        (Random { shape, distribution: normal }.into(), vec![state]),
        (Conv { options, bias: true }.into(), vec![f(&[2, 2, 5, 4]), f(&[4, 1, 3, 2]), f(&[4])]),
        (
            ConvInput { options, size: [5, 4], bias: false }.into(),
            vec![f(&[2, 4, 5, 5]), f(&[4, 1, 3, 2])],
        ),
        (ConvWeight { options, kernel: [3, 2] }.into(), vec![f(&[2, 2, 5, 4]), f(&[2, 4, 5, 5])]),
        (MaxPool { options: windows, index: true }.into(), vec![f(&[2, 2, 5, 4])]),
        (
            MaxPoolBackward { options: windows, size: [5, 4] }.into(),
            vec![f(&[2, 2, 2, 2]), meta(DType::U32, &[2, 2, 2, 2])],
        ),
        (AvgPool(Averages::Adaptive([2, 3])).into(), vec![f(&[2, 2, 5, 4])]),
        (
            AvgPoolBackward { averages: Averages::Sliding(windows), size: [5, 4] }.into(),
            vec![f(&[2, 2, 2, 2])],
        ),
    ];
    let backend = device.backend();
    let load = |meta: Meta, strided: bool, data: &[u8]| -> View {
        let size = meta.dtype.size();
        let mut layout = Layout::contiguous(meta.shape);
        if strided {
            let wide: Vec<usize> = layout.strides.iter().map(|s| s * 2).collect();
            layout.strides = Shape::new("test", &wide).unwrap();
            layout.offset = 3;
        }
        // Other bytes for the strided outputs, so that an element left out would differ.
        let bytes = vec![if strided { CANARY } else { !CANARY }; (layout.end() + 3) * size];
        let buf = backend.alloc(bytes.len(), Role::Scratch).unwrap();
        backend.upload(&buf, 0, &bytes).unwrap();
        for (at, element) in positions(&layout).into_iter().zip(data.chunks(size)) {
            backend.upload(&buf, at * size, element).unwrap();
        }
        View { buf, layout, dtype: meta.dtype }
    };
    // Elements in row-major order, and what lies between them.
    let split = |view: &View| -> (Vec<Vec<u8>>, usize) {
        let size = view.dtype.size();
        let bytes = backend.download(&view.buf, 0..view.buf.bytes()).unwrap();
        let bytes = bytes.wait(wgrad_core::READ_TIMEOUT).unwrap();
        let at = positions(&view.layout);
        let elements = at.iter().map(|at| bytes[at * size..(at + 1) * size].to_vec()).collect();
        let beside = (bytes.chunks(size).enumerate()).filter(|(i, chunk)| {
            !at.contains(i) && chunk.iter().any(|&byte| byte != bytes[bytes.len() - 1])
        });
        (elements, beside.count())
    };
    for (op, metas) in rows {
        let data: Vec<Vec<u8>> = (metas.iter())
            .map(|meta| {
                let x = random(&mut stream, &meta.shape, 0.1, 2.9).cast(meta.dtype).unwrap();
                match meta.dtype {
                    DType::F32 => bytemuck::cast_slice(&x.to_vec::<f32>().unwrap()).to_vec(),
                    DType::I32 => bytemuck::cast_slice(&x.to_vec::<i32>().unwrap()).to_vec(),
                    DType::Bool => {
                        let bits = x.to_vec::<bool>().unwrap().into_iter().map(u32::from);
                        bytemuck::cast_slice(&bits.collect::<Vec<u32>>()).to_vec()
                    }
                    _ => {
                        let count = meta.shape.numel() as u32;
                        bytemuck::cast_slice(&(1..=count).collect::<Vec<u32>>()).to_vec()
                    }
                }
            })
            .collect();
        let outs = op.outputs(&metas).unwrap();
        let run = |strided: bool| -> Vec<(Vec<Vec<u8>>, usize)> {
            let ins: Vec<View> =
                metas.iter().zip(&data).map(|(&meta, data)| load(meta, false, data)).collect();
            let mut outs: Vec<View> = outs.iter().map(|&meta| load(meta, strided, &[])).collect();
            if let Op::Random(_) = op {
                outs[1] = ins[0].clone();
            }
            backend.run(&op, &ins, &outs).unwrap();
            outs.iter().map(split).collect()
        };
        let (plain, strided) = (run(false), run(true));
        for (plain, strided) in plain.iter().zip(&strided) {
            assert_eq!(plain.0, strided.0, "{}", op.name());
            assert_eq!((plain.1, strided.1), (0, 0), "{} wrote beside its output", op.name());
        }
    }
}

const CANARY: u8 = 0x5a;

/// Storage positions of a view's elements, row-major.
fn positions(layout: &Layout) -> Vec<usize> {
    let mut at = vec![layout.offset];
    for (&size, &stride) in layout.shape.iter().zip(layout.strides.iter()) {
        at = at.iter().flat_map(|at| (0..size).map(move |i| at + i * stride)).collect();
    }
    at
}

/// A rule's last operation writes straight into the flat gradient buffer, at an offset.
#[test]
fn gradients_of_parameters_lie_in_one_buffer() {
    let parameters: [(&str, &[usize], Vec<f32>); 4] = [
        ("unused", &[2, 2], vec![9.0; 4]),
        ("weight", &[2, 2], vec![1.0, 2.0, 3.0, 4.0]),
        ("bias", &[2], vec![0.0, 1.0]),
        ("scale", &[1], vec![2.0]),
    ];
    let flat = FlatParameters::new(&parameters, &cpu()).unwrap();
    let get = |name| flat.get(name).unwrap();
    let x = tensor(DType::F32, &[1.0, -1.0, 2.0, 0.5], &[2, 2]);
    let y = x.linear(get("weight"), Some(get("bias")), None).unwrap();
    let loss = y.try_mul(get("scale")).unwrap().sum_all().unwrap();
    let grads = loss.backward().unwrap();
    assert_eq!(values(grads.wrt(get("weight")).unwrap()), [6.0, -1.0, 6.0, -1.0]);
    assert_eq!(values(grads.wrt(get("bias")).unwrap()), [4.0, 4.0]);
    assert_eq!(values(grads.wrt(get("scale")).unwrap()), [-1.0 + 0.0 + 3.0 + 9.0]);
    assert!(grads.get(get("unused")).is_none());
    // The step sees the same numbers, and 0 for what was not reached.
    sgd(&flat, &grads, &sgd_hyper(&flat, [1.0, 0.0, 0.0]), None, false).unwrap();
    assert_eq!(values(get("unused")), [9.0; 4]);
    assert_eq!(values(get("weight")), [-5.0, 3.0, -3.0, 5.0]);
    assert_eq!(values(get("bias")), [-4.0, -3.0]);
    assert_eq!(values(get("scale")), [-9.0]);
}

// ---- A: shapes, axes, arguments -----------------------------------------------------------------------------

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, &cpu()).unwrap()
}

#[test]
fn a01_add_of_shapes_that_do_not_broadcast() {
    let result = zeros(&[2, 3]).try_add(&zeros(&[4]));
    assert_fails(result, ErrorKind::Shape, &["add: cannot broadcast [2, 3] with [4]"]);
    let panic = std::panic::catch_unwind(|| &zeros(&[2, 3]) + &zeros(&[4])).unwrap_err();
    assert!(
        panic.downcast_ref::<String>().unwrap().contains("add: cannot broadcast [2, 3] with [4]")
    );
}

#[test]
fn a02_add_aligns_at_the_right() {
    assert_fails(zeros(&[2, 3]).try_add(&zeros(&[2])), ErrorKind::Shape, &["[2, 3]", "[2]"]);
}

#[test]
fn a03_nothing_stretches_to_zero_but_one() {
    assert_fails(zeros(&[0]).try_add(&zeros(&[2])), ErrorKind::Shape, &["[0]", "[2]"]);
}

#[test]
fn a04_empty_operands_broadcast() {
    let y = zeros(&[0]).try_add(&zeros(&[1])).unwrap();
    assert_eq!((y.shape(), y.to_vec::<f32>().unwrap().len()), (&[0][..], 0));
    let y = zeros(&[2, 0, 3]).try_add(&zeros(&[2, 1, 3])).unwrap();
    assert_eq!((y.shape(), y.to_vec::<f32>().unwrap().len()), (&[2, 0, 3][..], 0));
}

#[test]
fn a05_types_do_not_mix() {
    let x = f32s(&[1.0]);
    for other in [DType::I32, DType::F16, DType::F64] {
        let other = x.cast(other).unwrap();
        let name = other.dtype().to_string();
        assert_fails(x.try_add(&other), ErrorKind::DType, &["add", "f32", &name]);
        assert_fails(x.try_lt(&other), ErrorKind::DType, &["f32", &name]);
        let matrix = other.reshape([1, 1]).unwrap();
        assert!(x.reshape([1, 1]).unwrap().matmul(&matrix).is_err());
    }
    assert_fails(
        x.try_gt(0.0).unwrap().try_add(&x.try_gt(0.0).unwrap()),
        ErrorKind::DType,
        &["bool"],
    );
    assert_fails(i32s(&[1]).exp(), ErrorKind::DType, &["exp", "i32"]);
    assert_fails(i32s(&[1]).try_add(0.5), ErrorKind::DType, &["0.5", "i32"]);
    assert_fails(x.to_vec::<i32>(), ErrorKind::DType, &["f32", "i32"]);
}

#[test]
fn a06_devices_do_not_mix() {
    let other = Tensor::zeros([2], &own_cpu()).unwrap();
    assert_fails(
        zeros(&[2]).try_add(&other),
        ErrorKind::Device,
        &["add", "different devices", "cpu and cpu"],
    );
    assert_eq!(values(&zeros(&[2]).try_add(&other.to(&cpu()).unwrap()).unwrap()), [0.0, 0.0]);
}

#[test]
fn a07_matmul_of_sizes_that_do_not_fit() {
    let m = |a: &[usize], b: &[usize]| zeros(a).matmul(&zeros(b));
    assert_fails(
        m(&[4, 3], &[5, 2]),
        ErrorKind::Shape,
        &["matmul: inner sizes differ, [4, 3] x [5, 2]"],
    );
    assert_fails(m(&[2, 4, 3], &[3, 3, 2]), ErrorKind::Shape, &["batch sizes differ"]);
    assert_fails(m(&[], &[3]), ErrorKind::Rank, &["matmul", "rank 1 or more"]);
    assert_fails(m(&[3], &[4]), ErrorKind::Shape, &["inner sizes differ"]);
    let w = zeros(&[3, 4]);
    assert_fails(zeros(&[2, 5]).linear(&w, None, None), ErrorKind::Shape, &["[2, 5]", "[3, 4]"]);
    let bias = zeros(&[4]);
    assert_fails(zeros(&[2, 4]).linear(&w, Some(&bias), None), ErrorKind::Shape, &["bias [4]"]);
    assert_fails(zeros(&[]).linear(&w, None, None), ErrorKind::Rank, &["linear"]);
    let rank_one = zeros(&[1, 1, 4]).linear(&zeros(&[4]), None, None);
    assert_fails(rank_one, ErrorKind::Shape, &["linear"]);
    let no_rank = zeros(&[1, 1, 4]).linear(&zeros(&[]), None, None);
    assert_fails(no_rank, ErrorKind::Shape, &["linear"]);
}

#[test]
fn a08_matmul_with_inner_size_zero() {
    for dtype in FLOATS {
        let a = tensor(dtype, &[], &[3, 0]).requiring_grad();
        let b = tensor(dtype, &[], &[0, 4]).requiring_grad();
        let y = a.matmul(&b).unwrap();
        assert_eq!((y.shape(), values(&y)), (&[3, 4][..], vec![0.0; 12]));
        let grads = gradients(&y);
        assert_eq!(grads.wrt(&a).unwrap().shape(), [3, 0]);
        assert_eq!(grads.wrt(&b).unwrap().shape(), [0, 4]);
        let w = tensor(dtype, &[], &[2, 0]);
        let bias = tensor(dtype, &[-1.0, 2.0], &[2]);
        let y = a.linear(&w, Some(&bias), Some(FusedActivation::Relu)).unwrap();
        assert_eq!(values(&y), [0.0, 2.0, 0.0, 2.0, 0.0, 2.0]);
    }
    for (a, b) in [(&[0, 3][..], &[3, 4][..]), (&[2, 0, 3], &[2, 3, 4]), (&[3, 4], &[4, 0])] {
        assert_eq!(zeros(a).matmul(&zeros(b)).unwrap().numel(), 0);
    }
}

#[test]
fn a09_reshape_to_another_count() {
    let x = zeros(&[2, 3]);
    assert_fails(x.reshape([4]), ErrorKind::Shape, &["reshape", "6", "4"]);
    assert_fails(x.reshape_infer([-1, -1]), ErrorKind::Argument, &["-1"]);
    assert_fails(x.reshape_infer([-1, 4]), ErrorKind::Shape, &["6", "[-1, 4]"]);
    assert_fails(zeros(&[0]).reshape_infer([-1, 0]), ErrorKind::Argument, &["-1", "0"]);
    assert_fails(x.reshape_infer([-2, 3]), ErrorKind::Argument, &["-2"]);
    assert_eq!(x.reshape_infer([3, -1]).unwrap().shape(), [3, 2]);
    assert_eq!(zeros(&[0, 3]).reshape([3, 0]).unwrap().shape(), [3, 0]);
}

#[test]
fn a10_permute_needs_each_axis_once() {
    let x = zeros(&[2, 3]);
    assert_fails(x.permute([0, 0]), ErrorKind::Argument, &["permute", "[0, 0]"]);
    assert_fails(x.permute([0]), ErrorKind::Argument, &["permute", "[0]"]);
    assert_fails(x.permute([0, 2]), ErrorKind::Axis, &["axis 2", "rank 2"]);
    assert_eq!(x.permute([-1, 0]).unwrap().shape(), [3, 2]);
}

#[test]
fn a11_reduction_over_axes_that_are_not_there() {
    let x = zeros(&[2, 3]);
    for axes in [&[2][..], &[-3], &[0, 5]] {
        assert_fails(x.sum(axes), ErrorKind::Axis, &["sum", "rank 2"]);
    }
    assert_fails(x.max([0, 0]), ErrorKind::Axis, &["axis 0", "twice"]);
    assert_fails(x.mean([0, -2]), ErrorKind::Axis, &["axis -2", "twice", "rank 2"]);
    assert_fails(zeros(&[]).sum([0]), ErrorKind::Axis, &["axis 0", "rank 0"]);
    assert_fails(x.argmax(2), ErrorKind::Axis, &["argmax", "axis 2"]);
    assert_fails(x.softmax(-3), ErrorKind::Axis, &["softmax", "axis -3"]);
    assert_eq!(zeros(&[]).sum([]).unwrap().item::<f32>().unwrap(), 0.0);
}

#[test]
fn a12_extremes_of_nothing() {
    let x = zeros(&[2, 0]);
    assert_fails(x.max([1]), ErrorKind::Empty, &["max", "no identity"]);
    assert_fails(x.min_all(), ErrorKind::Empty, &["min", "no identity"]);
    assert_fails(x.argmax(-1), ErrorKind::Empty, &["argmax"]);
    assert_eq!(x.max([0]).unwrap().shape(), [0]);
}

#[test]
fn a13_mean_and_sum_of_nothing() {
    for dtype in FLOATS {
        let x = tensor(dtype, &[], &[0, 3]);
        assert_close(&values(&x.mean([0]).unwrap()), &[NAN; 3], EXACT);
        assert_close(&values(&x.sum([0]).unwrap()), &[0.0; 3], EXACT);
        assert_close(&values(&x.mean_all().unwrap()), &[NAN], EXACT);
        assert_eq!(x.mean([1]).unwrap().shape(), [0]);
    }
}

#[test]
fn a14_variance_of_too_few() {
    let x = zeros(&[2, 3]);
    assert_fails(x.var([1], 3), ErrorKind::Argument, &["var", "ddof 3"]);
    assert_fails(x.var([1], 9), ErrorKind::Argument, &["var", "ddof 9"]);
    assert_fails(zeros(&[0]).var([0], 0), ErrorKind::Argument, &["var"]);
}

#[test]
#[allow(clippy::reversed_empty_ranges, reason = "the mistake under test")]
fn a15_slices_outside() {
    let x = zeros(&[2, 3]);
    assert_fails(x.slice(1, 0..4), ErrorKind::Range, &["slice", "0..4", "axis 1", "3"]);
    assert_fails(x.slice(0, 2..1), ErrorKind::Range, &["2..1"]);
    assert_fails(x.slice_step(0, 0..2, 0), ErrorKind::Argument, &["step 0"]);
    assert_fails(x.slice(2, 0..1), ErrorKind::Axis, &["axis 2"]);
    assert_eq!(x.slice(1, 3..3).unwrap().shape(), [2, 0]);
    assert_eq!(values(&x.slice(1, 3..3).unwrap().pad(1, 1, 0).unwrap()), [0.0, 0.0]);
}

#[test]
fn a16_concat_of_what_does_not_join() {
    assert_fails(Tensor::concat(&[], 0), ErrorKind::Argument, &["concat", "empty list"]);
    let (a, b) = (zeros(&[2, 3]), zeros(&[2, 4]));
    assert_fails(Tensor::concat(&[&a, &a, &b], 0), ErrorKind::Shape, &["operand 2", "[2, 4]"]);
    let c = i32s(&[1]).reshape([1, 1]).unwrap();
    assert_fails(Tensor::concat(&[&a, &c], 0), ErrorKind::DType, &["operand 1", "i32"]);
    assert_fails(Tensor::concat(&[&a], 2), ErrorKind::Axis, &["axis 2"]);
    assert_eq!(Tensor::concat(&[&a, &zeros(&[0, 3])], 0).unwrap().shape(), [2, 3]);
}

#[test]
fn a22_losses_do_not_broadcast() {
    assert_fails(
        zeros(&[4, 3]).mse(&zeros(&[4, 1])),
        ErrorKind::Shape,
        &["mse", "[4, 3]", "[4, 1]"],
    );
    let labels = i32s(&[0, 0, 0]);
    assert_fails(zeros(&[4, 3]).cross_entropy(&labels), ErrorKind::Shape, &["[4, 3]", "[3]"]);
}

#[test]
fn a26_as_many_elements_as_the_shape_holds() {
    let result = Tensor::from_vec([1.0f32, 2.0], [3], &cpu());
    assert_fails(result, ErrorKind::Shape, &["from_vec", "2 elements", "3"]);
}

#[test]
fn a27_sizes_that_overflow() {
    let before = own_cpu();
    let result = Tensor::zeros([1 << 32, 1 << 32], &before);
    assert_fails(result, ErrorKind::Size, &["[4294967296, 4294967296]"]);
    assert_eq!(before.memory().peak, 0);
    assert_fails(zeros(&[1]).broadcast_to([1 << 40, 1 << 40]), ErrorKind::Size, &["broadcast_to"]);
    assert_fails(zeros(&[1]).pad(0, usize::MAX, 1), ErrorKind::Size, &["pad"]);
}

#[test]
fn a28_item_needs_one_element() {
    assert_fails(zeros(&[2]).item::<f32>(), ErrorKind::Shape, &["item", "[2]"]);
    assert_fails(zeros(&[0]).item::<f32>(), ErrorKind::Shape, &["item", "[0]"]);
    assert_eq!(zeros(&[1, 1]).item::<f32>().unwrap(), 0.0);
}

#[test]
fn a29_rank_above_the_maximum() {
    let most = format!("at most {MAX_RANK}");
    assert_fails(Tensor::zeros([1; MAX_RANK + 1], &cpu()), ErrorKind::Rank, &["rank 7", &most]);
    assert_fails(zeros(&[1; MAX_RANK]).unsqueeze(0), ErrorKind::Rank, &[&most]);
    let index = Tensor::from_vec([0i32], [1; 4], &cpu()).unwrap();
    assert_fails(zeros(&[1; 4]).gather(&index), ErrorKind::Rank, &["gather", &most]);
}

#[test]
fn a30_arange_without_end() {
    let range = |start, end, step| Tensor::arange(start, end, step, DType::F32, &cpu());
    for step in [0.0, NAN, INF] {
        assert_fails(range(0.0, 1.0, step), ErrorKind::Argument, &["arange", "step"]);
    }
    assert_fails(range(0.0, INF, 1.0), ErrorKind::Argument, &["arange"]);
    assert_fails(range(NAN, 1.0, 1.0), ErrorKind::Argument, &["arange"]);
    assert_eq!(range(1.0, 0.0, 1.0).unwrap().numel(), 0);
    assert_eq!(values(&range(1.0, 0.0, -0.5).unwrap()), [1.0, 0.5]);
}

// ---- B: numbers ---------------------------------------------------------------------------------------------

#[test]
fn b01_activations_at_extremes() {
    for dtype in [DType::F32, DType::F64] {
        let big = if dtype == DType::F32 { f64::from(f32::MAX) } else { f64::MAX };
        let xs = [-big, -1e30, -100.0, -1e-38, 0.0, 1e-38, 100.0, 1e30, big];
        // Outer values and slopes at -MAX, -1e30, 1e30, MAX; in between only: no NaN, no infinity.
        let rows: [(Unary, [f64; 4], [f64; 4]); 8] = [
            (Unary::Tanh, [-1.0, -1.0, 1.0, 1.0], [0.0; 4]),
            (Unary::Sigmoid, [0.0, 0.0, 1.0, 1.0], [0.0; 4]),
            (Unary::Gelu, [0.0, 0.0, 1e30, big], [0.0, 0.0, 1.0, 1.0]),
            (Unary::GeluTanh, [0.0, 0.0, 1e30, big], [0.0, 0.0, 1.0, 1.0]),
            (Unary::Silu, [0.0, 0.0, 1e30, big], [0.0, 0.0, 1.0, 1.0]),
            (Unary::Softplus, [0.0, 0.0, 1e30, big], [0.0, 0.0, 1.0, 1.0]),
            (Unary::Relu, [0.0, 0.0, 1e30, big], [0.0, 0.0, 1.0, 1.0]),
            (Unary::LeakyRelu(0.0), [0.0, 0.0, 1e30, big], [0.0, 0.0, 1.0, 1.0]),
        ];
        for (op, value, slope) in rows {
            let x = tensor(dtype, &xs, &[9]).requiring_grad();
            let y = unary(op, &x);
            let grads = gradients(&y);
            let outer = |v: Vec<f64>| {
                assert!(v.iter().all(|x| x.is_finite()), "{op:?} {dtype}: {v:?}");
                [v[0], v[1], v[7], v[8]]
            };
            assert_close(&outer(values(&y)), &value, ROUNDED);
            assert_close(&outer(values(grads.wrt(&x).unwrap())), &slope, ROUNDED);
        }
        // At the infinities themselves.
        for op in [Unary::Gelu, Unary::GeluTanh, Unary::Silu, Unary::Softplus, Unary::Relu] {
            let x = tensor(dtype, &[-INF, INF, NAN], &[3]).requiring_grad();
            let y = unary(op, &x);
            assert_close(&values(&y), &[0.0, INF, NAN], EXACT);
            let grads = gradients(&y);
            let want = [0.0, 1.0, if op == Unary::Relu { 1.0 } else { NAN }];
            assert_close(&values(grads.wrt(&x).unwrap()), &want, EXACT);
        }
    }
}

#[test]
fn b02_tanh_gelu_where_the_cube_overflows() {
    for dtype in [DType::F32, DType::F64] {
        let x = tensor(dtype, &[1e13, -1e13, 3e38, -3e38], &[4]).requiring_grad();
        let y = x.gelu_tanh().unwrap();
        assert_close(&values(&y), &[1e13, 0.0, 3e38, 0.0], ROUNDED);
        assert_close(&values(gradients(&y).wrt(&x).unwrap()), &[1.0, 0.0, 1.0, 0.0], EXACT);
    }
}

#[test]
fn b03_softmax_of_large_logits() {
    for dtype in [DType::F32, DType::F64] {
        for (logits, want) in [
            (vec![1e4, -1e4, 1e4], vec![0.5, 0.0, 0.5]),
            (vec![3e38, -3e38], vec![1.0, 0.0]),
            (vec![-3e38; 4], vec![0.25; 4]),
            (vec![7.0], vec![1.0]),
        ] {
            let y = tensor(dtype, &logits, &[logits.len()]).softmax(0).unwrap();
            assert_close(&values(&y), &want, SOFTMAX.of(dtype));
        }
        let y = tensor(dtype, &[3e38, -3e38], &[2]).log_softmax(0).unwrap();
        let distance = if dtype == DType::F32 { -INF } else { -6e38 };
        assert_close(&values(&y), &[0.0, distance], ROUNDED);
    }
}

#[test]
fn b04_softmax_with_minus_infinity() {
    for dtype in FLOATS {
        let x = tensor(dtype, &[0.0, -INF, 2f64.ln(), -INF], &[4]).requiring_grad();
        let y = x.softmax(0).unwrap();
        assert_close(&values(&y), &[1.0 / 3.0, 0.0, 2.0 / 3.0, 0.0], SOFTMAX.of(dtype));
        let dy = tensor(dtype, &[1.0, 1e4, 0.0, -1e4], &[4]);
        let gradient = values(y.backward_with(&dy).unwrap().wrt(&x).unwrap());
        assert_close(&gradient, &[2.0 / 9.0, 0.0, -2.0 / 9.0, 0.0], SOFTMAX.of(dtype));
        assert_eq!((values(&y)[1], gradient[1], gradient[3]), (0.0, 0.0, 0.0));
        let logs = values(&x.log_softmax(0).unwrap());
        assert_close(&logs, &[-(3f64.ln()), -INF, (2f64 / 3.0).ln(), -INF], LOSS.of(dtype));
    }
}

#[test]
fn b05_softmax_of_only_minus_infinity() {
    let x = tensor(DType::F32, &[-INF, -INF, 0.0, 0.0], &[2, 2]);
    assert_close(&values(&x.softmax(1).unwrap()), &[NAN, NAN, 0.5, 0.5], EXACT);
    assert_close(&values(&x.log_softmax(1).unwrap())[..2], &[NAN, NAN], EXACT);
}

#[test]
fn b07_softmax_with_nan_or_infinity() {
    let x = tensor(DType::F32, &[NAN, 1.0, 0.0, 0.0, INF, 1.0], &[3, 2]);
    let want = [NAN, NAN, 0.5, 0.5, NAN, NAN];
    assert_close(&values(&x.softmax(1).unwrap()), &want, EXACT);
    let logs = values(&x.log_softmax(1).unwrap());
    assert!([0, 1, 4, 5].iter().all(|&i| logs[i].is_nan()) && logs[2].is_finite());
}

#[test]
fn b08_cross_entropy_of_large_logits() {
    for dtype in [DType::F32, DType::F64] {
        let loss = |logits: &[f64], label: i32, smoothing: f32| {
            let x = tensor(dtype, logits, &[1, logits.len()]).requiring_grad();
            let loss = x.cross_entropy_smoothed(&i32s(&[label]), smoothing).unwrap();
            let gradient = values(loss.backward().unwrap().wrt(&x).unwrap());
            (values(&loss)[0], gradient)
        };
        let (wrong, gradient) = loss(&[1e4, -1e4], 1, 0.0);
        assert_close(&[wrong], &[2e4], LOSS.of(dtype));
        assert_close(&gradient, &[1.0, -1.0], EXACT);
        let (right, gradient) = loss(&[1e4, -1e4], 0, 0.0);
        assert_close(&[right], &[0.0], EXACT);
        assert_close(&gradient, &[0.0, 0.0], EXACT);
        assert_close(&[loss(&[0.0, -INF], 1, 0.0).0], &[INF], EXACT);
        let (masked, gradient) = loss(&[0.0, -INF, 0.0], 0, 0.0);
        assert_close(&[masked], &[2f64.ln()], LOSS.of(dtype));
        assert_close(&gradient, &[-0.5, 0.0, 0.5], SOFTMAX.of(dtype));
        // All of the target on the other classes: the label's own term has weight 0.
        assert_close(&[loss(&[0.0, 0.0], 0, 1.0).0], &[2f64.ln()], LOSS.of(dtype));
        assert_close(&[loss(&[0.0, -INF], 1, 1.0).0], &[INF], EXACT);
        assert_close(&[loss(&[1.0, NAN], 0, 0.0).0], &[NAN], EXACT);
    }
    let x = zeros(&[0, 3]).requiring_grad();
    let loss = x.cross_entropy(&i32s(&[])).unwrap();
    assert_close(&values(&loss), &[NAN], EXACT);
    assert_eq!(loss.backward().unwrap().wrt(&x).unwrap().shape(), [0, 3]);
    assert_fails(zeros(&[1, 0]).cross_entropy(&i32s(&[0])), ErrorKind::Empty, &["no classes"]);
}

#[test]
fn b10_ieee_results() {
    for dtype in FLOATS {
        let x = tensor(dtype, &[0.0, -1.0, INF], &[3]);
        assert_close(&values(&x.log().unwrap()), &[-INF, NAN, INF], EXACT);
        assert_close(&values(&x.sqrt().unwrap()), &[0.0, NAN, INF], EXACT);
        assert_close(&values(&x.reciprocal().unwrap()), &[INF, -1.0, 0.0], EXACT);
        assert_close(&values(&x.try_div(&x).unwrap()), &[NAN, 1.0, NAN], EXACT);
        assert_close(&values(&x.try_sub(&x).unwrap()), &[0.0, 0.0, NAN], EXACT);
    }
}

#[test]
fn b11_extremes_with_nan() {
    for dtype in FLOATS {
        for n in [5, 40] {
            // On both sides of the extremes, in every lane, over rows, columns and both.
            for at in 0..n {
                let mut data: Vec<f64> = (0..n).map(|i| i as f64).collect();
                data[at] = NAN;
                let x = tensor(dtype, &data, &[n]);
                assert_close(&values(&x.max_all().unwrap()), &[NAN], EXACT);
                assert_close(&values(&x.min_all().unwrap()), &[NAN], EXACT);
                assert_eq!(x.argmax(0).unwrap().item::<i32>().unwrap(), at as i32);
                assert_eq!(x.argmin(0).unwrap().item::<i32>().unwrap(), at as i32);
                let columns = x.unsqueeze(1).unwrap().broadcast_to([n, 9]).unwrap();
                let columns = columns.contiguous().unwrap();
                assert_close(&values(&columns.max([0]).unwrap()), &[NAN; 9], EXACT);
                assert_eq!(columns.argmin(0).unwrap().to_vec::<i32>().unwrap(), [at as i32; 9]);
            }
        }
        let (a, b) = (tensor(dtype, &[NAN, 1.0, 2.0], &[3]), tensor(dtype, &[1.0, NAN, 1.0], &[3]));
        assert_close(&values(&a.maximum(&b).unwrap()), &[NAN, NAN, 2.0], EXACT);
        assert_close(&values(&a.minimum(&b).unwrap()), &[NAN, NAN, 1.0], EXACT);
        assert_close(&values(&a.maximum(0.0).unwrap()), &[NAN, 1.0, 2.0], EXACT);
        let two = tensor(dtype, &[1.0, NAN, 2.0, NAN], &[4]);
        assert_eq!(two.argmax(0).unwrap().item::<i32>().unwrap(), 1);
    }
}

#[test]
fn b12_relu_of_nan() {
    let x = f32s(&[f32::NAN, -1.0]);
    assert_close(&values(&x.relu().unwrap()), &[NAN, 0.0], EXACT);
    assert_close(&values(&x.leaky_relu(0.5).unwrap()), &[NAN, -0.5], EXACT);
    let w = Tensor::from_vec([1.0f32], [1, 1], &cpu()).unwrap();
    let y = x.reshape([2, 1]).unwrap().linear(&w, None, Some(FusedActivation::Relu)).unwrap();
    assert_close(&values(&y), &[NAN, 0.0], EXACT);
}

#[test]
fn b13_one_nan_in_a_million() {
    let mut data = vec![1.0f32; 1_000_000];
    data[777_777] = f32::NAN;
    let x = Tensor::from_vec(data, [1000, 1000], &cpu()).unwrap();
    assert!(x.sum_all().unwrap().item::<f32>().unwrap().is_nan());
    assert!(x.mean_all().unwrap().item::<f32>().unwrap().is_nan());
    let rows = x.matmul(&Tensor::zeros([1000], &cpu()).unwrap()).unwrap();
    let nans: Vec<usize> =
        values(&rows).iter().enumerate().filter(|(_, x)| x.is_nan()).map(|(i, _)| i).collect();
    assert_eq!(nans, [777]); // 0·NaN is NaN: nothing skips a zero
    let labels = Tensor::full([1000], 0.0, DType::I32, &cpu()).unwrap();
    assert!(x.cross_entropy(&labels).unwrap().item::<f32>().unwrap().is_nan());
}

#[test]
fn b15_variance_far_from_zero() {
    let noise: Vec<f64> = (0..1000).map(|i| 4096.0 + 0.01 * f64::from(i % 21 - 10)).collect();
    let x = tensor(DType::F32, &noise, &[1000]);
    let stored = values(&x);
    let mean = stored.iter().sum::<f64>() / 1000.0;
    let want = stored.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1000.0;
    assert_close(&values(&x.var([0], 0).unwrap()), &[want], VARIANCE);
    assert_eq!(
        values(&Tensor::full([100], 4096.1, DType::F32, &cpu()).unwrap().var([0], 0).unwrap()),
        [0.0]
    );
}

#[test]
fn b16_long_sums() {
    for n in [100_000usize, 10_000_000] {
        let x = Tensor::full([n], 0.1, DType::F32, &cpu()).unwrap();
        let want = f64::from(0.1f32) * n as f64;
        assert_close(&values(&x.sum_all().unwrap()), &[want], LONG_SUM);
        let columns = x.reshape([n / 10, 10]).unwrap().sum([0]).unwrap();
        assert_close(&values(&columns), &[want / 10.0; 10], LONG_SUM);
    }
}

#[test]
fn b17_means_of_halves() {
    let x = Tensor::full([1_000_000], 3.0, DType::F16, &cpu()).unwrap();
    assert_eq!(x.mean_all().unwrap().item::<f16>().unwrap().to_f32(), 3.0);
    let x = tensor(DType::F16, &[6e4, 6e4, -6e4], &[3]);
    assert_eq!(x.sum_all().unwrap().item::<f16>().unwrap(), f16::from_f32(6e4));
    let row = x.reshape([1, 3]).unwrap();
    let product = row.matmul(&tensor(DType::F16, &[1.0; 3], &[3])).unwrap();
    assert_eq!(values(&product), values(&x)[..1]);
}

#[test]
fn b18_integers_wrap() {
    let x = i32s(&[i32::MAX, 1]);
    assert_eq!(x.sum_all().unwrap().item::<i32>().unwrap(), i32::MIN);
    assert_eq!(x.try_add(&x).unwrap().to_vec::<i32>().unwrap(), [-2, 2]);
    assert_eq!(x.square().unwrap().to_vec::<i32>().unwrap(), [1, 1]);
    assert_eq!(x.try_mul(2.0).unwrap().to_vec::<i32>().unwrap(), [-2, 2]);
    let least = i32s(&[i32::MIN]);
    assert_eq!(least.abs().unwrap().item::<i32>().unwrap(), i32::MIN);
    assert_eq!(least.neg().unwrap().item::<i32>().unwrap(), i32::MIN);
    let u = Tensor::from_vec([1u32], [1], &cpu()).unwrap();
    assert_eq!(u.neg().unwrap().item::<u32>().unwrap(), u32::MAX);
    assert_eq!(u.try_sub(2.0).unwrap().item::<u32>().unwrap(), u32::MAX);
}

#[test]
fn b19_floats_to_integers() {
    for dtype in [DType::F32, DType::F64] {
        let x = tensor(dtype, &[NAN, 1e20, -1e20, -1.9, INF], &[5]);
        let signed: Vec<i32> = x.cast(DType::I32).unwrap().to_vec().unwrap();
        assert_eq!(signed, [0, i32::MAX, i32::MIN, -1, i32::MAX]);
        let unsigned: Vec<u32> = x.cast(DType::U32).unwrap().to_vec().unwrap();
        assert_eq!(unsigned, [0, u32::MAX, 0, 0, u32::MAX]);
    }
    let x = tensor(DType::F16, &[NAN, INF, -1.9], &[3]);
    assert_eq!(x.cast(DType::I32).unwrap().to_vec::<i32>().unwrap(), [0, i32::MAX, -1]);
}

#[test]
fn b20_halves_round_once_to_even() {
    let cases = [
        (65519.99, 65504.0),
        (65520.0, INF),
        (1e5, INF),
        (-1e5, -INF),
        (1e-8, 0.0),
        (6e-8, 5.960464477539063e-8),
        (1e-5, 1.0013580322265625e-5),
        (2049.0, 2048.0),
        (2051.0, 2052.0),
        (NAN, NAN),
    ];
    for dtype in [DType::F32, DType::F64] {
        for (x, want) in cases {
            let y = tensor(dtype, &[x], &[1]).cast(DType::F16).unwrap();
            assert_close(&values(&y), &[want], EXACT);
        }
    }
    // Just above a tie, by less than f32 can hold: two roundings to nearest would give 1.
    let x = 1.0 + 2f64.powi(-11) + 2f64.powi(-30);
    assert_eq!(
        values(&tensor(DType::F16, &[x, -x], &[2])),
        [1.0 + 2f64.powi(-10), -1.0 - 2f64.powi(-10)]
    );
    assert_eq!(values(&Tensor::full([1], x, DType::F16, &cpu()).unwrap()), [1.0 + 2f64.powi(-10)]);
    // Just below a tie whose even neighbour is above.
    let x = 1.0 + 3.0 * 2f64.powi(-11) - 2f64.powi(-30);
    assert_eq!(
        values(&tensor(DType::F16, &[x, -x], &[2])),
        [x, -x].map(|x| x.signum() * (1.0 + 2f64.powi(-10)))
    );
    // Arithmetic rounds once: 2048 + 1 + 1 in one sum is 2050, though 2048 + 1 alone is 2048.
    let x = tensor(DType::F16, &[2048.0, 1.0, 1.0], &[3]);
    assert_eq!(values(&x.sum_all().unwrap()), [2050.0]);
    let every: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    let x = Tensor::from_vec(&every, [every.len()], &cpu()).unwrap();
    let round = x.cast(DType::F32).unwrap().cast(DType::F16).unwrap().to_vec::<f16>().unwrap();
    let same = |(a, b): (&f16, &f16)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    assert!(every.iter().zip(&round).all(same));
}

#[test]
fn b21_subnormal_numbers() {
    let x = f32s(&[1e-40, -1e-45]);
    assert_eq!(bits(&x.contiguous().unwrap()), bits(&x));
    assert_eq!(
        values(&x.try_add(&x).unwrap()),
        values(&x).iter().map(|x| 2.0 * x).collect::<Vec<_>>()
    );
    assert_eq!(values(&x.relu().unwrap()), [f64::from(1e-40f32), 0.0]);
}

#[test]
fn b22_powers() {
    for dtype in FLOATS {
        let x = tensor(dtype, &[-2.0, 0.0, 3.0], &[3]).requiring_grad();
        for (exponent, want, slope) in [
            (0.0, [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]),
            (1.0, [-2.0, 0.0, 3.0], [1.0, 1.0, 1.0]),
            (2.0, [4.0, 0.0, 9.0], [-4.0, 0.0, 6.0]),
            (3.0, [-8.0, 0.0, 27.0], [12.0, 0.0, 27.0]),
            (-1.0, [-0.5, INF, 1.0 / 3.0], [-0.25, -INF, -1.0 / 9.0]),
        ] {
            let y = x.try_pow(exponent).unwrap();
            assert_close(&values(&y), &want, DIVIDED.of(dtype));
            let gradient = gradients(&y);
            assert_close(&values(gradient.wrt(&x).unwrap()), &slope, DIVIDED.of(dtype));
            let exponents = tensor(dtype, &[exponent], &[1]);
            let y = x.try_pow(&exponents).unwrap();
            assert_close(&values(&y), &want, DIVIDED.of(dtype));
            let gradient = gradients(&y);
            assert_close(&values(gradient.wrt(&x).unwrap()), &slope, DIVIDED.of(dtype));
        }
        assert_close(
            &values(&x.try_pow(0.5).unwrap()),
            &[NAN, 0.0, 3f64.sqrt()],
            DIVIDED.of(dtype),
        );
        // By the exponent: aᵇ·ln a, and 0 where a is 0 or less.
        let b = tensor(dtype, &[2.0; 3], &[3]).requiring_grad();
        let y = x.detach().try_pow(&b).unwrap();
        let want = [0.0, 0.0, 9.0 * 3f64.ln()];
        assert_close(&values(gradients(&y).wrt(&b).unwrap()), &want, FUNCTION.of(dtype));
    }
}

#[test]
fn b23_division_of_integers() {
    let x = i32s(&[7, -7, 5, i32::MIN]);
    let y = i32s(&[2, 2, 0, -1]);
    assert_eq!(x.try_div(&y).unwrap().to_vec::<i32>().unwrap(), [3, -3, 5, i32::MIN]);
    assert_eq!(x.try_div(0.0).unwrap().to_vec::<i32>().unwrap(), [7, -7, 5, i32::MIN]);
    let u = Tensor::from_vec([7u32, 7], [2], &cpu()).unwrap();
    let v = Tensor::from_vec([0u32, 4], [2], &cpu()).unwrap();
    assert_eq!(u.try_div(&v).unwrap().to_vec::<u32>().unwrap(), [7, 1]);
}

#[test]
fn b24_ties() {
    let x = tensor(DType::F32, &[3.0, 5.0, 5.0, 5.0, 5.0, 1.0], &[2, 3]).requiring_grad();
    let slope = |y: Tensor, x: &Tensor| values(gradients(&y).wrt(x).unwrap());
    assert_eq!(slope(x.max([1]).unwrap(), &x), [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    assert_eq!(slope(x.max_all().unwrap(), &x), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(slope(x.min([0]).unwrap(), &x), [1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(x.argmax(1).unwrap().to_vec::<i32>().unwrap(), [1, 0]);
    // Equals in other lanes of the reduction: the first has the larger lane number.
    let mut data = [0.0; 20];
    [data[3], data[8], data[17]] = [7.0; 3];
    let apart = tensor(DType::F32, &data, &[20]).requiring_grad();
    assert_eq!(apart.argmax(0).unwrap().item::<i32>().unwrap(), 3);
    assert_eq!(apart.neg().unwrap().argmin(0).unwrap().item::<i32>().unwrap(), 3);
    let mut one = [0.0; 20];
    one[3] = 1.0;
    assert_eq!(slope(apart.max_all().unwrap(), &apart), one);
    // Positions count over all reduced axes, row-major, though they are not neighbours in memory.
    let x =
        tensor(DType::F32, &[1.0, 9.0, 3.0, 9.0, 4.0, 2.0, 4.0, 0.0], &[2, 2, 2]).requiring_grad();
    let want = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(slope(x.max([0, 2]).unwrap(), &x), want);
    assert_eq!(slope(x.min([0, 2]).unwrap(), &x), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    let many = Tensor::full([100], 2.0, DType::F32, &cpu()).unwrap();
    assert_eq!(many.argmax(0).unwrap().item::<i32>().unwrap(), 0);
    assert_eq!(many.argmin(0).unwrap().item::<i32>().unwrap(), 0);
    let zero = f32s(&[0.0, -0.0]).requiring_grad();
    assert_eq!(slope(zero.relu().unwrap(), &zero), [0.0, 0.0]);
    assert_eq!(slope(zero.abs().unwrap(), &zero), [0.0, 0.0]);
    let (a, b) = (f32s(&[1.0, 2.0]).requiring_grad(), f32s(&[1.0, 2.0]).requiring_grad());
    for y in [a.maximum(&b).unwrap(), a.minimum(&b).unwrap()] {
        let grads = gradients(&y);
        assert_eq!(values(grads.wrt(&a).unwrap()), [1.0, 1.0]);
        assert_eq!(values(grads.wrt(&b).unwrap()), [0.0, 0.0]);
    }
}

#[test]
fn b25_a_choice_does_not_leak() {
    let x = f32s(&[-1.0, 4.0]).requiring_grad();
    let good = x.try_gt(0.0).unwrap();
    let y = good.select(&x.log().unwrap(), &x).unwrap();
    assert_close(&values(&y), &[-1.0, 4f64.ln()], ROUNDED);
    assert_close(&values(gradients(&y).wrt(&x).unwrap()), &[1.0, 0.25], ROUNDED);
    let y = x.log().unwrap().mask(&good).unwrap();
    assert_close(&values(&y), &[0.0, 4f64.ln()], ROUNDED);
    assert_close(&values(gradients(&y).wrt(&x).unwrap()), &[0.0, 0.25], ROUNDED);
    let cotangent = f32s(&[f32::NAN, 1.0]);
    let grads = x.mask(&good).unwrap().backward_with(&cotangent).unwrap();
    assert_eq!(values(grads.wrt(&x).unwrap()), [0.0, 1.0]);
}

#[test]
fn b26_gradients_at_exactly_zero() {
    for dtype in FLOATS {
        let x = tensor(dtype, &[0.0; 3], &[3]).requiring_grad();
        let norm = x.square().unwrap().sum_all().unwrap().sqrt().unwrap();
        assert_eq!(values(norm.backward().unwrap().wrt(&x).unwrap()), [0.0; 3]);
        let constant = tensor(dtype, &[5.0; 3], &[3]).requiring_grad();
        let std = constant.var([0], 0).unwrap().sqrt().unwrap();
        assert_eq!(values(std.backward().unwrap().wrt(&constant).unwrap()), [0.0; 3]);
    }
}

#[test]
fn b29_random_numbers_stay_in_bounds() {
    assert!(unit(u32::MAX) < 1.0);
    let device = own_cpu();
    for seed in [0, u64::MAX] {
        device.seed(seed).unwrap();
        let x = Tensor::uniform([100_000], 0.0, 1.0, &device).unwrap().to_vec::<f32>().unwrap();
        assert!(x.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e5;
        assert_close(&[mean], &[0.5], MOMENTS);
        // A range of two numbers: rounding would reach the upper bound.
        let x = Tensor::uniform([1000], 1.0, 1.0 + f32::EPSILON, &device).unwrap();
        assert!(x.to_vec::<f32>().unwrap().iter().all(|&x| x == 1.0));
        let x = Tensor::normal([100_000], 0.0, 1.0, &device).unwrap().to_vec::<f32>().unwrap();
        assert!(x.iter().all(|x| x.is_finite()));
        let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e5;
        let square = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 1e5;
        assert_close(&[mean, square], &[0.0, 1.0], MOMENTS);
    }
    // The counter carries into its upper half.
    let backend = device.backend();
    let state = backend.alloc(16, Role::Scratch).unwrap();
    backend.upload(&state, 0, bytemuck::cast_slice(&[5u32, 6, u32::MAX, 7])).unwrap();
    let shape = Shape::new("test", &[8]).unwrap();
    let view = |buf, layout, dtype| View { buf, layout, dtype };
    let state = view(state, Layout::contiguous(Shape::new("test", &[4]).unwrap()), DType::U32);
    let out =
        view(backend.alloc(32, Role::Scratch).unwrap(), Layout::contiguous(shape), DType::F32);
    let op = Random { shape, distribution: Distribution::Uniform { low: 0.0, high: 1.0 } };
    backend.run(&op.into(), std::slice::from_ref(&state), &[out.clone(), state.clone()]).unwrap();
    let read = |view: &View| {
        let bytes = backend.download(&view.buf, 0..view.buf.bytes()).unwrap();
        bytes.wait(wgrad_core::READ_TIMEOUT).unwrap()
    };
    let want: Vec<f32> =
        [philox4x32([u32::MAX, 7, 0, 0], [5, 6]), philox4x32([0, 8, 0, 0], [5, 6])]
            .concat()
            .into_iter()
            .map(unit)
            .collect();
    assert_eq!(bytemuck::allocation::pod_collect_to_vec::<u8, f32>(&read(&out)), want);
    assert_eq!(bytemuck::allocation::pod_collect_to_vec::<u8, u32>(&read(&state)), [5, 6, 1, 8]);
}

// ---- C: indices -----------------------------------------------------------------------------------------------

#[test]
fn c01_embedding_index_outside() {
    let table = zeros(&[5, 2]);
    for bad in [5, -1, i32::MIN, 2_000_000_000] {
        let index = Tensor::from_vec([0, 4, bad, 99], [2, 2], &cpu()).unwrap();
        let text = format!("gather: index {bad} at position 2 lies outside 0..5");
        assert_fails(table.gather(&index), ErrorKind::Index, &[&text]);
    }
    let index = Tensor::from_vec([u32::MAX], [1], &cpu()).unwrap();
    assert_fails(table.gather(&index), ErrorKind::Index, &["index 4294967295 at position 0"]);
    // The position is the one in the view, row-major.
    let index = Tensor::from_vec([0, 1, 2, 9], [2, 2], &cpu()).unwrap().t().unwrap();
    assert_fails(table.gather(&index), ErrorKind::Index, &["index 9 at position 3"]);
    let index = Tensor::from_vec([0, 9, 2, 3], [2, 2], &cpu()).unwrap().t().unwrap();
    assert_fails(table.gather(&index), ErrorKind::Index, &["index 9 at position 2"]);
    assert_fails(zeros(&[]).gather(&i32s(&[0])), ErrorKind::Rank, &["gather"]);
}

#[test]
fn c03_nothing_is_written_for_a_bad_index() {
    let x = zeros(&[3, 2]);
    let result = x.scatter_rows(&i32s(&[0, -4, 1]), 3);
    assert_fails(
        result,
        ErrorKind::Index,
        &["scatter_rows: index -4 at position 1 lies outside 0..3"],
    );
    let result = i32s(&[2, 3]).one_hot(3);
    assert_fails(result, ErrorKind::Index, &["one_hot: index 3 at position 1 lies outside 0..3"]);
    // Outputs at the backend keep what they had.
    let device = own_cpu();
    let backend = device.backend();
    let load = |dtype: DType, shape: &[usize], bytes: &[u8]| {
        let buf = backend.alloc(bytes.len(), Role::Scratch).unwrap();
        backend.upload(&buf, 0, bytes).unwrap();
        View { buf, layout: Layout::contiguous(Shape::new("test", shape).unwrap()), dtype }
    };
    let index = load(DType::I32, &[2], bytemuck::cast_slice(&[0i32, 7]));
    let rows = load(DType::F32, &[2, 2], bytemuck::cast_slice(&[1f32; 4]));
    for op in [
        Op::Gather(Gather),
        Op::ScatterRows(ScatterRows { rows: 2 }),
        Op::OneHot(OneHot { classes: 2 }),
        Op::CrossEntropy(PLAIN),
    ] {
        let out = load(DType::F32, &[2, 2], &[CANARY; 16]);
        let scalar = load(DType::F32, &[], &[CANARY; 4]);
        let outs = match op {
            Op::CrossEntropy(_) => vec![scalar, out.clone()],
            _ => vec![out.clone()],
        };
        let ins = match op {
            Op::OneHot(_) => vec![index.clone()],
            _ => vec![rows.clone(), index.clone()],
        };
        assert_eq!(backend.run(&op, &ins, &outs).unwrap_err().kind(), ErrorKind::Index);
        let bytes = backend.download(&out.buf, 0..16).unwrap();
        assert_eq!(bytes.wait(wgrad_core::READ_TIMEOUT).unwrap(), [CANARY; 16], "{}", op.name());
    }
}

#[test]
fn c04_label_outside() {
    let x = zeros(&[3, 10]).requiring_grad();
    for bad in [10, -1] {
        let text = format!("cross_entropy: index {bad} at position 1 lies outside 0..10");
        assert_fails(x.cross_entropy(&i32s(&[0, bad, 11])), ErrorKind::Index, &[&text]);
    }
}

#[test]
fn c04_classes_on_axis_1() {
    let labels = |shape: &[usize]| Tensor::zeros(shape, &cpu()).unwrap().cast(DType::I32).unwrap();
    for (shape, axes) in [(&[2, 5, 3][..], &[0, 2, 1][..]), (&[2, 5, 3, 4], &[0, 2, 3, 1])] {
        let x = zeros(shape);
        let rest = labels(&[&shape[..1], &shape[2..]].concat());
        let text = format!("labels {:?}; classes lie on the last axis", rest.shape());
        let advice = format!("permute({axes:?})");
        for loss in [x.cross_entropy(&rest), x.nll(&rest)] {
            assert_fails(loss, ErrorKind::Shape, &[&format!("{shape:?}"), &text, &advice]);
        }
        let loss = x.permute(axes).unwrap().cross_entropy(&rest).unwrap();
        assert_close(&values(&loss), &[5f64.ln()], LOSS);
    }
    for (scores, wrong) in [(&[2, 5, 3][..], &[2, 5, 3][..]), (&[2, 5], &[3]), (&[2, 5, 3], &[2])] {
        let error = zeros(scores).cross_entropy(&labels(wrong)).unwrap_err();
        assert!(!error.message().contains("permute"), "{error}");
    }
}

#[test]
fn c05_a_thousand_equal_indices() {
    let rows = Tensor::full([1000, 3], 0.1, DType::F32, &cpu()).unwrap();
    let index = Tensor::full([1000], 2.0, DType::I32, &cpu()).unwrap();
    let table = zeros(&[4, 3]).requiring_grad();
    let sums = rows.scatter_rows(&index, 4).unwrap();
    let mut want = vec![0.0; 12];
    want[6..9].fill(1000.0 * f64::from(0.1f32));
    assert_close(&values(&sums), &want, LONG_SUM);
    assert_eq!(bits(&sums), bits(&rows.scatter_rows(&index, 4).unwrap()));
    let grads = table.gather(&index).unwrap().backward_with(&rows).unwrap();
    assert_eq!(bits(grads.wrt(&table).unwrap()), bits(&sums));
}

#[test]
fn c06_no_index() {
    let none = Tensor::from_vec([0i32; 0], [0], &cpu()).unwrap();
    for rows in [0, 4] {
        let table = zeros(&[rows, 3]).requiring_grad();
        let y = table.gather(&none).unwrap();
        assert_eq!(y.shape(), [0, 3]);
        let grads = gradients(&y);
        assert_eq!(values(grads.wrt(&table).unwrap()), vec![0.0; rows * 3]);
    }
    assert_eq!(none.one_hot(3).unwrap().shape(), [0, 3]);
    assert_fails(zeros(&[0, 3]).gather(&i32s(&[0])), ErrorKind::Index, &["outside 0..0"]);
}

#[test]
fn c09_floats_are_no_indices() {
    let index = f32s(&[0.0, f32::NAN]);
    assert_fails(zeros(&[2, 2]).gather(&index), ErrorKind::DType, &["gather", "f32"]);
    assert_fails(index.one_hot(2), ErrorKind::DType, &["one_hot", "f32"]);
    assert_fails(zeros(&[2, 2]).cross_entropy(&index), ErrorKind::DType, &["cross_entropy", "f32"]);
    assert_fails(
        zeros(&[2, 2]).scatter_rows(&index, 2),
        ErrorKind::DType,
        &["scatter_rows", "f32"],
    );
}

// ---- D: size and memory ---------------------------------------------------------------------------------------

#[test]
fn d06_an_allocation_that_cannot_be() {
    let device = own_cpu();
    let kept = Tensor::zeros([1000], &device).unwrap();
    let result = Tensor::zeros([1 << 25, 1 << 30], &device);
    let pieces = ["144115188075855872 bytes", "4000 bytes are in use", "activations"];
    assert_fails(result, ErrorKind::Memory, &pieces);
    assert_eq!(device.memory().in_use(), 4000);
    assert_eq!(kept.sum_all().unwrap().item::<f32>().unwrap(), 0.0);
    drop(kept);
    assert_eq!((device.memory().in_use(), device.memory().peak), (0, 4004));
}

#[test]
fn d10_kept_memory_is_bounded() {
    let device = own_cpu();
    for round in 0..100usize {
        let small = Tensor::zeros([(1 << 15) + round], &device).unwrap();
        let large = Tensor::zeros([(1 << 18) + 7 * round], &device).unwrap();
        drop((small, large));
        let memory = device.memory();
        assert!(memory.in_use() + memory.pooled <= memory.peak, "{memory}");
    }
    assert!(device.memory().pooled > 0);
    device.trim();
    assert_eq!((device.memory().pooled, device.memory().in_use()), (0, 0));

    // What was used last stays; what nobody wants any more makes room.
    let of = |kib: usize| drop(Tensor::zeros([kib << 8], &device).unwrap());
    of(256);
    of(512);
    of(512);
    of(640);
    assert_eq!(device.memory().pooled, (512 + 640) << 10);

    // Also while new memory is in use that no kept piece fits.
    let held = Tensor::zeros([300 << 8], &device).unwrap();
    let memory = device.memory();
    assert!(memory.in_use() + memory.pooled <= memory.peak, "{memory}");
    drop(held);
}

#[test]
fn a_step_keeps_nothing_of_what_it_gave_away() {
    let device = own_cpu();
    let x = Tensor::ones([1 << 16], &device).unwrap();
    let step = wgrad_core::Step::new(&device, |x| Ok(vec![x[0].try_mul(2.0)?]));
    drop(step.run(&[&x]).unwrap());
    let before = device.memory().in_use();
    let kept = step.run(&[&x]).unwrap();
    assert_eq!(device.memory().in_use() - before, 4 << 16);
    drop(kept);
    assert_eq!(device.memory().in_use(), before);

    // Nor of a run that failed.
    let rows = Tensor::ones([4, 1 << 14], &device).unwrap();
    let step = wgrad_core::Step::new(&device, |i| {
        let y = rows.try_mul(2.0)?;
        Ok(vec![y.gather(&i[0])?, y])
    });
    let index = |i: i32| Tensor::from_vec([i], [1], &device).unwrap();
    drop(step.run(&[&index(3)]).unwrap());
    let before = device.memory().in_use();
    step.run(&[&index(4)]).unwrap_err();
    assert_eq!(device.memory().in_use(), before);
    assert!(step.run(&[&index(3)]).is_ok());
}

#[test]
fn d11_the_device_may_go_first() {
    let x = {
        let device = own_cpu();
        Tensor::ones([3], &device).unwrap()
    };
    assert_eq!(x.sum_all().unwrap().item::<f32>().unwrap(), 3.0);
}

#[test]
fn d12_a_graph_of_a_hundred_thousand_operations() {
    let x = f32s(&[1.0]).requiring_grad();
    let chain = |n: usize| {
        let mut y = x.clone();
        for _ in 0..n {
            y = y.try_add(1.0).unwrap();
        }
        y
    };
    let y = chain(100_000);
    assert_eq!(values(gradients(&y).wrt(&x).unwrap()), [1.0]);
    drop(y);
    drop(chain(100_000)); // without backward
}

#[test]
fn d14_memory_is_never_what_it_was() {
    let device = own_cpu();
    let backend = device.backend();
    // New memory is zero. Kept memory holds what it held: every operation overwrites all of its output
    // (see outputs_go_where_the_view_says_and_nowhere_else), here with the memory full of NaN.
    let buf = backend.alloc(1 << 20, Role::Scratch).unwrap();
    let bytes = backend.download(&buf, 0..1 << 20).unwrap().wait(wgrad_core::READ_TIMEOUT).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0));
    backend.upload(&buf, 0, &vec![0xff; 1 << 20]).unwrap();
    drop(buf);
    assert_eq!(device.memory().pooled, 1 << 20);
    let zeros = Tensor::zeros([1 << 18], &device).unwrap();
    assert_eq!(device.memory().pooled, 0);
    assert!(zeros.to_vec::<f32>().unwrap().iter().all(|&x| x == 0.0));
    assert!(backend.alloc(0, Role::Scratch).is_ok());
    let buf = backend.alloc(8, Role::Scratch).unwrap();
    assert!(backend.download(&buf, 4..9).is_err());
    assert!(backend.upload(&buf, usize::MAX, &[0]).is_err());
}

// ---- F: gradients -----------------------------------------------------------------------------------------------

#[test]
fn f01_backward_of_more_than_one_element() {
    let x = zeros(&[2]).requiring_grad();
    let y = x.try_mul(2.0).unwrap();
    assert_fails(y.backward(), ErrorKind::Shape, &["backward", "[2]", "backward_with"]);
    assert_fails(y.backward_with(&zeros(&[3])), ErrorKind::Shape, &["[3]", "[2]"]);
    assert_fails(y.backward_with(&i32s(&[1, 1])), ErrorKind::Shape, &["i32", "f32"]);
    let other = Tensor::zeros([2], &own_cpu()).unwrap();
    assert_fails(y.backward_with(&other), ErrorKind::Device, &["different devices"]);
    assert_fails(zeros(&[1]).backward(), ErrorKind::Graph, &["no leaf"]);
}

#[test]
fn f02_backward_twice_gives_the_same() {
    let x = f32s(&[2.0, 3.0]).requiring_grad();
    let loss = x.square().unwrap().sum_all().unwrap();
    for _ in 0..2 {
        assert_eq!(values(loss.backward().unwrap().wrt(&x).unwrap()), [4.0, 6.0]);
    }
}

#[test]
fn f03_changed_in_place_before_backward() {
    let x = f32s(&[2.0, 3.0]).requiring_grad();
    let loss = x.square().unwrap().sum_all().unwrap();
    x.assign(&f32s(&[1.0, 1.0])).unwrap();
    assert_fails(loss.backward(), ErrorKind::Graph, &["square", "changed in place"]);
    let (flat, g) = step_setup(&[1.0], &[1.0]);
    let loss = flat.get("p").unwrap().exp().unwrap().try_mul(flat.get("p").unwrap()).unwrap();
    sgd(&flat, &g, &sgd_hyper(&flat, [0.1, 0.0, 0.0]), None, false).unwrap();
    assert_fails(loss.backward(), ErrorKind::Graph, &["changed in place"]);
}

#[test]
fn f04_what_backward_does_not_reach() {
    let (x, y) = (f32s(&[1.0]).requiring_grad(), f32s(&[1.0]).requiring_grad());
    let grads = x.square().unwrap().backward().unwrap();
    assert!(grads.get(&y).is_none());
    assert_fails(grads.wrt(&y), ErrorKind::Graph, &["no gradient"]);
    let (flat, _) = step_setup(&[1.0], &[1.0]);
    let result = sgd(&flat, &grads, &sgd_hyper(&flat, [0.1, 0.0, 0.0]), None, false);
    assert_fails(result, ErrorKind::Graph, &["sgd", "none of these parameters"]);
}

#[test]
fn f05_one_tensor_used_many_times() {
    let x = f32s(&[3.0]).requiring_grad();
    let twice = x.try_add(&x).unwrap();
    let diamond = twice.try_mul(&x).unwrap().try_add(&twice.exp().unwrap().log().unwrap()).unwrap();
    let cube = x.try_mul(&x).unwrap().try_mul(&x).unwrap();
    let y = diamond.try_add(&cube).unwrap(); // 2x² + 2x + x³
    assert_close(&values(gradients(&y).wrt(&x).unwrap()), &[12.0 + 2.0 + 27.0], FUNCTION);
}

#[test]
fn f06_gradients_through_broadcasting() {
    for shape in [&[][..], &[1], &[3], &[2, 1], &[1, 3], &[1, 1, 1]] {
        let x = tensor(DType::F32, &vec![2.0; shape.iter().product()], shape).requiring_grad();
        let y = x.try_mul(&tensor(DType::F32, &[1.0; 6], &[2, 3])).unwrap();
        let gradient = gradients(&y).wrt(&x).unwrap().clone();
        assert_eq!(gradient.shape(), shape);
        assert_eq!(values(&gradient), vec![6.0 / x.numel() as f64; x.numel()]);
    }
    let x = zeros(&[1, 3]).requiring_grad();
    let y = x.try_add(&zeros(&[0, 3])).unwrap();
    assert_eq!(values(gradients(&y).wrt(&x).unwrap()), [0.0; 3]);
}

#[test]
fn f07_no_graph_is_kept_without_need() {
    let device = own_cpu();
    let x = Tensor::ones([1000], &device).unwrap().requiring_grad();
    let kept = |f: &dyn Fn() -> Tensor| {
        let before = device.memory().in_use();
        let y = f();
        let bytes = device.memory().in_use() - before;
        assert!(y.numel() == 1000);
        bytes
    };
    let chain = |x: &Tensor| x.exp().unwrap().exp().unwrap().exp().unwrap();
    assert_eq!(kept(&|| chain(&x)), 12_000); // the graph keeps each output
    assert_eq!(kept(&|| no_grad(|| chain(&x))), 4000);
    assert_eq!(kept(&|| chain(&x.detach())), 4000);
    let mixed = || x.detach().exp().unwrap().try_add(&x).unwrap();
    assert_eq!(kept(&mixed), 4000);
    let y = x.detach().exp().unwrap().try_mul(&x).unwrap();
    let want = values(&y.detach());
    assert_eq!(values(gradients(&y).wrt(&x).unwrap()), want);
    assert!(!no_grad(|| x.exp().unwrap()).requires_grad() && !x.detach().requires_grad());
}

// ---- K: threads ---------------------------------------------------------------------------------------------------

/// Sixteen threads over shared tensors, reading and writing in all orders.
#[test]
fn k01_many_threads() {
    let shared: Vec<Tensor> =
        (0..4).map(|i| Tensor::full([64], f64::from(i), DType::F32, &cpu()).unwrap()).collect();
    std::thread::scope(|scope| {
        for t in 0..16usize {
            let shared = &shared;
            scope.spawn(move || {
                for i in 0..200 {
                    let (a, b) = (&shared[(t + i) % 4], &shared[(t * 3 + i * 5) % 4]);
                    let sum = a.try_add(b).unwrap();
                    let first = values(&sum)[0];
                    assert!(first.is_finite());
                    a.assign(b).unwrap();
                }
            });
        }
    });
    assert!(shared.iter().all(|x| values(x).windows(2).all(|pair| pair[0] == pair[1])));
}

#[test]
fn devices_are_told_apart() {
    assert_eq!(Device::cpu(), Device::cpu());
    assert_ne!(own_cpu(), own_cpu());
}
