//! Evaluation with gradients: batch norm with frozen statistics, and gradients with respect to inputs.

#[allow(dead_code, clippy::panic, reason = "the table serves other tests too")]
#[path = "../../../tests/support/tolerance.rs"]
mod tolerance;

use wgrad_core::{Device, Error, Result, Step, Tensor};
use wgrad_nn::{
    BatchNorm1d, BatchNorm2d, Dropout, Layer, Module, Parameter, eval, evaluating, train, training,
};

const MEAN: [f64; 2] = [0.5, -1.25];
const VAR: [f64; 2] = [2.0, 0.375];
const GAMMA: [f64; 2] = [1.5, -0.5];
const BETA: [f64; 2] = [0.25, 1.0];
const EPS: f64 = 1e-5;

fn set(tensor: &Tensor, values: [f64; 2]) -> Result<()> {
    let values = values.map(|x| x as f32);
    tensor.detach().assign(&Tensor::from_vec(values, [2], tensor.device())?)
}

fn set_all(weight: &Parameter, bias: &Parameter, mean: &Tensor, var: &Tensor) -> Result<()> {
    set(weight.tensor()?, GAMMA)?;
    set(bias.tensor()?, BETA)?;
    set(mean, MEAN)?;
    set(var, VAR)
}

/// The loss `Σ cotangent · y` of batch norm by its formula, in f64; x is `[n, 2, size]`.
fn loss(x: &[f64], gamma: &[f64], beta: &[f64], cotangent: &[f64], size: usize) -> f64 {
    let of = |i: usize| {
        let c = i / size % 2;
        (x[i] - MEAN[c]) / (VAR[c] + EPS).sqrt() * gamma[c] + beta[c]
    };
    cotangent.iter().enumerate().map(|(i, dy)| dy * of(i)).sum()
}

/// Central differences.
fn differences(at: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let h = tolerance::DIFFERENCE;
    let moved = |i: usize, by: f64| {
        let mut at = at.to_vec();
        at[i] += by;
        f(&at)
    };
    (0..at.len()).map(|i| (moved(i, h) - moved(i, -h)) / (2.0 * h)).collect()
}

fn near(what: &str, got: &Tensor, want: &[f64]) -> Result<()> {
    let got = got.to_vec::<f32>()?;
    assert_eq!(got.len(), want.len(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert!(
            tolerance::of("norm").allows((*got).into(), *want),
            "{what}: {got} instead of {want}"
        );
    }
    Ok(())
}

fn values(count: usize, f: impl Fn(f64) -> f64) -> Vec<f64> {
    // Numbers that f32 holds exactly.
    (0..count).map(|i| (f(i as f64) * 64.0).round() / 64.0).collect()
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

#[test]
fn frozen_batch_norm_has_the_gradients_of_its_formula() -> Result<()> {
    let cpu = Device::cpu();
    let (one, two) = (BatchNorm1d::new(2)?.on(&cpu)?, BatchNorm2d::new(2)?.on(&cpu)?);
    let (mean1, var1) = (one.running_mean().tensor()?, one.running_var().tensor()?);
    let (mean2, var2) = (two.running_mean().tensor()?, two.running_var().tensor()?);
    set_all(one.weight(), one.bias(), mean1, var1)?;
    set_all(two.weight(), two.bias(), mean2, var2)?;
    let cases: [(&dyn Layer, &Parameter, &Parameter, &[usize]); 4] = [
        (&one, one.weight(), one.bias(), &[5, 2]),
        (&one, one.weight(), one.bias(), &[1, 2]), // one value per channel is enough here
        (&one, one.weight(), one.bias(), &[3, 2, 7]),
        (&two, two.weight(), two.bias(), &[2, 2, 3, 5]),
    ];
    for (layer, weight, bias, shape) in cases {
        let (count, size) = (shape.iter().product(), shape[2..].iter().product());
        let (x, dy) = (values(count, |i| 3.0 * i.sin()), values(count, |i| (1.7 * i).cos()));
        let input = Tensor::from_vec(narrow(&x), shape, &cpu)?.requiring_grad();
        let y = evaluating(|| layer.forward(&input))?;
        let gradients = y.backward_with(&Tensor::from_vec(narrow(&dy), shape, &cpu)?)?;
        let dx = differences(&x, |x| loss(x, &GAMMA, &BETA, &dy, size));
        near("x", gradients.wrt(&input)?, &dx)?;
        let dgamma = differences(&GAMMA, |gamma| loss(&x, gamma, &BETA, &dy, size));
        near("gamma", gradients.wrt(weight.tensor()?)?, &dgamma)?;
        let dbeta = differences(&BETA, |beta| loss(&x, &GAMMA, beta, &dy, size));
        near("beta", gradients.wrt(bias.tensor()?)?, &dbeta)?;
    }
    near("running mean", mean1, &MEAN)?;
    near("running variance", var2, &VAR)
}

#[test]
fn a_recorded_step_keeps_the_modes_apart() -> Result<()> {
    let cpu = Device::cpu();
    let norm = BatchNorm1d::new(2)?.on(&cpu)?;
    let drop = Dropout::new(0.5)?;
    let x = Tensor::from_vec([1.0f32, 4.0, 3.0, 8.0], [2, 2], &cpu)?;
    // The gradient of the sum of squares with respect to x.
    let step = Step::new(&cpu, |x| {
        let x = x[0].requiring_grad();
        let y = drop.forward(&norm.forward(&x)?)?.square()?.sum_all()?;
        Ok(vec![y.backward()?.wrt(&x)?.clone()])
    });
    for _ in 0..2 {
        // In training statistics of the batch and the dropped values count; the running ones then move.
        assert!(training());
        step.run(&[&x])?;
        let (mean, var) = (norm.running_mean().tensor()?, norm.running_var().tensor()?);
        let (mean, var) = (mean.to_vec::<f32>()?, var.to_vec::<f32>()?);
        let want: Vec<f64> = [1.0f64, 4.0, 3.0, 8.0]
            .iter()
            .enumerate()
            .map(|(i, x)| 2.0 * (x - f64::from(mean[i % 2])) / (f64::from(var[i % 2]) + EPS))
            .collect();
        let got = evaluating(|| step.run(&[&x]))?;
        near("a step within evaluating", &got[0], &want)?;
        assert_eq!(mean, norm.running_mean().tensor()?.to_vec::<f32>()?);
        let off = eval(|| step.run(&[&x])).err();
        assert!(off.is_some_and(|e| e.message().contains("evaluating")));
    }
    // Within the closure, around one layer of a model in training.
    let frozen = Step::new(&cpu, |x| {
        let x = x[0].requiring_grad();
        let y = evaluating(|| norm.forward(&x))?.sum_all()?;
        Ok(vec![y.backward()?.wrt(&x)?.clone()])
    });
    let rate = norm.running_var().tensor()?.to_vec::<f32>()?;
    let rate = rate.iter().map(|v| 1.0 / (f64::from(*v) + EPS).sqrt()).collect::<Vec<_>>();
    for _ in 0..3 {
        near("frozen", &frozen.run(&[&x])?[0], &[rate[0], rate[1], rate[0], rate[1]])?;
    }
    Ok(())
}

#[test]
fn scopes_within_scopes() -> Result<()> {
    let w = Tensor::ones([1], &Device::cpu())?.requiring_grad();
    let noted = || -> Result<bool> { Ok(w.exp()?.requires_grad()) };
    assert!(evaluating(noted)? && !training_in(evaluating));
    assert!(!eval(|| evaluating(noted))?, "eval around it keeps gradients off");
    assert!(!evaluating(|| eval(noted))?);
    assert!(evaluating(|| train(training)) && training());
    Ok(())
}

fn training_in(scope: fn(fn() -> bool) -> bool) -> bool {
    scope(training)
}

#[test]
fn backward_names_the_scopes_that_turn_gradients_off() -> Result<()> {
    let w = Tensor::ones([1], &Device::cpu())?.requiring_grad();
    let error = eval(|| w.exp())?.backward().err().map(|e: Error| e.to_string());
    for named in ["requiring_grad()", "eval(..)", "no_grad(..)", "evaluating(..)"] {
        assert!(error.as_ref().is_some_and(|text| text.contains(named)), "{named}: {error:?}");
    }
    Ok(())
}
