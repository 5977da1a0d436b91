//! Softmax, its logarithm, cross-entropy.

use super::in_every_lie;
use crate::support::{
    devices,
    inputs::{Draw, Input, Kind, Lie, floats, whole},
    row::{Case, Row, row},
};

fn softmax(log: bool, axis: isize) -> Row {
    let name = if log { "log_softmax" } else { "softmax" };
    let input = |shape: &[usize]| floats(shape, -4.0, 4.0);
    row(format!("{name} {axis}"), name, move |x| {
        if log { x[0].log_softmax(axis) } else { x[0].softmax(axis) }
    })
    .cases(
        [&[1, 1, 1][..], &[5, 7, 11], &[3, 65, 70], &[300, 2, 3], &[2, 3, 300], &[0, 2, 3]]
            .map(|shape| Case::new([input(shape)])),
    )
    .cases(in_every_lie(input(&[4, 6, 8])).map(|input| Case::new([input])))
    // Other axes that do not step as one: these are copied first.
    .case(Case::new([input(&[2, 3, 4, 70]).lie(Lie::Permuted)]))
    .kernels(&with_registers(&["softmax_lanes", "map1"], axis == -1, "softmax_registers"))
    .hardware(match axis {
        -1 => &["softmax_lanes", "softmax_groups", "softmax_registers", "map1"],
        _ => &["softmax_lanes", "softmax_groups", "map1"],
    })
    .backward(
        &with_registers(&["softmax_backward_lanes"], axis == -1, "softmax_backward_registers"),
        match axis {
            -1 => {
                &["softmax_backward_lanes", "softmax_backward_groups", "softmax_backward_registers"]
            }
            _ => &["softmax_backward_lanes", "softmax_backward_groups"],
        },
    )
}

/// Software adapters keep rows in registers only where eight lanes can exchange values.
fn with_registers(
    others: &[&'static str],
    rows_fit: bool,
    registers: &'static str,
) -> Vec<&'static str> {
    let mut kernels = others.to_vec();
    if rows_fit && devices::has_eight_lanes() {
        kernels.push(registers);
    }
    kernels
}

/// Rows that lie in whole vec4: kept in registers, where threads can meet.
fn whole_rows(log: bool) -> Row {
    let name = if log { "log_softmax whole" } else { "softmax whole" };
    let rule = if log { "log_softmax" } else { "softmax" };
    let input = |shape: &[usize]| floats(shape, -4.0, 4.0);
    row(name, rule, move |x| if log { x[0].log_softmax(-1) } else { x[0].softmax(-1) })
        .cases(
            [
                &[1, 4][..],
                &[5, 8],
                &[3, 60],
                &[70, 32],
                &[3, 36],
                &[2, 3, 132],
                &[7, 1024],
                &[2, 1028],
            ]
            .map(|shape| Case::new([input(shape)])),
        )
        .case(Case::new([input(&[2, 4100])]).forward_only())
        .case(Case::new([input(&[9, 16]).lie(Lie::Rows)]))
        .kernels(&with_registers(&["softmax_lanes"], true, "softmax_registers"))
        .hardware(&["softmax_registers"])
        .backward(
            &with_registers(&["softmax_backward_lanes"], true, "softmax_backward_registers"),
            &["softmax_backward_registers"],
        )
}

fn labels(shape: &[usize], classes: i64) -> Input {
    whole(shape, 0, classes)
}

fn cross_entropy(smoothing: f32) -> Row {
    let name = if smoothing == 0.0 { "cross_entropy" } else { "cross_entropy smoothed" };
    let case = |rows: usize, classes: usize| {
        Case::new([floats(&[rows, classes], -4.0, 4.0), labels(&[rows], classes as i64)])
    };
    row(name, "cross_entropy", move |x| x[0].cross_entropy_smoothed(&x[1], smoothing))
        .cases([case(1, 1), case(7, 10), case(33, 65), case(300, 3), case(2, 300)])
        .cases([case(7, 10).forward_only(), case(3, 257).forward_only(), case(0, 5).forward_only()])
        .case(Case::new([
            floats(&[6, 9], -4.0, 4.0).lie(Lie::Transposed),
            labels(&[6], 9).lie(Lie::Stepped),
        ]))
        .case(Case::new([floats(&[2, 3, 5], -4.0, 4.0), labels(&[2, 3], 5).kind(Kind::U32)]))
        .case(Case::new([
            floats(&[4, 70], -4.0, 4.0).lie(Lie::Offset),
            Input { draw: Draw::Given(vec![69.0, 0.0, 3.0, 69.0]), ..labels(&[4], 70) },
        ]))
        .kernels(&["cross_entropy_lanes", "reduce_lanes"])
        .hardware(&["cross_entropy_lanes", "cross_entropy_groups", "reduce_lanes", "reduce_groups"])
}

/// Rows and columns so many that one thread would loop too often on lavapipe.
fn long() -> Vec<Row> {
    let logits = |rows, classes| floats(&[rows, classes], -4.0, 4.0);
    let softmax = row("softmax long", "softmax", |x| x[0].softmax(-1))
        .case(Case::new([logits(2, 40_000)]))
        .kernels(&["softmax_groups"])
        .backward(&["softmax_backward_groups"], &[]);
    let cross_entropy = row("cross_entropy long", "cross_entropy", |x| x[0].cross_entropy(&x[1]))
        .case(Case::new([logits(2, 40_000), labels(&[2], 40_000)]))
        .case(Case::new([logits(80_000, 3), labels(&[80_000], 3)]).no_differences())
        .kernels(&["cross_entropy_groups", "cross_entropy_lanes", "reduce_lanes"]);
    vec![softmax, cross_entropy]
}

pub fn rows() -> Vec<Row> {
    let mut rows = long();
    for log in [false, true] {
        rows.extend([0, 1, -1].map(|axis| softmax(log, axis)));
        rows.push(whole_rows(log));
    }
    rows.extend([0.0, 0.125].map(cross_entropy));
    rows
}
