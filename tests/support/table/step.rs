//! Recorded steps whose element-wise operations become one kernel.

use super::in_every_lie;
use crate::support::{
    inputs::{Input, floats},
    row::{Case, Row, row},
};
use wgrad_core::{Result, Step, Tensor, ops::linear::FusedActivation};

fn recorded(x: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<Tensor> {
    let step = Step::new(x[0].device(), |x| Ok(vec![f(x)?]));
    let inputs: Vec<&Tensor> = x.iter().collect();
    let results = step.run(&inputs)?;
    // Once more, as a replay: the same again.
    let again = step.run(&inputs)?;
    again[0].try_add(&results[0])?.try_mul(0.5)
}

/// The gradients of a layer below another one, recorded: its derivative follows the product that it comes from,
/// and the bias's gradient is computed beside the weights'.
fn layer(name: &'static str, which: usize) -> Row {
    let number = |shape: &[usize]| floats(shape, -1.0, 1.0).fixed();
    let case = |m: usize, k: usize, hidden: usize, out: usize| {
        Case::new([
            number(&[m, k]),
            number(&[hidden, k]),
            number(&[hidden]),
            number(&[out, hidden]),
            number(&[m, out]),
        ])
    };
    row(name, "chain", move |x| {
        recorded(x, |x| {
            let (w, b) = (x[1].requiring_grad(), x[2].requiring_grad());
            let hidden = x[0].linear(&w, Some(&b), Some(FusedActivation::Relu))?;
            let y = hidden.linear(&x[3].requiring_grad(), None, None)?;
            let gradients = y.backward_with(&x[4])?;
            Ok(gradients.wrt([&w, &b][which])?.clone())
        })
    })
    .cases([case(20, 12, 12, 12), case(21, 11, 9, 10), case(12, 16, 36, 12)])
    .no_gradient("results of a recorded step lie outside any graph")
    .kernels(&["matmul_lanes", "map1", "map2"])
    .hardware(&["matmul_registers", "reduce_lanes", "map1", "map2"])
}

pub fn rows() -> Vec<Row> {
    const REASON: &str = "results of a recorded step lie outside any graph";
    let number = |shape: &[usize]| floats(shape, -2.0, 2.0).fixed();
    let shapes = [&[33, 65][..], &[4, 3, 8], &[2, 3, 4, 5, 6], &[128], &[1], &[0, 3]];
    let pair = |shape: &[usize], other: &[usize]| Case::new([number(shape), number(other)]);
    let views = in_every_lie(number(&[6, 8]));
    let with_view = |view: Input| Case::new([number(&[6, 8]), view]);
    let kernels = ["map_chain", "map1", "map2"];
    vec![
        layer("layer weights", 0),
        layer("layer bias", 1),
        row("chain", "chain", |x| {
            recorded(x, |x| {
                let a = x[0].try_mul(&x[1])?.try_add(&x[0])?.relu()?;
                a.try_sub(0.25)?.square()?.try_div(3.0)?.sigmoid()
            })
        })
        .cases(shapes.map(|shape| pair(shape, shape)))
        .cases([
            pair(&[33, 65], &[65]),
            pair(&[33, 64], &[64]),
            pair(&[7, 12], &[7, 1]),
            pair(&[5, 4, 8], &[4, 1]),
        ])
        .cases(views.map(with_view))
        .no_gradient(REASON)
        .kernels(&kernels),
        row("chain backward", "chain", |x| {
            recorded(x, |x| {
                let at = x[0].requiring_grad();
                let y = at.tanh()?.try_mul(&x[1])?.gelu()?;
                Ok(y.backward_with(&x[1])?.wrt(&at)?.clone())
            })
        })
        .cases([pair(&[33, 65], &[33, 65]), pair(&[6, 8], &[6, 8])])
        .no_gradient(REASON)
        .kernels(&kernels),
    ]
}
