//! Losses that are composed of other operations, and cross-entropy with options: what they compute and which gradients come out.

use crate::support::{
    inputs::{Draw, Input, Kind, Lie, away, floats, given, whole},
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

/// Cross-entropy or negative log-likelihood with options. Of each four labels one, the second, is `ignored` if that is given.
fn classes(
    name: &'static str,
    smoothing: f32,
    weighted: bool,
    ignored: Option<i32>,
    reduction: Reduction,
) -> Row {
    let body = move |x: &[Tensor]| {
        let weights = weighted.then(|| x[2].clone());
        let options = CrossEntropyOptions { smoothing, ignore_index: ignored, weights, reduction };
        match name.starts_with("nll") {
            true => x[0].nll_with(&x[1], &options),
            false => x[0].cross_entropy_with(&x[1], &options),
        }
    };
    let logits = |shape: &[usize]| floats(shape, -4.0, 4.0);
    let labels = move |shape: &[usize], n: usize| {
        let second = ignored.map_or(n as f64 / 2.0, f64::from).floor();
        let draw = Draw::Given(vec![(2 % n) as f64, second, 0.0, n as f64 - 1.0]);
        let kind = if weighted { Kind::U32 } else { Kind::I32 };
        Input { draw, ..whole(shape, 0, 1) }.kind(kind)
    };
    let weight = |n: usize| floats(&[n], 0.5, 2.0).fixed();
    let case =
        |rows: usize, n: usize| Case::new([logits(&[rows, n]), labels(&[rows], n), weight(n)]);
    let none = ignored.map_or(0.0, f64::from);
    let of_none = Input { draw: Draw::Given(vec![none]), ..labels(&[90], 70) };
    let divided = reduction == Reduction::Mean && (weighted || ignored.is_some());
    let mut kernels = vec!["cross_entropy_lanes"];
    kernels.extend(divided.then_some("cross_entropy_divisor"));
    let mut hardware = [&kernels[..], &["cross_entropy_groups"]].concat();
    if reduction != Reduction::None {
        kernels.push("reduce_lanes");
        hardware.extend(["reduce_lanes", "reduce_groups"]);
    }
    row(name, "loss", body)
        .cases([case(1, 1), case(7, 5), case(33, 65), case(300, 3), case(2, 300), case(90, 70)])
        .cases([case(7, 5).forward_only(), case(2, 257).forward_only(), case(0, 5).forward_only()])
        .case(Case::new([logits(&[90, 70]), of_none, weight(70)]).forward_only())
        .case(Case::new([logits(&[2, 3, 5]), labels(&[2, 3], 5), weight(5)]))
        .case(Case::new([
            logits(&[6, 9]).lie(Lie::Transposed),
            labels(&[6], 9).lie(Lie::Stepped),
            weight(9).lie(Lie::Stepped),
        ]))
        .case(Case::new([
            logits(&[5, 70]).lie(Lie::Offset),
            labels(&[5], 70).lie(Lie::Offset),
            weight(70).lie(Lie::Offset),
        ]))
        .kernels(&kernels)
        .hardware(&hardware)
}

/// So many rows that several workgroups weigh them.
fn many_rows() -> Row {
    row("cross_entropy options long", "loss", |x| {
        let (ignore_index, weights) = (Some(9), Some(x[2].clone()));
        let options =
            CrossEntropyOptions { ignore_index, weights, ..CrossEntropyOptions::default() };
        x[0].cross_entropy_with(&x[1], &options)
    })
    .case(
        Case::new([
            floats(&[40_000, 3], -4.0, 4.0),
            Input { draw: Draw::Given(vec![2.0, 9.0, 0.0]), ..whole(&[40_000], 0, 1) },
            floats(&[3], 0.5, 2.0).fixed(),
        ])
        .no_differences(),
    )
    .kernels(&["cross_entropy_lanes", "cross_entropy_divisor", "reduce_lanes"])
    .hardware(&[
        "cross_entropy_lanes",
        "cross_entropy_divisor",
        "reduce_lanes",
        "reduce_groups",
    ])
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
        classes("cross_entropy options weights", 0.0, true, None, Reduction::Mean),
        classes("cross_entropy options ignored", 0.0, false, Some(9), Reduction::Mean),
        classes("cross_entropy options all", 0.125, true, Some(4), Reduction::Mean),
        classes("cross_entropy options even", 1.0, false, Some(9), Reduction::Sum),
        classes("cross_entropy options rows", 0.25, true, Some(9), Reduction::None),
        classes("cross_entropy sum", 0.0, false, None, Reduction::Sum),
        classes("cross_entropy rows", 0.0, false, None, Reduction::None),
        classes("nll", 0.0, false, None, Reduction::Mean),
        classes("nll options", 0.25, true, Some(9), Reduction::Mean),
        many_rows(),
    ]
}
