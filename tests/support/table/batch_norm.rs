//! Batch norm, and the statistics beside it.

use super::in_every_lie;
use crate::support::{
    inputs::{Input, Lie, floats},
    row::{Case, Row, row},
};

const EPS: f64 = 1e-5;

fn input(shape: &[usize]) -> Input {
    floats(shape, -2.0, 3.0)
}

fn case(x: Input) -> Case {
    let c = x.shape[1];
    Case::new([x, floats(&[c], 0.5, 1.5), floats(&[c], -1.0, 1.0)])
}

const LANES: [&str; 3] = ["batch_norm_lanes", "batch_norm_join", "batch_norm"];
const GROUPS: [&str; 3] = ["batch_norm_groups", "batch_norm_join", "batch_norm"];
const SLOPES: [&str; 3] = ["batch_norm_lanes", "batch_norm_join", "batch_norm_backward"];
const SLOPES_GROUPS: [&str; 3] = ["batch_norm_groups", "batch_norm_join", "batch_norm_backward"];

fn normal(name: &str) -> Row {
    row(name, "norm", |x| Ok(x[0].batch_norm(&x[1], &x[2], EPS)?.0))
}

pub fn rows() -> Vec<Row> {
    let copying = [&LANES[..], &["map1"]].concat();
    let both = ["batch_norm_lanes", "batch_norm_groups", "batch_norm_join", "batch_norm", "map1"];
    let copied = [&GROUPS[..], &["map1"]].concat();
    let statistics = |x: &[wgrad_core::Tensor]| {
        let (_, mean, variance) = x[0].batch_norm(&x[1], &x[2], EPS)?;
        wgrad_core::Tensor::concat(&[&mean, &variance], 0)
    };
    vec![
        normal("batch_norm")
            .cases([&[2, 1][..], &[5, 7], &[70, 3], &[9, 65], &[300, 4]].map(|s| case(input(s))))
            .cases(in_every_lie(input(&[6, 8])).map(case))
            .case(case(input(&[7, 64])))
            .kernels(&copying)
            .hardware(&both)
            .backward(&SLOPES, &SLOPES_GROUPS),
        normal("batch_norm images")
            .cases(
                [&[2, 3, 4][..], &[3, 2, 5, 7], &[1, 2, 33, 9], &[4, 5, 8, 8], &[2, 2, 300]]
                    .map(|s| case(input(s))),
            )
            .cases(
                [Lie::Permuted, Lie::Spread, Lie::Offset].map(|l| case(input(&[4, 6, 8]).lie(l))),
            )
            .case(Case::new([
                input(&[3, 4, 4]),
                floats(&[4], 0.5, 1.5).lie(Lie::Stepped),
                floats(&[4], -1.0, 1.0).lie(Lie::Offset),
            ]))
            .kernels(&copying)
            .hardware(&copied)
            .backward(&SLOPES, &SLOPES_GROUPS),
        // So many values that each channel comes in several chunks, of images and of pieces of one.
        normal("batch_norm many")
            .cases([&[600, 3, 4][..], &[2, 2, 90, 90]].map(|s| case(input(s))))
            .kernels(&LANES)
            .hardware(&GROUPS)
            .backward(&SLOPES, &SLOPES_GROUPS),
        normal("batch_norm f16")
            .cases([case(input(&[5, 7])), case(input(&[3, 4, 8]))])
            .half()
            .kernels(&[&LANES[..], &["widen_f16", "narrow_f16"]].concat()),
        row("batch_norm statistics", "norm", statistics)
            .cases([&[5, 7][..], &[3, 2, 300]].map(|s| case(input(s))))
            .kernels(&[&LANES[..], &["map1"]].concat())
            .no_gradient("statistics lie outside any graph"),
    ]
}
