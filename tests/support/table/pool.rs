//! Maxima and means of windows.

use super::in_every_lie;
use crate::support::{
    inputs::{Input, floats},
    row::{Case, Row, row},
};
use wgrad_core::{Pair, Pool2dOptions, Tensor};

/// Windows, and the sizes of the inputs.
type Windows = (&'static str, Pool2dOptions, &'static [[usize; 4]]);

fn input(shape: &[usize]) -> Input {
    floats(shape, -4.0, 4.0)
}

fn windows() -> [Windows; 4] {
    [
        (
            "side by side",
            Pool2dOptions::new(2),
            &[[1, 1, 2, 2], [2, 3, 8, 9], [1, 5, 7, 4], [0, 2, 4, 4]],
        ),
        ("overlapping", Pool2dOptions::new(3).stride(2).padding(1), &[[2, 3, 7, 8], [1, 2, 2, 3]]),
        ("uneven", Pool2dOptions::new([3, 2]).stride([1, 3]).padding([2, 1]), &[[2, 2, 5, 11]]),
        ("apart", Pool2dOptions::new([1, 2]).stride([3, 4]), &[[3, 1, 10, 9], [1, 65, 4, 6]]),
    ]
}

/// A row of each kind of window.
fn each(
    name: &'static str,
    rule: &'static str,
    kernels: [&'static str; 2],
    body: fn(&Tensor, &Pool2dOptions) -> wgrad_core::Result<Tensor>,
) -> impl Iterator<Item = Row> {
    windows().into_iter().map(move |(which, options, sizes)| {
        let [height, width] = options.kernel;
        row(format!("{name} {which}"), rule, move |x| body(&x[0], &options))
            .cases(sizes.iter().map(|shape| Case::new([input(shape)]).terms(height * width)))
            .kernels(&kernels[..1])
            .hardware(&kernels[..1])
            .backward(&kernels[1..], &kernels[1..])
    })
}

fn adaptive(name: &str, output: impl Into<Pair>, sizes: &[[usize; 4]]) -> Row {
    let Pair(output) = output.into();
    row(format!("adaptive_avg_pool2d {name}"), "sum", move |x| x[0].adaptive_avg_pool2d(output))
        .cases(sizes.iter().map(|shape| Case::new([input(shape)]).terms(shape[2] * shape[3])))
        .kernels(&["avg_pool"])
        .hardware(&["avg_pool"])
        .backward(&["avg_pool_backward"], &["avg_pool_backward"])
}

pub fn rows() -> Vec<Row> {
    const MAX: [&str; 2] = ["max_pool", "max_pool_backward"];
    const AVERAGE: [&str; 2] = ["avg_pool", "avg_pool_backward"];
    let overlapping = Pool2dOptions::new(3).stride(2).padding(1);
    let one = Pool2dOptions::new(3).stride(2);
    let views = || in_every_lie(input(&[2, 3, 6, 5])).map(|x| Case::new([x]).terms(9));
    let mut rows = vec![
        adaptive("one", 1, &[[2, 3, 5, 7], [1, 1, 1, 1]]),
        adaptive("fewer", [2, 3], &[[2, 3, 5, 7], [1, 2, 2, 3]]),
        adaptive("more", [7, 5], &[[1, 2, 3, 4]]),
        row("avg_pool2d without padding", "sum", move |x| {
            x[0].avg_pool2d(&overlapping.count_include_pad(false))
        })
        .cases([[2, 3, 7, 8], [1, 2, 2, 3]].map(|shape| Case::new([input(&shape)]).terms(9)))
        .kernels(&AVERAGE[..1]),
        row("avg_pool2d views", "sum", move |x| x[0].avg_pool2d(&overlapping))
            .cases(views())
            .kernels(&AVERAGE[..1])
            .hardware(&AVERAGE[..1]),
        // What is repeated with stride 0 has equals in its windows: a step would choose another.
        row("max_pool2d views", "exact", move |x| x[0].max_pool2d(&overlapping))
            .cases(views().map(Case::no_differences))
            .kernels(&MAX[..1])
            .hardware(&MAX[..1]),
        row("max_pool1d", "exact", move |x| x[0].max_pool1d(&one))
            .case(Case::new([input(&[2, 3, 11])]))
            .kernels(&MAX[..1]),
        row("avg_pool1d", "sum", move |x| x[0].avg_pool1d(&one))
            .case(Case::new([input(&[2, 3, 11])]).terms(3))
            .kernels(&AVERAGE[..1]),
        row("max_pool2d f16", "exact", move |x| x[0].max_pool2d(&overlapping))
            .case(Case::new([input(&[2, 3, 6, 5])]).no_differences())
            .half()
            .kernels(&["max_pool", "widen_f16", "narrow_f16"]),
        row("avg_pool2d f16", "sum", move |x| x[0].avg_pool2d(&overlapping))
            .case(Case::new([input(&[2, 3, 6, 5])]).terms(9))
            .half()
            .kernels(&["avg_pool", "widen_f16", "narrow_f16"]),
    ];
    rows.extend(each("max_pool2d", "exact", MAX, Tensor::max_pool2d));
    rows.extend(each("avg_pool2d", "sum", AVERAGE, Tensor::avg_pool2d));
    rows
}
