//! Dropout: one seed gives one mask everywhere, so the rows compare like any others.

use super::in_every_lie;
use crate::support::{
    devices,
    inputs::{Input, Lie, away, floats},
    row::{Case, Row, row},
};
use wgrad_core::{Result, Step, Tensor};

/// Dropped twice from one seed, so that the second shows whether the stream went on.
fn twice(x: &Tensor, p: f32) -> Result<Tensor> {
    let _alone = devices::stream();
    x.device().seed(0x5eed_0017)?;
    x.dropout(p)?.try_add(&x.dropout(p)?)
}

fn one(x: Input) -> Case {
    Case::new([x])
}

fn input(shape: &[usize]) -> Input {
    away(shape, 0.5, 2.0)
}

pub fn rows() -> Vec<Row> {
    let kernels = ["random_take", "dropout", "map2"];
    vec![
        row("dropout", "arithmetic", |x| twice(&x[0], 0.4))
            .cases([&[][..], &[1], &[7], &[3, 5], &[33, 65], &[0, 3]].map(|s| one(input(s))))
            .cases(in_every_lie(input(&[4, 6, 8])).map(one))
            .case(one(input(&[2, 3, 4, 5]).lie(Lie::Permuted)))
            .kernels(&kernels)
            .backward(&["dropout"], &["dropout"]),
        row("dropout whole", "arithmetic", |x| twice(&x[0], 0.25))
            .cases([&[4][..], &[8, 16], &[3, 1024]].map(|s| one(input(s))))
            .kernels(&kernels)
            .hardware(&kernels)
            .backward(&["dropout"], &["dropout"]),
        row("dropout all", "exact", |x| twice(&x[0], 1.0)).case(one(input(&[9]))).kernels(&kernels),
        row("dropout f16", "arithmetic", |x| twice(&x[0], 0.5))
            .cases([one(input(&[9])), one(input(&[4, 8]))])
            .half()
            .kernels(&["random_take", "dropout", "map2", "widen_f16", "narrow_f16"]),
        row("dropout recorded", "arithmetic", recorded)
            .case(one(floats(&[5, 13], -1.0, 1.0).fixed()))
            .kernels(&["random_take", "dropout", "generate", "map2", "map_chain"])
            .no_gradient("results of a recorded step lie outside any graph"),
    ]
}

/// A step that compares what it dropped with the gradient, run twice: both see one mask.
fn recorded(x: &[Tensor]) -> Result<Tensor> {
    let step = Step::new(x[0].device(), |x| {
        let x = x[0].requiring_grad();
        let y = x.dropout(0.5)?;
        let slope = y.backward_with(&Tensor::full_like(&y, 1.0)?)?.wrt(&x)?.clone();
        Ok(vec![x.detach().try_mul(&slope)?.try_sub(&y.detach())?.square()?])
    });
    let _alone = devices::stream();
    let first = step.run(&[&x[0]])?;
    let second = step.run(&[&x[0]])?;
    // 0 if forward and backward agree; tests/steps compares the masks of several runs.
    first[0].try_add(&second[0])
}
