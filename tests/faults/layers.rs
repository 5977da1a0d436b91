//! Normalisation, dropout and losses: their rows of A, B and C.

use crate::{Fault, floats, read, refused, support::tolerance, whole};
use wgrad::nn;
use wgrad::prelude::{Init, Layer, Module};
use wgrad_core::{CrossEntropyOptions, DType, Device, ErrorKind, Reduction, Tensor};

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

pub const ROWS: &[Fault] = &[
    ("A20_layer_norm_with_unfit_gamma_or_eps", |d| {
        let x = zeros(&[2, 4], d);
        let (long, wide) = (zeros(&[5], d), zeros(&[2, 4], d));
        refused(x.layer_norm(Some(&long), None, 1e-5), ErrorKind::Shape, &["gamma [5]", "[2, 4]"]);
        refused(x.layer_norm(None, Some(&long), 1e-5), ErrorKind::Shape, &["beta [5]", "[2, 4]"]);
        refused(x.rms_norm(Some(&long), 1e-5), ErrorKind::Shape, &["gamma [5]", "[2, 4]"]);
        refused(
            x.layer_norm(Some(&wide), Some(&zeros(&[4], d)), 1e-5),
            ErrorKind::Shape,
            &["beta"],
        );
        for eps in [0.0, -1e-5, f64::NAN, f64::INFINITY, 1e-60] {
            refused(x.layer_norm(None, None, eps), ErrorKind::Argument, &["eps", "1e-5"]);
            refused(x.rms_norm(None, eps), ErrorKind::Argument, &["eps", "1e-5"]);
        }
        refused(zeros(&[3, 0], d).layer_norm(None, None, 1e-5), ErrorKind::Empty, &["[3, 0]"]);
        refused(zeros(&[], d).layer_norm(None, None, 1e-5), ErrorKind::Rank, &["rank 0"]);
        let whole = Tensor::full([2], 0.0, DType::I32, d).unwrap();
        refused(whole.rms_norm(None, 1e-5), ErrorKind::DType, &["i32"]);
        refused(nn::LayerNorm::new(&[3]).unwrap().eps(0.0), ErrorKind::Argument, &["eps 0"]);
    }),
    ("A21_batch_norm_of_one_value_per_channel", |d| {
        let norm = nn::BatchNorm1d::new(3).unwrap().on(d).unwrap();
        let one = zeros(&[1, 3], d);
        refused(norm.forward(&one), ErrorKind::Argument, &["1 values per channel", "variance"]);
        assert_eq!(read(norm.running_mean().tensor().unwrap()), [0.0; 3], "nothing has moved");
        assert_eq!(nn::eval(|| norm.forward(&one)).unwrap().shape(), [1, 3]);
    }),
    ("A22_no_loss_broadcasts", |d| {
        let (x, t) = (zeros(&[4, 3], d), zeros(&[4, 1], d));
        for loss in [
            x.l1(&t),
            x.huber(&t, 1.0),
            x.smooth_l1(&t, 1.0),
            x.bce_with_logits(&t),
            x.kl_div(&t),
            x.kl_div_log(&t),
        ] {
            refused(loss, ErrorKind::Shape, &["[4, 3]", "[4, 1]", "do not broadcast"]);
        }
        let y = zeros(&[4, 3], d);
        let weighted = x.bce_with_logits_with(&y, Some(&zeros(&[4], d)), Reduction::Mean);
        refused(weighted, ErrorKind::Shape, &["[4]", "[4, 3]"]);
        refused(x.nll(&whole(&[0, 1], d)), ErrorKind::Shape, &["[4, 3]", "[2]"]);
    }),
    ("A24_probabilities_and_shares_outside_their_range", |d| {
        let x = floats(&[0.0, 1.0], &[1, 2], d);
        for p in [-0.1, 1.1, NAN, INF] {
            refused(x.dropout(p), ErrorKind::Argument, &["between 0 and 1"]);
            refused(nn::Dropout::new(p), ErrorKind::Argument, &["between 0 and 1"]);
            let options = CrossEntropyOptions {
                smoothing: p,
                ignore_index: Some(-100),
                ..CrossEntropyOptions::default()
            };
            let loss = x.cross_entropy_with(&whole(&[1], d), &options);
            refused(loss, ErrorKind::Argument, &["label smoothing"]);
        }
        for delta in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            refused(x.huber(&x, delta), ErrorKind::Argument, &["delta"]);
            refused(x.smooth_l1(&x, delta), ErrorKind::Argument, &["beta"]);
        }
        let bad = Init::new(0).normal(&[2], 0.0, -1.0);
        refused(bad, ErrorKind::Argument, &["std -1"]);
    }),
    ("A25_dropout_of_everything", |d| {
        let x = floats(&[1.0, -2.0, NAN, INF, 5.0], &[5], d).requiring_grad();
        let y = x.dropout(1.0).unwrap();
        assert_eq!(read(&y), [0.0; 5]);
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(read(gradients.wrt(&x).unwrap()), [0.0; 5]);
        let same = x.dropout(0.0).unwrap();
        assert!(same.same(&x));
        assert!(zeros(&[0, 3], d).dropout(0.5).unwrap().shape() == [0, 3]);
    }),
    ("A25_the_same_elements_everywhere", |d| {
        let kept = |d: &Device| {
            let own = Device::new(Box::new(wgrad_core::cpu::Cpu::new()));
            let d = if d.info().kind == wgrad_core::DeviceKind::Cpu { &own } else { d };
            d.seed(77).unwrap();
            let x = Tensor::ones([3, 333], d).unwrap();
            [read(&x.dropout(0.3).unwrap()), read(&x.t().unwrap().dropout(0.9).unwrap())]
        };
        assert_eq!(kept(d), kept(&Device::cpu()));
    }),
    ("B8_cross_entropy_with_options_and_large_logits", |d| {
        let options = CrossEntropyOptions { ignore_index: Some(9), ..Default::default() };
        let x = floats(&[1e4, -1e4, 0.0, -1e4, 1e4, 0.0], &[2, 3], d).requiring_grad();
        let loss = x.cross_entropy_with(&whole(&[1, 9], d), &options).unwrap();
        assert_eq!(read(&loss), [2e4]);
        let gradients = loss.backward().unwrap();
        assert_eq!(read(gradients.wrt(&x).unwrap()), [1.0, -1.0, 0.0, 0.0, 0.0, 0.0]);
        // −∞ elsewhere does nothing, at the label it gives +∞.
        let x = floats(&[-INF, 0.0, 0.0], &[1, 3], d);
        let at = |label: i32| x.cross_entropy_with(&whole(&[label], d), &options).unwrap();
        assert_eq!(read(&at(0)), [INF]);
        let got = f64::from(read(&at(1))[0]);
        assert!(tolerance::of("loss").allows(got, 2f64.ln()), "{got}");
        let log = x.log_softmax(1).unwrap();
        assert_eq!(read(&log.nll(&whole(&[0], d)).unwrap()), [INF]);
    }),
    ("B9_binary_cross_entropy_of_large_logits", |d| {
        let x = floats(&[1e4, 1e4, 1e4, -1e4, -1e4, -1e4], &[6], d).requiring_grad();
        let t = floats(&[0.0, 1.0, 0.5, 0.0, 1.0, 0.5], &[6], d);
        let each = x.bce_with_logits_with(&t, None, Reduction::None).unwrap();
        assert_eq!(read(&each), [1e4, 0.0, 5e3, 0.0, 1e4, 5e3]);
        let gradients = each.sum_all().unwrap().backward().unwrap();
        assert_eq!(read(gradients.wrt(&x).unwrap()), [1.0, 0.0, 0.5, 0.0, -1.0, -0.5]);
    }),
    ("B15_norms_far_from_zero", |d| {
        // Deviation 0.01 around 500 and around 4096: exact to 1e-3 all the same.
        for centre in [500.0f32, 4096.0] {
            let values: Vec<f32> = (0..64).map(|i| centre + 0.01 * ((i * 5) % 16) as f32).collect();
            let wide = |x: &f32| f64::from(*x);
            let mean = values.iter().map(wide).sum::<f64>() / 64.0;
            let var = values.iter().map(|x| (wide(x) - mean).powi(2)).sum::<f64>() / 64.0;
            let right = |y: &Tensor| {
                for (y, x) in read(y).iter().zip(&values) {
                    let want = (wide(x) - mean) / var.sqrt();
                    let off = (f64::from(*y) - want).abs();
                    assert!(off <= tolerance::VARIANCE_FAR_OFF, "{y} and not {want}");
                }
            };
            let row = floats(&values, &[1, 64], d);
            right(&row.layer_norm(None, None, 1e-12).unwrap());
            let norm = nn::BatchNorm1d::new(1).unwrap().eps(1e-12).unwrap().momentum(1.0).unwrap();
            let norm = norm.on(d).unwrap();
            right(&norm.forward(&row.reshape([64, 1]).unwrap()).unwrap());
            let kept = f64::from(read(norm.running_var().tensor().unwrap())[0]);
            let off = (kept / (var * 64.0 / 63.0) - 1.0).abs();
            assert!(off <= tolerance::VARIANCE_FAR_OFF, "{kept} and not {var}");
        }
    }),
    ("B26_slopes_of_norms_at_zero", |d| {
        for value in [0.0, 2.5] {
            let x = Tensor::full([1, 5], value, DType::F32, d).unwrap().requiring_grad();
            let cotangent = floats(&[1.0, -2.0, 3.0, 0.5, 1.0], &[1, 5], d);
            for y in [x.layer_norm(None, None, 1e-5), x.rms_norm(None, 1e-5)] {
                let gradients = y.unwrap().backward_with(&cotangent).unwrap();
                let slopes = read(gradients.wrt(&x).unwrap());
                assert!(slopes.iter().all(|s| s.is_finite()), "{slopes:?}");
            }
            let l1 = x.l1(&x.detach()).unwrap().backward().unwrap();
            assert_eq!(read(l1.wrt(&x).unwrap()), [0.0; 5]);
            let huber = x.huber(&x.detach(), 1.0).unwrap().backward().unwrap();
            assert_eq!(read(huber.wrt(&x).unwrap()), [0.0; 5]);
        }
    }),
    ("B27_layer_norm_of_equal_and_of_large_values", |d| {
        for n in [3, 8, 300] {
            let beta: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let beta = floats(&beta, &[n], d);
            for value in [0.0, 0.1, 1e15, -1e30] {
                let x = Tensor::full([2, n], value, DType::F32, d).unwrap();
                let gamma = Tensor::full([n], 7.0, DType::F32, d).unwrap();
                let y = read(&x.layer_norm(Some(&gamma), Some(&beta), 1e-5).unwrap());
                assert_eq!(y[n..], read(&beta)[..], "{value}");
            }
            let large: Vec<f32> = (0..n).map(|i| 1e15 * (i as f32 - 1.0)).collect();
            let large = floats(&large, &[1, n], d);
            for y in [large.layer_norm(None, None, 1e-5), large.rms_norm(None, 1e-5)] {
                let y = read(&y.unwrap());
                assert!(y.iter().all(|y| y.is_finite()) && y[0] < -0.5e-2, "{y:?}");
            }
        }
        // A row with NaN is NaN; the row beside it is unharmed.
        let x = floats(&[NAN, 1.0, 2.0, 4.0, 1.0, 1.0, 3.0, 3.0], &[2, 4], d);
        let y = read(&x.layer_norm(None, None, 1e-12).unwrap());
        assert!(y[..4].iter().all(|y| y.is_nan()), "{y:?}");
        assert_eq!(y[4..], [-1.0, -1.0, 1.0, 1.0]);
    }),
    ("C4_ignored_labels", |d| {
        let x = floats(&[0.0, 0.0, 1.0, 2.0], &[2, 2], d);
        let options = CrossEntropyOptions { ignore_index: Some(-100), ..Default::default() };
        let all = x.cross_entropy_with(&whole(&[-100, -100], d), &options).unwrap();
        assert!(read(&all)[0].is_nan(), "the mean of no rows");
        let sum = CrossEntropyOptions { reduction: Reduction::Sum, ..options.clone() };
        let all = x.cross_entropy_with(&whole(&[-100, -100], d), &sum).unwrap();
        assert_eq!(read(&all), [0.0]);
        let unsigned = Tensor::from_vec([0u32, 1], [2], d).unwrap();
        refused(x.cross_entropy_with(&unsigned, &options), ErrorKind::Argument, &["u32"]);
        // Another label outside the classes is an error still, and -100 is one where it is not ignored.
        let read_back = |labels: &[i32], options: &CrossEntropyOptions| {
            x.cross_entropy_with(&whole(labels, d), options).and_then(|loss| loss.to_vec::<f32>())
        };
        let told = ["cross_entropy", "index 2 at position 1", "0..2"];
        refused(read_back(&[0, 2], &options), ErrorKind::Index, &told);
        refused(read_back(&[0, -1], &options), ErrorKind::Index, &["-1"]);
        let weighted = CrossEntropyOptions {
            weights: Some(floats(&[1.0, 1.0], &[2], d)),
            ..CrossEntropyOptions::default()
        };
        refused(read_back(&[0, -100], &weighted), ErrorKind::Index, &["-100"]);
        let halves = Tensor::ones([2], d).unwrap().cast(DType::F16).unwrap();
        let halves = CrossEntropyOptions { weights: Some(halves), ..weighted.clone() };
        let mixed = x.cross_entropy_with(&whole(&[0, 1], d), &halves);
        refused(mixed, ErrorKind::DType, &["f32", "f16"]);
        // What lies in an ignored row does not matter, nor does its gradient when none counts.
        for columns in [3, 130] {
            let mut values = vec![1.0; 2 * columns];
            (values[1], values[2]) = (NAN, INF);
            let x = floats(&values, &[2, columns], d).requiring_grad();
            for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
                let options = CrossEntropyOptions { reduction, ..options.clone() };
                let loss = x.cross_entropy_with(&whole(&[-100, 1], d), &options).unwrap();
                let got = f64::from(*read(&loss).last().unwrap());
                assert!(tolerance::of("loss").allows(got, (columns as f64).ln()), "{got}");
                let loss = loss.sum_all().unwrap();
                let slopes = read(loss.backward().unwrap().wrt(&x).unwrap());
                assert_eq!(slopes[..columns], vec![0.0; columns]);
                assert!(slopes[columns + 1] < 0.0, "{slopes:?}");
                let none = x.cross_entropy_with(&whole(&[-100, -100], d), &options).unwrap();
                let none = none.sum_all().unwrap();
                assert!(if reduction == Reduction::Mean {
                    read(&none)[0].is_nan()
                } else {
                    read(&none) == [0.0]
                });
                let slopes = read(none.backward().unwrap().wrt(&x).unwrap());
                assert_eq!(slopes, vec![0.0; 2 * columns]);
            }
        }
    }),
];

fn zeros(shape: &[usize], d: &Device) -> Tensor {
    Tensor::zeros(shape, d).unwrap()
}
