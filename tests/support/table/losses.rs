//! Losses that are composed of other operations: what they compute and which gradients come out.

use crate::support::{
    inputs::{Draw, Input, away, floats, given, whole},
    row::{Case, Row, row},
};
use wgrad_core::{CrossEntropyOptions, Reduction, Result, Tensor};

fn elementwise(
    name: &str,
    body: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
    target: fn(&[usize]) -> Input,
) -> Row {
    let case = |shape: &[usize]| Case::new([floats(shape, -4.0, 4.0), target(shape)]);
    row(name, "loss", body)
        .cases([case(&[4, 3]), case(&[300])])
        .kernels(&["reduce_lanes", "map1", "map2"])
        .hardware(&["reduce_lanes", "reduce_groups", "map1", "map2"])
}

fn number(shape: &[usize]) -> Input {
    // Apart from the prediction by steps that its kinks do not meet.
    away(shape, 5.0, 6.0)
}

fn share(shape: &[usize]) -> Input {
    floats(shape, 0.125, 0.875)
}

fn classes(name: &str, smoothing: f32, weighted: bool, ignored: bool, reduction: Reduction) -> Row {
    let body = move |x: &[Tensor]| {
        let weights = weighted.then(|| x[2].clone());
        let ignore_index = ignored.then_some(9);
        let options = CrossEntropyOptions { smoothing, ignore_index, weights, reduction };
        x[0].cross_entropy_with(&x[1], &options)
    };
    let weight = |n: usize| floats(&[n], 0.5, 2.0).fixed();
    let labels = |rows: usize, values: &[f64]| Input {
        draw: Draw::Given(values.to_vec()),
        ..whole(&[rows], 0, 1)
    };
    let some: &[f64] = if ignored { &[2.0, 9.0, 0.0, 4.0] } else { &[2.0, 1.0, 0.0, 4.0] };
    let kernels = ["softmax_lanes", "one_hot", "map1", "map2", "reduce_lanes"];
    row(name, "loss", body)
        .cases(
            [7, 33].map(|rows| {
                Case::new([floats(&[rows, 5], -4.0, 4.0), labels(rows, some), weight(5)])
            }),
        )
        .kernels(&kernels)
        .hardware(&kernels)
}

pub fn rows() -> Vec<Row> {
    let kl = |name: &str, log: bool| {
        let target = if log { floats(&[3, 4], -3.0, -0.5) } else { share(&[3, 4]) };
        row(name, "loss", move |x| if log { x[0].kl_div_log(&x[1]) } else { x[0].kl_div(&x[1]) })
            .case(Case::new([floats(&[3, 4], -3.0, -0.5), target]))
            .kernels(&["reduce_lanes", "map1", "map2"])
    };
    vec![
        elementwise("l1", |x| x[0].l1(&x[1]), number),
        elementwise("mse sum", |x| x[0].mse_with(&x[1], Reduction::Sum), number),
        elementwise("huber", |x| x[0].huber(&x[1], 4.5), number),
        elementwise("huber near", |x| x[0].huber(&x[1], 20.0), number),
        elementwise("smooth_l1", |x| x[0].smooth_l1(&x[1], 20.0), number),
        elementwise("bce_with_logits", |x| x[0].bce_with_logits(&x[1]), share),
        row("bce_with_logits weighted", "loss", |x| {
            x[0].bce_with_logits_with(&x[1], Some(&x[2]), Reduction::None)
        })
        .case(Case::new([
            floats(&[4, 3], -4.0, 4.0),
            share(&[4, 3]),
            given(&[3], &[0.5, 2.0, 3.0]),
        ]))
        .kernels(&["map1", "map2"]),
        kl("kl_div", false),
        kl("kl_div log", true),
        row("nll", "loss", |x| x[0].nll(&x[1]))
            .case(Case::new([floats(&[6, 5], -3.0, -0.5), whole(&[6], 0, 5)]))
            .kernels(&["one_hot", "map1", "map2", "reduce_lanes"]),
        classes("cross_entropy options weights", 0.0, true, false, Reduction::Mean),
        classes("cross_entropy options ignored", 0.0, false, true, Reduction::Mean),
        classes("cross_entropy options all", 0.125, true, true, Reduction::Mean),
        classes("cross_entropy options even", 1.0, false, true, Reduction::Sum),
        classes("cross_entropy options rows", 0.25, true, true, Reduction::None),
    ]
}
