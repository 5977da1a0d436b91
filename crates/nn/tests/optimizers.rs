//! Optimizers against numbers worked out by hand in f64, and their bad arguments.

#[allow(dead_code, clippy::panic, reason = "the table serves other tests too")]
#[path = "../../../tests/support/tolerance.rs"]
mod tolerance;

use wgrad_core::{Device, ErrorKind, Gradients, Result, Tensor};
use wgrad_nn::{Adam, AdamW, Init, Layer, Linear, Mlp, Module, Optimizer, Parameter, Sgd, module};

struct Point {
    at: Parameter,
}
module!(Point { at });

const START: [f64; 5] = [1.0, -2.0, 0.5, 0.0, 3.0];

fn point() -> Result<Point> {
    Point { at: Parameter::new(&[5], START.map(|x| x as f32).to_vec())? }.on(&Device::cpu())
}

/// The loss Σ x⁴/4, whose gradient is x³.
fn gradients(point: &Point) -> Result<Gradients> {
    let x2 = point.at.tensor()?.square()?;
    x2.square()?.try_mul(0.25)?.sum_all()?.backward()
}

/// Ten steps, and the same by a rule in f64 (parameter, gradient, state, step from 1).
fn compare(
    optimizer: &dyn Optimizer,
    point: &Point,
    rule: impl Fn(f64, f64, &mut [f64; 2], i32) -> f64,
) -> Result<()> {
    let mut want = START;
    let mut state = [[0.0; 2]; 5];
    for step in 1..=10 {
        optimizer.step(&gradients(point)?)?;
        for (x, state) in want.iter_mut().zip(&mut state) {
            *x = rule(*x, x.powi(3), state, step);
        }
        for (got, want) in point.at.tensor()?.to_vec::<f32>()?.into_iter().zip(want) {
            let near = tolerance::of("optimizer_steps").allows(f64::from(got), want);
            assert!(near, "step {step}: {got} instead of {want}");
        }
    }
    Ok(())
}

#[test]
fn sgd() -> Result<()> {
    let p = point()?;
    compare(&Sgd::new(&p, 0.01)?, &p, |x, g, _, _| x - 0.01 * g)?;
    let p = point()?;
    compare(&Sgd::new(&p, 0.01)?.weight_decay(0.1)?, &p, |x, g, _, _| x - 0.01 * (g + 0.1 * x))?;
    let p = point()?;
    let sgd = Sgd::new(&p, 0.01)?.momentum(0.9)?.weight_decay(0.1)?;
    compare(&sgd, &p, |x, g, s, _| {
        s[0] = 0.9 * s[0] + g + 0.1 * x;
        x - 0.01 * s[0]
    })?;
    let p = point()?;
    compare(&Sgd::new(&p, 0.01)?.momentum(0.9)?.nesterov()?, &p, |x, g, s, _| {
        s[0] = 0.9 * s[0] + g;
        x - 0.01 * (g + 0.9 * s[0])
    })
}

#[test]
fn adam() -> Result<()> {
    let rule = |b1: f64, b2: f64, decay: f64, decoupled: bool| {
        move |x: f64, g: f64, s: &mut [f64; 2], t: i32| {
            let g = if decoupled { g } else { g + decay * x };
            let x = if decoupled { x - 0.05 * decay * x } else { x };
            s[0] = b1 * s[0] + (1.0 - b1) * g;
            s[1] = b2 * s[1] + (1.0 - b2) * g * g;
            let (m, v) = (s[0] / (1.0 - b1.powi(t)), s[1] / (1.0 - b2.powi(t)));
            x - 0.05 * m / (v.sqrt() + 1e-8)
        }
    };
    let p = point()?;
    compare(&Adam::new(&p, 0.05)?, &p, rule(0.9, 0.999, 0.0, false))?;
    let p = point()?;
    compare(&Adam::new(&p, 0.05)?.weight_decay(0.1)?, &p, rule(0.9, 0.999, 0.1, false))?;
    let p = point()?;
    compare(&AdamW::new(&p, 0.05)?, &p, rule(0.9, 0.999, 0.01, true))?;
    let p = point()?;
    compare(&Adam::new(&p, 0.05)?.betas(0.0, 0.5)?, &p, rule(0.0, 0.5, 0.0, false))?;
    let p = point()?;
    compare(&Adam::new(&p, 0.05)?.betas(0.5, 0.0)?, &p, rule(0.5, 0.0, 0.0, false))
}

#[test]
fn a_new_rate_acts_on_the_next_step() -> Result<()> {
    let p = point()?;
    let sgd = Sgd::new(&p, 0.01)?;
    sgd.set_lr(0.0)?;
    sgd.step(&gradients(&p)?)?;
    assert_eq!(p.at.tensor()?.to_vec::<f32>()?, START.map(|x| x as f32));
    sgd.set_lr(0.125)?;
    assert_eq!(sgd.lr(), 0.125);
    sgd.step(&gradients(&p)?)?;
    assert_eq!(p.at.tensor()?.to_vec::<f32>()?[0], 0.875);
    assert_eq!(sgd.set_lr(f64::NAN).err().map(|e| e.kind()), Some(ErrorKind::Argument));
    assert_eq!(sgd.lr(), 0.125);
    Ok(())
}

#[test]
fn bad_arguments_fail_at_construction() -> Result<()> {
    let p = point()?;
    let kind = |result: Result<()>| result.err().map(|e| e.kind());
    let bad = Some(ErrorKind::Argument);
    for lr in [f64::NAN, -1e-3, f64::INFINITY, 1e300] {
        assert_eq!(kind(Sgd::new(&p, lr).map(drop)), bad, "{lr}");
        assert_eq!(kind(Adam::new(&p, lr).map(drop)), bad, "{lr}");
        assert_eq!(kind(AdamW::new(&p, lr).map(drop)), bad, "{lr}");
        assert_eq!(kind(Sgd::new(&p, 0.1)?.weight_decay(lr).map(drop)), bad, "{lr}");
        assert_eq!(kind(Adam::new(&p, 0.1)?.weight_decay(lr).map(drop)), bad, "{lr}");
        assert_eq!(kind(Adam::new(&p, 0.1)?.epsilon(lr).map(drop)), bad, "{lr}");
    }
    for share in [f64::NAN, -0.1, 1.0, 1.5, 1.0 - 1e-12] {
        assert_eq!(kind(Sgd::new(&p, 0.1)?.momentum(share).map(drop)), bad, "{share}");
        assert_eq!(kind(Adam::new(&p, 0.1)?.betas(share, 0.9).map(drop)), bad, "{share}");
        assert_eq!(kind(Adam::new(&p, 0.1)?.betas(0.9, share).map(drop)), bad, "{share}");
    }
    assert_eq!(kind(Adam::new(&p, 0.1)?.epsilon(0.0).map(drop)), bad);
    assert_eq!(kind(Adam::new(&p, 0.1)?.epsilon(1e-50).map(drop)), bad);
    assert_eq!(kind(Sgd::new(&p, 0.1)?.nesterov().map(drop)), bad);
    Ok(())
}

#[test]
fn gradients_of_another_model_change_nothing() -> Result<()> {
    let (p, q) = (point()?, point()?);
    let error = Sgd::new(&p, 0.1)?.step(&gradients(&q)?).err();
    assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::Graph));
    assert_eq!(p.at.tensor()?.to_vec::<f32>()?, START.map(|x| x as f32));
    Ok(())
}

#[test]
fn an_unused_parameter_stays() -> Result<()> {
    struct Two {
        used: Linear,
        spare: Linear,
    }
    module!(Two { used, spare });
    let cpu = Device::cpu();
    let mut init = Init::new(3);
    let two = Two { used: Linear::new(3, 2, &mut init)?, spare: Linear::new(3, 2, &mut init)? }
        .on(&cpu)?;
    let before = two.spare.weight.tensor()?.to_vec::<f32>()?;
    let used = two.used.weight.tensor()?.to_vec::<f32>()?;
    let adam = Adam::new(&two, 0.1)?;
    let loss = two.used.forward(&Tensor::ones([4, 3], &cpu)?)?.square()?.mean_all()?;
    adam.step(&loss.backward()?)?;
    assert_eq!(two.spare.weight.tensor()?.to_vec::<f32>()?, before);
    assert_ne!(two.used.weight.tensor()?.to_vec::<f32>()?, used);
    Ok(())
}

#[test]
fn a_bad_label_leaves_the_parameters_alone() -> Result<()> {
    let cpu = Device::cpu();
    let model = Mlp::new(&[4, 8, 3], &cpu)?;
    let sgd = Sgd::new(&model, 0.1)?.momentum(0.9)?;
    let x = Tensor::ones([2, 4], &cpu)?;
    let step = |labels: [i32; 2]| -> Result<()> {
        let labels = Tensor::from_vec(labels, [2], &cpu)?;
        sgd.step(&model.forward(&x)?.cross_entropy(&labels)?.backward()?)
    };
    let values = || model.parameters()?.values().to_vec::<f32>();
    let before = values()?;
    for bad in [3, -1, i32::MAX, i32::MIN] {
        let error = step([1, bad]).err();
        assert_eq!(error.as_ref().map(|e| e.kind()), Some(ErrorKind::Index));
        let text = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains(&bad.to_string()), "{text}");
        assert_eq!(values()?, before);
    }
    step([1, 2])?;
    assert_ne!(values()?, before);
    Ok(())
}
