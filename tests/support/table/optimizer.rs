//! Optimizer steps, against the formulas written out in f64: the kernels exist in f32 only.

use crate::support::{
    inputs::{away, floats},
    row::{Case, Row, row},
};
use wgrad_core::{FlatParameters, Gradients, Result, Tensor};

/// Parameters with given values, and the gradients of Σ p·g, which are g.
fn parameters(p: &Tensor, g: &Tensor) -> Result<(FlatParameters, Gradients)> {
    let n = p.numel();
    let flat = FlatParameters::new(&[("p", &[n][..], vec![0.0; n])], p.device())?;
    flat.values().assign(p)?;
    let gradients = match flat.get("p") {
        Some(leaf) => leaf.try_mul(g)?.sum_all()?.backward()?,
        None => Gradients::default(),
    };
    Ok((flat, gradients))
}

/// p and g by single elements and by fours; |g| stays away from 0, where Adam's sign would flip.
fn cases() -> [Case; 3] {
    [1, 7, 64].map(|n| Case::new([floats(&[n], -1.0, 1.0).fixed(), away(&[n], 0.01, 1.0).fixed()]))
}

const MADE: [&str; 4] = ["generate", "map1", "map2", "reduce_lanes"];

fn sgd(name: &str, rate: f32, momentum: Option<f32>, nesterov: bool, decay: f32) -> Row {
    let mut kernels = MADE.to_vec();
    kernels.push("sgd");
    row(name, "optimizer", move |x| {
        let (flat, gradients) = parameters(&x[0], &x[1])?;
        let hyper = flat.hyper(&[rate, momentum.unwrap_or(0.0), decay])?;
        let velocity = flat.zeros_like()?;
        for _ in 0..2 {
            flat.sgd(&gradients, &hyper, momentum.map(|_| &velocity), nesterov)?;
        }
        Tensor::concat(&[flat.values(), &velocity], 0)
    })
    .reference(move |x| {
        let (mut p, g) = (x[0].clone(), &x[1]);
        let [rate, momentum_, decay] = [rate, momentum.unwrap_or(0.0), decay].map(f64::from);
        let mut v = vec![0.0; p.len()];
        for _ in 0..2 {
            for i in 0..p.len() {
                let slope = g[i] + decay * p[i];
                let mut direction = slope;
                if momentum.is_some() {
                    v[i] = momentum_ * v[i] + slope;
                    direction = if nesterov { slope + momentum_ * v[i] } else { v[i] };
                }
                p[i] -= rate * direction;
            }
        }
        [p, v].concat()
    })
    .cases(cases())
    .kernels(&kernels)
    .no_gradient("changes memory in place")
}

fn adam(name: &str, decoupled: bool, decay: f32) -> Row {
    let [rate, b1, b2, eps] = [0.01f32, 0.9, 0.999, 1e-8];
    // As in the layer above: differences and logarithms in f64, rounded once.
    let of = |b: f32| f64::from(b);
    let hyper = [
        rate,
        b1,
        b2,
        eps,
        decay,
        0.0,
        (1.0 - of(b1)) as f32,
        (1.0 - of(b2)) as f32,
        of(b1).ln() as f32,
        of(b2).ln() as f32,
    ];
    let mut kernels = MADE.to_vec();
    kernels.extend(["adam", "adam_advance"]);
    row(name, "optimizer", move |x| {
        let (flat, gradients) = parameters(&x[0], &x[1])?;
        let hyper = flat.hyper(&hyper)?;
        let (m, v) = (flat.zeros_like()?, flat.zeros_like()?);
        for _ in 0..3 {
            flat.adam(&gradients, &hyper, (&m, &v), decoupled)?;
        }
        Tensor::concat(&[flat.values(), &m, &v, &hyper.slice(0, 5..6)?], 0)
    })
    .reference(move |x| {
        let (mut p, g) = (x[0].clone(), &x[1]);
        let [rate, b1, b2, eps, decay] = [rate, b1, b2, eps, decay].map(f64::from);
        let (mut m, mut v) = (vec![0.0; p.len()], vec![0.0; p.len()]);
        for t in 1..=3 {
            for i in 0..p.len() {
                let mut slope = g[i];
                if decoupled {
                    p[i] -= rate * decay * p[i];
                } else {
                    slope += decay * p[i];
                }
                m[i] = b1 * m[i] + (1.0 - b1) * slope;
                v[i] = b2 * v[i] + (1.0 - b2) * slope * slope;
                let (m_fixed, v_fixed) = (m[i] / (1.0 - b1.powi(t)), v[i] / (1.0 - b2.powi(t)));
                p[i] -= rate * m_fixed / (v_fixed.sqrt() + eps);
            }
        }
        [p, m, v, vec![3.0]].concat()
    })
    .cases(cases())
    .kernels(&kernels)
    .no_gradient("changes memory in place")
}

pub fn rows() -> Vec<Row> {
    vec![
        sgd("sgd", 0.1, None, false, 0.0),
        sgd("sgd momentum", 0.1, Some(0.9), false, 0.0),
        sgd("sgd nesterov", 0.1, Some(0.9), true, 0.0),
        sgd("sgd decay", 0.1, Some(0.9), false, 0.01),
        adam("adam", false, 0.0),
        adam("adam decay", false, 0.01),
        adam("adamw", true, 0.01),
    ]
}
