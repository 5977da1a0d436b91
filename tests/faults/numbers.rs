//! B: numbers at the edge: huge, tiny, infinite, not a number.

use crate::{
    Fault, floats, read,
    support::{compare::close, tolerance},
    whole,
};
use half::f16;
use wgrad_core::{DType, Device, Result, Tensor, no_grad, philox::Stream};

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

pub const ROWS: &[Fault] = &[
    ("B1_activations_of_any_size", |d| {
        let sizes = [
            1e-38, 1e-30, 1e-10, 1e-3, 0.5, 1.0, 3.0, 9.0, 13.0, 20.0, 45.0, 88.0, 89.0, 104.0,
            1e4, 1e10, 1e20, 3e38,
        ];
        let x: Vec<f32> = sizes.iter().flat_map(|&x: &f32| [x, -x]).collect();
        for (name, activation) in ACTIVATIONS {
            let wide: Vec<f64> = x.iter().map(|&x| x.into()).collect();
            let (want, want_slope) = with_slope(*activation, &wide, &Device::cpu());
            let (got, slope) = with_slope(*activation, &x, d);
            let rule = tolerance::of("tails");
            let bound = |want: &Vec<f64>, i: usize| rule.bound(want[i], &tolerance::PLAIN);
            let what = |part| format!("{name}, {part} at {x:?}");
            close(&what("value"), &[x.len()], &got, &want, |i| bound(&want, i)).unwrap();
            close(&what("slope"), &[x.len()], &slope, &want_slope, |i| bound(&want_slope, i))
                .unwrap();
        }
    }),
    ("B2_gelu_where_its_cube_overflows", |d| {
        let (y, slope) = with_slope(Tensor::gelu_tanh, &[1e13f32, -1e13, 1e30, -1e30], d);
        assert_eq!(y, [f64::from(1e13f32), 0.0, f64::from(1e30f32), 0.0]);
        assert_eq!(slope, [1.0, 0.0, 1.0, 0.0]);
    }),
    ("B3_softmax_of_huge_rows", |d| {
        let rows = [[1e4, -1e4, 0.0, 1e4], [3e38, -3e38, 3e38, 0.0], [-3e38; 4], [7.0; 4]];
        let p = read(&floats(&rows.concat(), &[4, 4], d).softmax(1).unwrap());
        for row in p.chunks(4) {
            let sum = row.iter().map(|&p| f64::from(p)).sum();
            assert!(tolerance::of("softmax").allows(sum, 1.0), "{p:?}");
        }
        assert_eq!(p[..4], [0.5, 0.0, 0.0, 0.5]);
        assert_eq!(p[4..8], [0.5, 0.0, 0.5, 0.0]);
        assert_eq!(read(&floats(&[5.0], &[1], d).softmax(0).unwrap()), [1.0]);
    }),
    ("B4_minus_infinity_has_no_weight", |d| {
        let x = floats(&[1.0, -INF, 2.0, -INF], &[4], d).requiring_grad();
        let p = x.softmax(0).unwrap();
        let weights = read(&p);
        assert_eq!((weights[1], weights[3]), (0.0, 0.0));
        let gradients = p.backward_with(&floats(&[1.0, 2.0, 3.0, 4.0], &[4], d)).unwrap();
        let g = read(gradients.wrt(&x).unwrap());
        assert_eq!((g[1], g[3]), (0.0, 0.0));
        assert!(g.iter().all(|g| g.is_finite()), "{g:?}");
    }),
    ("B5_row_of_only_minus_infinity", |d| {
        let p = read(&floats(&[-INF, -INF, 0.0, 0.0], &[2, 2], d).softmax(1).unwrap());
        assert!(p[0].is_nan() && p[1].is_nan(), "{p:?}");
        assert_eq!(p[2..], [0.5, 0.5]);
    }),
    ("B7_bad_rows_stay_alone", |d| {
        for bad in [INF, NAN] {
            for log in [false, true] {
                let x = floats(&[0.0, bad, 0.0, 0.0, bad, 0.0], &[3, 2], d);
                let p = read(&if log { x.log_softmax(1) } else { x.softmax(1) }.unwrap());
                assert!(p[0].is_nan() && p[1].is_nan() && p[4].is_nan(), "{bad} {log} {p:?}");
                assert!(p[2].is_finite() && p[3].is_finite(), "{bad} {log} {p:?}");
            }
        }
    }),
    ("B8_cross_entropy_of_huge_logits", |d| {
        let loss = |logits: &[f32; 2], label: i32| {
            floats(logits, &[1, 2], d)
                .cross_entropy(&whole(&[label], d))
                .unwrap()
                .item::<f32>()
                .unwrap()
        };
        assert_eq!(loss(&[1e4, -1e4], 1), 2e4);
        assert_eq!(loss(&[1e4, -1e4], 0), 0.0);
        assert_eq!(loss(&[0.0, -INF], 1), INF);
    }),
    ("B10_poles_follow_ieee", |d| {
        let x = floats(&[0.0, -1.0], &[2], d);
        let log = read(&x.log().unwrap());
        assert!(log[0] == -INF && log[1].is_nan(), "log {log:?}");
        let sqrt = read(&x.sqrt().unwrap());
        assert!(sqrt[0] == 0.0 && sqrt[1].is_nan(), "sqrt {sqrt:?}");
        let zero = floats(&[0.0, 0.0], &[2], d);
        let quotient = read(&floats(&[1.0, 0.0], &[2], d).try_div(&zero).unwrap());
        assert!(quotient[0] == INF && quotient[1].is_nan(), "quotient {quotient:?}");
        let infinite = floats(&[INF], &[1], d);
        assert!(read(&infinite.try_sub(&infinite).unwrap())[0].is_nan());
    }),
    ("B11_nan_wins_extremes", |d| {
        let x = floats(&[1.0, NAN, 3.0, 0.0], &[4], d);
        for y in [x.max_all(), x.min_all(), x.maximum(&x.neg().unwrap())] {
            assert!(read(&y.unwrap()).iter().any(|y| y.is_nan()));
        }
        assert_eq!(x.argmax(0).unwrap().to_vec::<i32>().unwrap(), [1]);
        assert_eq!(x.argmin(0).unwrap().to_vec::<i32>().unwrap(), [1]);
        let both = floats(&[1.0, NAN], &[2], d);
        let swapped = floats(&[NAN, 1.0], &[2], d);
        for y in [both.maximum(&swapped), both.minimum(&swapped), both.maximum(2.0)] {
            assert!(read(&y.unwrap())[1].is_nan());
        }
        assert!(read(&swapped.minimum(&both).unwrap()).iter().all(|y| y.is_nan()));
    }),
    ("B12_relu_keeps_nan", |d| {
        let x = floats(&[NAN, -1.0, 2.0], &[3], d);
        for y in [x.relu(), x.leaky_relu(0.0)] {
            let y = read(&y.unwrap());
            assert!(y[0].is_nan() && y[1] == 0.0 && y[2] == 2.0, "{y:?}");
        }
    }),
    ("B13_one_nan_in_a_million", |d| {
        let mut values = vec![0.5f32; 1_000_000];
        values[765_432] = NAN;
        let x = floats(&values, &[1000, 1000], d);
        assert!(read(&x.sum_all().unwrap())[0].is_nan());
        assert!(read(&x.mean_all().unwrap())[0].is_nan());
        assert!(read(&x.mse(&Tensor::zeros([1000, 1000], d).unwrap()).unwrap())[0].is_nan());
        let product = read(&x.matmul(&Tensor::ones([1000], d).unwrap()).unwrap());
        let bad: Vec<usize> = (0..1000).filter(|&i| product[i].is_nan()).collect();
        assert_eq!(bad, [765]);
        let loss = x.cross_entropy(&Tensor::full([1000], 3.0, DType::I32, d).unwrap()).unwrap();
        assert!(read(&loss)[0].is_nan());
    }),
    ("B15_variance_far_from_zero", |d| {
        let mut stream = Stream::new(15, 0);
        let values: Vec<f32> =
            (0..4096).map(|_| 4096.0 + 0.01 * stream.uniform(-1.0, 1.0)).collect();
        let wide: Vec<f64> = values.iter().map(|&x| x.into()).collect();
        let mean = wide.iter().sum::<f64>() / 4096.0;
        let want = wide.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4096.0;
        let got = floats(&values, &[4096], d).var([0], 0).unwrap().item::<f32>().unwrap();
        assert!((f64::from(got) / want - 1.0).abs() < tolerance::VARIANCE_FAR_OFF, "{got} {want}");
        assert_eq!(
            read(&Tensor::full([3, 5], 500.1, DType::F32, d).unwrap().var([1], 0).unwrap()),
            [0.0; 3]
        );
    }),
    ("B16_sum_of_many", |d| {
        for n in [100_000, 10_000_000] {
            let sum = Tensor::full([n], 0.1, DType::F32, d).unwrap().sum_all().unwrap();
            let want = f64::from(0.1f32) * n as f64;
            let error = (f64::from(sum.item::<f32>().unwrap()) / want - 1.0).abs();
            assert!(error < tolerance::SUM_OF_EQUAL, "{n} numbers: {error:e}");
        }
    }),
    ("B17_sum_past_the_largest_half", |d| {
        let x = Tensor::full([1_000_000], 0.125, DType::F16, d).unwrap();
        assert_eq!(
            x.cast(DType::F32).unwrap().sum_all().unwrap().item::<f32>().unwrap(),
            125_000.0
        );
        assert_eq!(x.mean_all().unwrap().item::<f16>().unwrap(), f16::from_f32(0.125));
    }),
    ("B18_integer_sums_wrap", |d| {
        let sum = whole(&[i32::MAX, 1, 5], d).sum_all().unwrap();
        assert_eq!(sum.item::<i32>().unwrap(), i32::MIN + 5);
    }),
    ("B19_casts_to_integers_clamp", |d| {
        let x = floats(&[NAN, 1e20, -1e20, INF, -INF, 1.9, -1.9, 2147483520.0], &[8], d);
        let i32s = x.cast(DType::I32).unwrap().to_vec::<i32>().unwrap();
        assert_eq!(i32s, [0, i32::MAX, i32::MIN, i32::MAX, i32::MIN, 1, -1, 2_147_483_520]);
        let u32s = x.cast(DType::U32).unwrap().to_vec::<u32>().unwrap();
        assert_eq!(u32s, [0, u32::MAX, 0, u32::MAX, 0, 1, 0, 2_147_483_520]);
        let bools = x.cast(DType::Bool).unwrap().to_vec::<bool>().unwrap();
        assert_eq!(bools, [true; 8]);
        let wrapped = whole(&[-1, i32::MIN], d).cast(DType::U32).unwrap().to_vec::<u32>().unwrap();
        assert_eq!(wrapped, [u32::MAX, 1 << 31]);
    }),
    ("B20_halves_round_to_even", |d| {
        let mut values = vec![
            65504.0, 65519.0, 65520.0, 1e5, -1e5, 1e-8, 3e-8, 6e-8, -6e-8, 6.1e-5, NAN, INF, -0.0,
        ];
        // Every tie and its neighbours around a normal and around subnormal numbers.
        for k in 0..200 {
            let tie = 1.0 + (k as f32 + 0.5) / 1024.0;
            let small = (k as f32 + 0.5) * 2f32.powi(-24);
            values.extend([
                tie,
                tie.next_up(),
                tie.next_down(),
                small,
                small.next_up(),
                small.next_down(),
            ]);
        }
        let halves = floats(&values, &[values.len()], d).cast(DType::F16).unwrap();
        let got = halves.to_vec::<f16>().unwrap();
        for (x, got) in values.iter().zip(got) {
            let want = f16::from_f32(*x);
            assert!(got == want || (got.is_nan() && want.is_nan()), "{x:e}: {got} and not {want}");
        }
    }),
    ("B20_all_halves_survive", |d| {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        let x = Tensor::from_vec(&halves, [halves.len()], d).unwrap();
        let wide = x.cast(DType::F32).unwrap();
        let back = wide.cast(DType::F16).unwrap().to_vec::<f16>().unwrap();
        for ((half, wide), back) in halves.iter().zip(read(&wide)).zip(back) {
            let fits = wide == half.to_f32() || flushed(wide, half.to_f32());
            assert!(half.is_nan() || (fits && back == *half), "{half:?}: {wide:e}, {back:?}");
        }
    }),
    ("B21_subnormal_numbers", |d| {
        let x = floats(&[1e-40, -1e-40, 1e-20], &[3], d);
        let product = read(&x.try_mul(&floats(&[1.0, 2.0, 1e-20], &[3], d)).unwrap());
        for (got, want) in product.iter().zip([1e-40, -1e-40 * 2.0, 1e-20 * 1e-20f32]) {
            assert!(*got == want || *got == 0.0, "{got:e} and not {want:e}");
        }
        assert_eq!(read(&x.reshape([3, 1]).unwrap().t().unwrap().contiguous().unwrap()), read(&x));
    }),
    ("B22_powers_of_negative_numbers_and_zero", |d| {
        let x = floats(&[-2.0, 0.0, 2.0], &[3], d).requiring_grad();
        assert_eq!(read(&x.try_pow(3.0).unwrap()), [-8.0, 0.0, 8.0]);
        assert_eq!(read(&x.try_pow(0.0).unwrap()), [1.0; 3]);
        let b = floats(&[3.0, 0.0, -1.0], &[3], d);
        let power = read(&x.try_pow(&b).unwrap());
        let near = |got, want| tolerance::of("pow").allows(got, want);
        assert!(
            power.iter().zip([-8.0, 1.0, 0.5]).all(|(&got, want)| near(f64::from(got), want)),
            "{power:?}"
        );
        assert!(read(&x.try_pow(0.5).unwrap())[0].is_nan());
        for exponent in [0.0, 1.0, 2.0] {
            let slopes = slope(&x.try_pow(exponent).unwrap(), &x);
            assert!(slopes.iter().all(|s| s.is_finite()), "x^{exponent}: {slopes:?}");
        }
        let zeros = floats(&[0.0], &[1], d);
        let (a, b) = (zeros.requiring_grad(), zeros.requiring_grad());
        let y = a.try_pow(&b).unwrap();
        assert_eq!((slope(&y, &a), slope(&y, &b)), (vec![0.0], vec![0.0]));
    }),
    ("B23_integer_division_by_zero", |d| {
        let a = whole(&[7, -7, i32::MIN, 0], d);
        let b = whole(&[0, 2, -1, 0], d);
        assert_eq!(a.try_div(&b).unwrap().to_vec::<i32>().unwrap(), [7, -3, i32::MIN, 0]);
        assert_eq!(a.try_div(0).unwrap().to_vec::<i32>().unwrap(), [7, -7, i32::MIN, 0]);
        assert_eq!(a.try_div(-1).unwrap().to_vec::<i32>().unwrap(), [-7, 7, i32::MIN, 0]);
        assert_eq!((7.0 / b).to_vec::<i32>().unwrap(), [7, 3, -7, 7]);
    }),
    ("B24_ties_go_to_the_first", |d| {
        let x = floats(&[2.0, 3.0, 3.0, 2.0, 2.0], &[5], d).requiring_grad();
        assert_eq!(slope(&x.max_all().unwrap(), &x), [0.0, 1.0, 0.0, 0.0, 0.0]);
        assert_eq!(slope(&x.min_all().unwrap(), &x), [1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(x.argmax(0).unwrap().to_vec::<i32>().unwrap(), [1]);
        assert_eq!(x.argmin(0).unwrap().to_vec::<i32>().unwrap(), [0]);
        let zero = floats(&[0.0], &[1], d).requiring_grad();
        assert_eq!(slope(&zero.relu().unwrap(), &zero), [0.0]);
        assert_eq!(slope(&zero.abs().unwrap(), &zero), [0.0]);
        let (a, b) =
            (floats(&[1.0], &[1], d).requiring_grad(), floats(&[1.0], &[1], d).requiring_grad());
        let y = a.maximum(&b).unwrap();
        assert_eq!((slope(&y, &a), slope(&y, &b)), (vec![1.0], vec![0.0]));
    }),
    ("B25_branches_not_taken_do_not_leak", |d| {
        let x = floats(&[-1.0, 4.0], &[2], d).requiring_grad();
        let positive = x.try_gt(0.0).unwrap();
        let y = positive.select(&x.sqrt().unwrap(), &Tensor::zeros([2], d).unwrap()).unwrap();
        assert_eq!(read(&y), [0.0, 2.0]);
        assert_eq!(read(&x.log().unwrap().mask(&positive).unwrap())[0], 0.0);
        // The gradient into the branch is 0 there; what sqrt's own slope makes of it is 0·∞ elsewhere.
        let z = positive.select(&x.try_mul(3.0).unwrap(), &floats(&[NAN, NAN], &[2], d)).unwrap();
        let slopes = slope(&z, &x);
        assert_eq!(slopes, [0.0, 3.0]);
    }),
    ("B26_slopes_at_zero_distance", |d| {
        let zero = Tensor::zeros([3], d).unwrap().requiring_grad();
        let norm = zero.square().unwrap().sum_all().unwrap().sqrt().unwrap();
        assert_eq!(slope(&norm, &zero), [0.0; 3]);
        let constant = Tensor::full([4], 2.5, DType::F32, d).unwrap().requiring_grad();
        let deviation = constant.var([0], 0).unwrap().sqrt().unwrap();
        assert_eq!(slope(&deviation, &constant), [0.0; 4]);
    }),
    ("B29_random_numbers_stay_inside", |d| {
        for seed in [0, u64::MAX] {
            no_grad(|| d.seed(seed)).unwrap();
            let u = read(&Tensor::uniform([300_000], 0.0, 1.0, d).unwrap());
            assert!(u.iter().all(|u| (0.0..1.0).contains(u)));
            let n = read(&Tensor::normal([300_000], 0.0, 1.0, d).unwrap());
            assert!(n.iter().all(|n| n.is_finite()));
            let (mean, square) =
                n.iter().fold((0.0, 0.0), |(m, s), &n| (m + f64::from(n), s + f64::from(n * n)));
            let count = n.len() as f64;
            assert!(
                (mean / count).abs() < tolerance::NORMAL_MEAN
                    && (square / count - 1.0).abs() < tolerance::NORMAL_VARIANCE,
                "{mean} {square}"
            );
            let mean = u.iter().map(|&u| f64::from(u)).sum::<f64>() / u.len() as f64;
            assert!((mean - 0.5).abs() < tolerance::UNIFORM_MEAN, "{mean}");
        }
    }),
];

type Activation = fn(&Tensor) -> Result<Tensor>;

const ACTIVATIONS: &[(&str, Activation)] = &[
    ("tanh", Tensor::tanh),
    ("sigmoid", Tensor::sigmoid),
    ("gelu", Tensor::gelu),
    ("gelu_tanh", Tensor::gelu_tanh),
    ("silu", Tensor::silu),
    ("softplus", Tensor::softplus),
];

/// Values and slopes of a function at given points, in the type of the points.
fn with_slope<T: wgrad_core::Element>(f: Activation, x: &[T], d: &Device) -> (Vec<f64>, Vec<f64>) {
    let x = Tensor::from_vec(x, [x.len()], d).unwrap().requiring_grad();
    let y = f(&x).unwrap();
    let ones = Tensor::full_like(&y, 1.0).unwrap();
    let gradients = y.backward_with(&ones).unwrap();
    let read = |x: &Tensor| crate::support::inputs::read(x).unwrap();
    (read(&y), read(gradients.wrt(&x).unwrap()))
}

/// The gradient of Σ y.
fn slope(y: &Tensor, x: &Tensor) -> Vec<f32> {
    read(y.sum_all().unwrap().backward().unwrap().wrt(x).unwrap())
}

/// Whether a subnormal number became 0, as WGSL allows.
fn flushed(got: f32, want: f32) -> bool {
    got == 0.0 && want.is_subnormal()
}
