//! Layer norm and RMS norm.

use super::in_every_lie;
use crate::support::{
    devices,
    inputs::{Input, Lie, floats, given},
    row::{Case, Row, row},
};
use wgrad_core::{Result, Tensor};

const EPS: f64 = 1e-5;

fn input(shape: &[usize]) -> Input {
    floats(shape, -2.0, 3.0)
}

fn gamma(cols: usize) -> Input {
    floats(&[cols], 0.5, 1.5)
}

fn beta(cols: usize) -> Input {
    floats(&[cols], -1.0, 1.0)
}

fn both(x: &[Tensor]) -> Result<Tensor> {
    x[0].layer_norm(Some(&x[1]), Some(&x[2]), EPS)
}

fn with_both(x: Input) -> Case {
    let cols = x.shape[x.shape.len() - 1];
    Case::new([x, gamma(cols), beta(cols)])
}

/// The kernel for rows in whole vec4.
fn of_whole(lanes: &'static str, registers: &'static str) -> &'static str {
    if devices::has_eight_lanes() { registers } else { lanes }
}

/// Software adapters keep rows in registers only where eight lanes can exchange values.
fn with_registers(others: &[&'static str], registers: &'static str) -> Vec<&'static str> {
    let mut kernels = others.to_vec();
    if devices::has_eight_lanes() {
        kernels.push(registers);
    }
    kernels
}

const SHAPES: [&[usize]; 7] =
    [&[1, 1], &[5, 7], &[3, 4, 65], &[2, 257], &[0, 3], &[70, 3], &[2, 3, 129]];

/// Rows of any length that lie in any way.
fn any() -> Vec<Row> {
    let backward =
        with_registers(&["norm_backward_lanes", "norm_columns"], "norm_backward_registers");
    let hardware = ["norm_backward_lanes", "norm_backward_groups", "norm_backward_registers"];
    let layer = row("layer_norm", "norm", both)
        .cases(SHAPES.map(|shape| with_both(input(shape))))
        .cases(in_every_lie(input(&[4, 6, 8])).map(with_both))
        .case(with_both(input(&[2, 3, 4, 70]).lie(Lie::Permuted)))
        .case(Case::new([input(&[5, 9]), gamma(9).lie(Lie::Stepped), beta(9).lie(Lie::Offset)]))
        .kernels(&with_registers(&["norm_lanes", "map1"], "norm_registers"))
        .hardware(&["norm_lanes", "norm_groups", "norm_registers", "map1"])
        .backward(&backward, &hardware);
    let rms = row("rms_norm", "norm", |x| x[0].rms_norm(Some(&x[1]), EPS))
        .cases(SHAPES.map(|shape| {
            let cols = shape[shape.len() - 1];
            Case::new([input(shape), gamma(cols)])
        }))
        .cases(in_every_lie(input(&[4, 6, 8])).map(|x| Case::new([x, gamma(8)])))
        .kernels(&with_registers(&["norm_lanes", "map1"], "norm_registers"))
        .hardware(&["norm_lanes", "norm_groups", "norm_registers", "map1"])
        .backward(&backward, &hardware);
    vec![layer, rms]
}

const WHOLE: [&[usize]; 7] =
    [&[1, 4], &[5, 8], &[3, 60], &[70, 32], &[2, 3, 132], &[7, 1024], &[2, 1028]];

/// Rows that lie in whole vec4: kept in registers, where threads can meet.
fn whole() -> Vec<Row> {
    let finish = |row: Row| {
        row.kernels(&with_registers(&["norm_lanes"], "norm_registers"))
            .hardware(&["norm_registers"])
            .backward(
                &with_registers(
                    &["norm_backward_lanes", "norm_columns"],
                    "norm_backward_registers",
                ),
                &["norm_backward_registers", "norm_columns"],
            )
    };
    let layer = row("layer_norm whole", "norm", both)
        .cases(WHOLE.map(|shape| with_both(input(shape))))
        .case(with_both(input(&[2, 4100])).forward_only())
        .case(with_both(input(&[9, 16]).lie(Lie::Rows)));
    let rms = row("rms_norm whole", "norm", |x| x[0].rms_norm(Some(&x[1]), EPS))
        .cases(WHOLE.map(|shape| Case::new([input(shape), gamma(shape[shape.len() - 1])])));
    let anywhere = row("layer_norm gamma_anywhere", "norm", both)
        .case(Case::new([input(&[6, 64]), gamma(64).lie(Lie::Offset), beta(64)]))
        .case(Case::new([input(&[6, 64]), gamma(64), beta(64).lie(Lie::Stepped)]));
    let mut rows: Vec<Row> = [layer, rms].map(finish).into();
    rows.push(
        anywhere
            .kernels(&[of_whole("norm_lanes", "norm_registers")])
            .hardware(&["norm_registers"])
            .backward(
                &[of_whole("norm_backward_lanes", "norm_backward_registers"), "norm_columns"],
                &["norm_backward_registers", "norm_columns"],
            ),
    );
    rows
}

/// Without gamma, without beta, and over several axes.
fn forms() -> Vec<Row> {
    let kernels = with_registers(&["norm_lanes"], "norm_registers");
    let finish =
        |row: Row| row.kernels(&kernels).hardware(&["norm_lanes", "norm_groups", "norm_registers"]);
    let shapes = [&[3, 5][..], &[4, 64], &[3, 66], &[2, 3, 8]];
    let plain = shapes.map(|shape| Case::new([input(shape)]));
    let cols = |shape: &[usize]| shape[shape.len() - 1];
    let one = |v: fn(usize) -> Input| shapes.map(|shape| Case::new([input(shape), v(cols(shape))]));
    let several =
        Case::new([input(&[3, 4, 6]), floats(&[4, 6], 0.5, 1.5), floats(&[4, 6], -1.0, 1.0)]);
    let rows = [
        row("layer_norm plain", "norm", |x| x[0].layer_norm(None, None, EPS)).cases(plain),
        row("layer_norm gamma", "norm", |x| x[0].layer_norm(Some(&x[1]), None, EPS))
            .cases(one(gamma)),
        row("layer_norm beta", "norm", |x| x[0].layer_norm(None, Some(&x[1]), EPS))
            .cases(one(beta)),
        row("rms_norm plain", "norm", |x| x[0].rms_norm(None, EPS))
            .cases(shapes.map(|shape| Case::new([input(shape)]))),
    ];
    let mut rows: Vec<Row> = rows.map(finish).into();
    rows.push(
        row("layer_norm axes", "norm", both)
            .case(several)
            .kernels(&[of_whole("norm_lanes", "norm_registers")])
            .hardware(&["norm_registers"]),
    );
    rows
}

/// So many rows that their sums come in chunks, and rows so long that one thread would loop too often on lavapipe.
fn long() -> Vec<Row> {
    let sums = row("layer_norm sums", "norm", both)
        .cases([
            with_both(input(&[1500, 3])),
            with_both(input(&[2000, 9])),
            with_both(input(&[700, 8])),
        ])
        .case(with_both(input(&[1500, 4]).lie(Lie::Transposed)))
        .kernels(&with_registers(&["norm_lanes"], "norm_registers"))
        .hardware(&["norm_lanes", "norm_registers"])
        .backward(&["norm_columns", "reduce_lanes"], &["norm_columns", "reduce_lanes"]);
    let long = row("layer_norm long", "norm", both)
        .case(with_both(input(&[2, 40_000])))
        .kernels(&["norm_groups"])
        .backward(&["norm_backward_groups"], &[]);
    // Far from 0: the digits that are left after 500 is taken off.
    let far = row("layer_norm far", "norm", |x| x[0].layer_norm(None, None, EPS))
        .cases(
            [&[3, 64][..], &[3, 65]]
                .map(|shape| Case::new([floats(shape, 499.0, 501.0)]).no_differences()),
        )
        .kernels(&with_registers(&["norm_lanes"], "norm_registers"));
    let half = row("layer_norm f16", "norm", both)
        .cases([with_both(input(&[5, 7])), with_both(input(&[3, 64]))])
        .half()
        .kernels(&with_registers(&["norm_lanes", "widen_f16", "narrow_f16"], "norm_registers"));
    let equal = row("layer_norm equal", "norm", both)
        .cases([3, 64].map(|n| Case::new([given(&[2, n], &[1e15]), gamma(n), beta(n)])))
        .kernels(&with_registers(&["norm_lanes"], "norm_registers"));
    vec![sums, long, far, half, equal]
}

pub fn rows() -> Vec<Row> {
    [any(), whole(), forms(), long()].into_iter().flatten().collect()
}
