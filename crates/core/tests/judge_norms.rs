//! Normalisation, dropout and losses on the CPU, against published values and by hand.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![allow(clippy::approx_constant, clippy::excessive_precision, reason = "values as published")]

mod support;

use support::*;
use wgrad_core::{
    CrossEntropyOptions, DType, Device, ErrorKind, Reduction, Tensor, philox::philox4x32,
};

const FLOATS: [DType; 2] = [DType::F32, DType::F64];

const ROWS: [f64; 8] = [1.0, 2.0, 4.0, -3.0, 0.5, 0.5, -1.0, 2.0];
const GAMMA: [f64; 4] = [1.0, -0.5, 2.0, 0.25];
const COTANGENT: [f64; 8] = [1.0, 2.0, -1.0, 0.5, 0.25, -2.0, 1.0, 3.0];

/// torch.nn.functional.layer_norm and its gradients, in f64.
#[test]
fn layer_norm_as_published() {
    for dtype in FLOATS {
        let x = tensor(dtype, &ROWS, &[2, 4]).requiring_grad();
        let gamma = tensor(dtype, &GAMMA, &[4]).requiring_grad();
        let beta = tensor(dtype, &[0.0, 1.0, -1.0, 0.5], &[4]).requiring_grad();
        let y = x.layer_norm(Some(&gamma), Some(&beta), 1e-5).unwrap();
        let want = [
            0.0,
            0.8038840157202074,
            1.3533918113575116,
            0.10776803144041475,
            0.0,
            1.0,
            -3.828414554042774,
            0.8535518192553467,
        ];
        assert_close(&values(&y.detach()), &want, NORM.of(dtype));
        let gradients = y.backward_with(&tensor(dtype, &COTANGENT, &[2, 4])).unwrap();
        let dx = [
            0.5760907038218909,
            -0.09522957027995778,
            -0.2611742128048993,
            -0.21968692073703383,
            -0.7071036385106935,
            0.0,
            0.35355705701351847,
            0.35354658149717477,
        ];
        assert_close(&values(gradients.wrt(&x).unwrap()), &dx, NORM.of(dtype));
        let dgamma = [0.0, 0.7844639371191705, -2.590903182700143, 3.458157893944991];
        assert_close(&values(gradients.wrt(&gamma).unwrap()), &dgamma, NORM.of(dtype));
        assert_close(
            &values(gradients.wrt(&beta).unwrap()),
            &[1.25, 0.0, 0.0, 3.5],
            NORM.of(dtype),
        );
    }
}

/// Squares that f32 cannot hold are summed in f64; distances are not, and their own sum may overflow.
#[test]
fn norms_of_huge_elements() {
    let row = |x: [f32; 4]| Tensor::from_vec(x, [1, 4], &cpu()).unwrap();
    let layer = |x| values(&row(x).layer_norm(None, None, 1e-5).unwrap());
    let signs = [1.0, -1.0, 1.0, -1.0];
    assert_close(&layer([1e37, -1e37, 1e37, -1e37]), &signs, NORM);
    assert!(layer([3e38, -3e38, 3e38, -3e38]).iter().all(|y| y.is_nan()));
    let rms = row([3e38, -3e38, 3e38, -3e38]).rms_norm(None, 1e-5).unwrap();
    assert_close(&values(&rms), &signs, NORM);
}

/// torch.nn.functional.rms_norm and its gradients, in f64.
#[test]
fn rms_norm_as_published() {
    for dtype in FLOATS {
        let x = tensor(dtype, &ROWS, &[2, 4]).requiring_grad();
        let gamma = tensor(dtype, &GAMMA, &[4]).requiring_grad();
        let y = x.rms_norm(Some(&gamma), 1e-5).unwrap();
        let want = [
            0.3651481282381064,
            -0.3651481282381064,
            2.921185025904851,
            -0.2738610961785798,
            0.426399882169014,
            -0.213199941084507,
            -1.705599528676056,
            0.426399882169014,
        ];
        assert_close(&values(&y.detach()), &want, NORM.of(dtype));
        let gradients = y.backward_with(&tensor(dtype, &COTANGENT, &[2, 4])).unwrap();
        let dx = [
            0.47925676616766405,
            -0.13693085237899105,
            -0.2738617047579821,
            -0.2966823977589097,
            0.20350910515038165,
            0.8431089284039026,
            1.7249812005443066,
            0.6008364795170196,
        ];
        assert_close(&values(gradients.wrt(&x).unwrap()), &dx, NORM.of(dtype));
        let dgamma =
            [0.4717480987803599, 0.6077927486143976, -2.3133922772904536, 4.569076393671008];
        assert_close(&values(gradients.wrt(&gamma).unwrap()), &dgamma, NORM.of(dtype));
    }
}

/// Elements 4i to 4i+3 are dropped by the numbers of counter i; the stream goes on behind them.
#[test]
fn dropout_by_the_numbers_of_philox() {
    let device = own_cpu();
    let seed = 0x0123_4567_89ab_cdef_u64;
    device.seed(seed).unwrap();
    let key = [seed as u32, (seed >> 32) as u32];
    let x = Tensor::full([9], 3.0, DType::F32, &device).unwrap().requiring_grad();
    for start in [0u32, 3] {
        let y = x.dropout(0.25).unwrap();
        let want: Vec<f64> = (0..9u32)
            .map(|i| {
                let bits = philox4x32([start + i / 4, 0, 0, 0], key)[i as usize % 4];
                if bits < 1 << 30 { 0.0 } else { 4.0 }
            })
            .collect();
        assert!(want.contains(&0.0) && want.contains(&4.0), "{want:?}");
        assert_close(&values(&y.detach()), &want, ROUNDED);
        let slopes: Vec<f64> = want.iter().map(|y| y / 3.0).collect();
        assert_close(&values(gradients(&y).wrt(&x).unwrap()), &slopes, ROUNDED);
    }
    // What p = 0 passes on is the tensor itself, and the stream stays.
    assert!(x.dropout(0.0).unwrap().same(&x));
    let last = Tensor::uniform([1], 0.0, 1.0, &device).unwrap();
    let bits = philox4x32([6, 0, 0, 0], key)[0];
    assert_close(&values(&last), &[f64::from(bits >> 8) / 16_777_216.0], EXACT);
}

const LOGITS: [f64; 12] = [1.0, -2.0, 0.5, 0.0, 3.0, -1.0, 2.0, 2.0, 2.0, -1.0, 0.25, 4.0];

/// torch.nn.functional.cross_entropy with ignore_index -100, in f64.
#[test]
fn cross_entropy_options_as_published() {
    let weights = [1.0, 0.5, 2.0];
    let table: [(f32, bool, f64, f64, [f64; 4]); 4] = [
        (
            0.0,
            false,
            2.7834292743412754,
            8.350287823023827,
            [0.5045969023422835, 4.065883903757429, 0.0, 3.779807016924114],
        ),
        (
            0.0,
            true,
            3.007505205234057,
            10.5262682183192,
            [0.5045969023422835, 8.131767807514859, 0.0, 1.889903508462057],
        ),
        (
            0.1,
            false,
            2.738984829896831,
            8.216954489690494,
            [0.6212635690089501, 3.8992172370907623, 0.0, 3.696473683590781],
        ),
        (
            0.1,
            true,
            2.9208118978590645,
            10.222841642506726,
            [0.5963401840479883, 7.692944148868406, 0.0, 1.9335573095903313],
        ),
    ];
    for dtype in FLOATS {
        let x = tensor(dtype, &LOGITS, &[4, 3]).requiring_grad();
        let labels = i32s(&[0, 2, -100, 1]);
        for (smoothing, weighted, mean, sum, rows) in table {
            // 0.1 as f32 is not 0.1: that rounding is in the f64 result too.
            let tolerance = if smoothing == 0.0 { LOSS.of(dtype) } else { LOSS };
            let with = |reduction| CrossEntropyOptions {
                smoothing,
                ignore_index: Some(-100),
                weights: weighted.then(|| tensor(dtype, &weights, &[3])),
                reduction,
            };
            let loss = |reduction| x.cross_entropy_with(&labels, &with(reduction)).unwrap();
            assert_close(&values(&loss(Reduction::Mean).detach()), &[mean], tolerance);
            assert_close(&values(&loss(Reduction::Sum).detach()), &[sum], tolerance);
            assert_close(&values(&loss(Reduction::None).detach()), &rows, tolerance);
        }
        let weights = Some(tensor(dtype, &weights, &[3]));
        let options = CrossEntropyOptions {
            smoothing: 0.1,
            ignore_index: Some(-100),
            weights,
            ..Default::default()
        };
        let with = |reduction| {
            let options = CrossEntropyOptions { reduction, ..options.clone() };
            x.cross_entropy_with(&labels, &options).unwrap()
        };
        let loss = with(Reduction::Mean);
        let want = [
            -0.09129198730920873,
            0.003969486389257217,
            0.0873225009199515,
            0.01600215045936666,
            0.5079407069799913,
            -0.523942857439358,
            0.0,
            0.0,
            0.0,
            -0.008464940631184754,
            -0.1296375177510851,
            0.1381024583822698,
        ];
        let slopes = |loss: &Tensor| values(gradients(loss).wrt(&x).unwrap());
        assert_close(&slopes(&loss), &want, LOSS);
        // The rows that count weigh 1, 2 and 0.5.
        assert_close(&slopes(&with(Reduction::Sum)), &want.map(|x| 3.5 * x), LOSS);
        let factors = tensor(dtype, &[1.0, -2.0, 3.0, 4.0], &[4]);
        let loss = with(Reduction::None).try_mul(&factors).unwrap().sum_all().unwrap();
        let factors = values(&factors);
        let want: Vec<f64> = (0..12).map(|i| 3.5 * factors[i / 3] * want[i]).collect();
        assert_close(&slopes(&loss), &want, LOSS);
        let log = x.log_softmax(1).unwrap();
        let nll = log.nll(&i32s(&[0, 2, 1, 1])).unwrap();
        assert_close(&values(&nll.detach()), &[2.3622250279229844], LOSS.of(dtype));
    }
}

/// torch.nn.functional in f64.
#[test]
fn losses_as_published() {
    for dtype in FLOATS {
        let x = tensor(dtype, &[1.0, -2.0, 0.5, 30.0], &[4]).requiring_grad();
        let t = tensor(dtype, &[1.0, 0.0, 0.25, 1.0], &[4]);
        let loss = x.bce_with_logits(&t).unwrap();
        assert_close(&values(&loss.detach()), &[0.3223166706853489], LOSS.of(dtype));
        let slopes = [
            -0.06723535534249878,
            0.029800730505529387,
            0.09311483280046365,
            // -e⁻³⁰/4: torch has lost digits here.
            -2.3394057422098e-14,
        ];
        assert_close(&values(gradients(&loss).wrt(&x).unwrap()), &slopes, TAIL);
        let weighted = |w: &[f64], shape: &[usize]| {
            let w = tensor(dtype, w, shape);
            values(&x.bce_with_logits_with(&t, Some(&w), Reduction::Mean).unwrap().detach())
        };
        assert_close(&weighted(&[3.0], &[]), &[0.5382071374670205], LOSS.of(dtype));
        assert_close(&weighted(&[3.0, 1.0, 2.0, 0.5], &[4]), &[0.5085773259557053], LOSS.of(dtype));

        let t = tensor(dtype, &[0.0, 0.5, 0.5, 27.0], &[4]);
        let one = |loss: wgrad_core::Result<Tensor>| values(&loss.unwrap().detach())[0];
        let got = [one(x.l1(&t)), one(x.huber(&t, 1.5)), one(x.smooth_l1(&t, 0.5)), one(x.mse(&t))];
        assert_close(&got, &[1.625, 1.625, 1.4375, 4.0625], ROUNDED.of(dtype));
        let loss = x.huber(&t, 1.5).unwrap();
        let slopes = [0.25, -0.375, 0.0, 0.375];
        assert_close(&values(gradients(&loss).wrt(&x).unwrap()), &slopes, ROUNDED.of(dtype));

        let log = tensor(dtype, &LOGITS[..6], &[2, 3]).log_softmax(1).unwrap();
        let q = [0.5, 0.0, 0.5, 0.2, 0.3, 0.5];
        let kl = log.kl_div(&tensor(dtype, &q, &[2, 3])).unwrap();
        assert_close(&values(&kl), &[0.8488403057375968], LOSS.of(dtype));
        let logs = q.map(|q| (q + 1e-3f64).ln());
        let kl = log.kl_div_log(&tensor(dtype, &logs, &[2, 3])).unwrap();
        assert_close(&values(&kl), &[0.8515493025098413], LOSS);
    }
}

#[test]
fn targets_of_zero_do_not_leak() {
    let log = f32s(&[-0.5, f32::NEG_INFINITY]).reshape([1, 2]).unwrap();
    let q = f32s(&[1.0, 0.0]).reshape([1, 2]).unwrap().requiring_grad();
    let kl = log.kl_div(&q).unwrap();
    assert_close(&values(&kl.detach()), &[0.5], ROUNDED);
    let slopes = values(gradients(&kl).wrt(&q).unwrap());
    assert!(slopes.iter().all(|s| s.is_finite()), "{slopes:?}");
    let sure = f32s(&[0.0, f32::NEG_INFINITY]).reshape([1, 2]).unwrap();
    assert_close(&values(&log.kl_div_log(&sure).unwrap()), &[0.5], ROUNDED);
}

#[test]
fn bad_arguments_are_refused_with_the_callers_line() {
    let x = Tensor::zeros([2, 3], &Device::cpu()).unwrap();
    let labels = i32s(&[0, 1]);
    let wrong = f32s(&[1.0, 1.0]);
    assert_fails(
        x.layer_norm(Some(&wrong), None, 1e-5),
        ErrorKind::Shape,
        &["gamma [2]", "[2, 3]"],
    );
    assert_fails(x.rms_norm(None, -1.0), ErrorKind::Argument, &["eps -1"]);
    assert_fails(x.dropout(1.5), ErrorKind::Argument, &["p 1.5"]);
    assert_fails(x.huber(&x, 0.0), ErrorKind::Argument, &["delta 0"]);
    assert_fails(x.l1(&wrong), ErrorKind::Shape, &["do not broadcast"]);
    assert_fails(x.nll(&i32s(&[0, 3])), ErrorKind::Index, &["3"]);
    let options = CrossEntropyOptions { weights: Some(wrong), ..Default::default() };
    assert_fails(x.cross_entropy_with(&labels, &options), ErrorKind::Shape, &["class weights [2]"]);
}
