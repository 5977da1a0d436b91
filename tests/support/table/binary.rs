//! Element-wise operations on two tensors, on a tensor and a number, comparisons and choices.

use crate::support::{
    inputs::{Input, Kind, Lie, away, floats, truth, whole},
    row::{Case, Row, row},
};
use wgrad_core::{Operand, Result, Tensor, ops::binary::Binary, ops::compare::Compare};

fn apply<'a>(op: Binary, a: &Tensor, b: impl Into<Operand<'a>>) -> Result<Tensor> {
    match op {
        Binary::Add => a.try_add(b),
        Binary::Sub => a.try_sub(b),
        Binary::Mul => a.try_mul(b),
        Binary::Div => a.try_div(b),
        Binary::Max => a.maximum(b),
        Binary::Min => a.minimum(b),
        Binary::Pow => a.try_pow(b),
    }
}

fn compare<'a>(op: Compare, a: &Tensor, b: impl Into<Operand<'a>>) -> Result<Tensor> {
    match op {
        Compare::Eq => a.try_eq(b),
        Compare::Ne => a.try_ne(b),
        Compare::Lt => a.try_lt(b),
        Compare::Le => a.try_le(b),
        Compare::Gt => a.try_gt(b),
        Compare::Ge => a.try_ge(b),
    }
}

fn rule(op: Binary) -> &'static str {
    match op {
        Binary::Add | Binary::Sub | Binary::Mul => "arithmetic",
        Binary::Div => "division",
        Binary::Max | Binary::Min => "exact",
        Binary::Pow => "pow",
    }
}

/// Operands from where the operation is defined and smooth.
fn operands(op: Binary, a: &[usize], b: &[usize]) -> [Input; 2] {
    match op {
        Binary::Pow => [floats(a, 0.2, 3.0), floats(b, -2.0, 2.0)],
        _ => [floats(a, -4.0, 4.0), away(b, 0.25, 4.0)],
    }
}

/// Shapes that broadcast, in every direction.
const PAIRS: [[&[usize]; 2]; 14] = [
    [&[], &[]],
    [&[33], &[]],
    [&[], &[65]],
    [&[0], &[1]],
    [&[2, 0, 3], &[2, 1, 3]],
    [&[7, 5], &[5]],
    [&[5], &[7, 5]],
    [&[4, 8], &[4, 1]],
    [&[4, 1, 8], &[3, 1]],
    [&[129], &[129]],
    [&[2, 3, 1, 2, 3, 4], &[2, 1, 5, 1, 3, 1]],
    [&[6, 64], &[1, 64]],
    // Threads go through several rows.
    [&[150, 9], &[9]],
    [&[40, 132], &[40, 1]],
];

/// How two operands of shape [4, 8] lie.
const LYING: [[Lie; 2]; 6] = [
    [Lie::Transposed, Lie::Plain],
    [Lie::Plain, Lie::Offset],
    [Lie::Stepped, Lie::Transposed],
    [Lie::Spread, Lie::SpreadInner],
    [Lie::Rows, Lie::Rows],
    [Lie::SpreadInner, Lie::Stepped],
];

fn cases(operands: impl Fn(&[usize], &[usize]) -> [Input; 2]) -> Vec<Case> {
    let broadcast = PAIRS.map(|[a, b]| Case::new(operands(a, b)));
    let lying = LYING.map(|[lie_a, lie_b]| {
        let [a, b] = operands(&[4, 8], &[4, 8]);
        Case::new([a.lie(lie_a), b.lie(lie_b)])
    });
    broadcast.into_iter().chain(lying).collect()
}

/// Whole numbers from so few that equal ones meet.
fn few(shape: &[usize], kind: Kind) -> Input {
    let low = if kind == Kind::U32 { 0 } else { -2 };
    whole(shape, low, 3).kind(kind)
}

fn numbers() -> Vec<Row> {
    let mut rows = Vec::new();
    for op in Binary::ALL {
        // 1.5 goes through exp2 and log2; the whole powers by multiplication, below.
        rows.push(
            row(format!("{} number", op.label()), rule(op), move |x| apply(op, &x[0], 1.5))
                .cases(
                    [&[33][..], &[4, 8], &[]].map(|s| Case::new([operands(op, s, s)[0].clone()])),
                )
                .case(Case::new([operands(op, &[4, 8], &[])[0].clone().lie(Lie::Transposed)]))
                .kernels(&["map1"]),
        );
    }
    type Left = fn(f32, &Tensor) -> Tensor;
    let left: [(&str, Binary, Left); 4] = [
        ("number add", Binary::Add, |c, x| c + x),
        ("number sub", Binary::Sub, |c, x| c - x),
        ("number mul", Binary::Mul, |c, x| c * x),
        ("number div", Binary::Div, |c, x| c / x),
    ];
    for (name, op, apply) in left {
        rows.push(
            row(name, rule(op), move |x| Ok(apply(1.5, &x[0])))
                .cases([&[33][..], &[4, 8]].map(|shape| Case::new([away(shape, 0.25, 4.0)])))
                .kernels(&["map1"]),
        );
    }
    for power in [0.0, 1.0, 2.0, 3.0, -2.0, 8.0] {
        rows.push(
            row(format!("pow {power}"), "pow_whole", move |x| x[0].try_pow(power))
                .cases([&[33][..], &[4, 8]].map(|shape| Case::new([away(shape, 0.5, 2.0)])))
                .kernels(&["map1"]),
        );
    }
    rows
}

fn integers() -> Vec<Row> {
    let mut rows = Vec::new();
    let without_pow = || Binary::ALL.into_iter().filter(|op| *op != Binary::Pow);
    for (kind, name) in [(Kind::I32, "i32"), (Kind::U32, "u32")] {
        for op in without_pow() {
            rows.push(
                row(format!("{} {name}", op.label()), "exact", move |x| apply(op, &x[0], &x[1]))
                    .cases(cases(move |a, b| [few(a, kind), few(b, kind)]))
                    .kernels(&["map2"])
                    .no_gradient("whole numbers"),
            );
            for number in [2.0, 0.0, -1.0] {
                if kind == Kind::U32 && number < 0.0 {
                    continue;
                }
                rows.push(
                    row(format!("{} {name} {number}", op.label()), "exact", move |x| {
                        apply(op, &x[0], number)
                    })
                    .case(Case::new([few(&[33], kind)]))
                    .kernels(&["map1"])
                    .no_gradient("whole numbers"),
                );
            }
        }
        rows.push(
            row(format!("number div {name}"), "exact", |x| Ok(7.0 / &x[0]))
                .cases([&[33][..], &[8]].map(|shape| Case::new([few(shape, kind)])))
                .kernels(&["map1"])
                .no_gradient("whole numbers"),
        );
    }
    rows
}

fn comparisons() -> Vec<Row> {
    const REASON: &str = "constant almost everywhere";
    let mut rows = Vec::new();
    for (kind, name) in [(Kind::Float, "f32"), (Kind::I32, "i32"), (Kind::U32, "u32")] {
        for op in Compare::ALL {
            rows.push(
                row(format!("{} {name}", op.label()), "exact", move |x| compare(op, &x[0], &x[1]))
                    .cases(cases(move |a, b| [few(a, kind).fixed(), few(b, kind).fixed()]))
                    .kernels(&["map2"])
                    .no_gradient(REASON),
            );
            rows.push(
                row(format!("{} {name} number", op.label()), "exact", move |x| {
                    compare(op, &x[0], 1.0)
                })
                .cases([&[33][..], &[4, 8]].map(|shape| Case::new([few(shape, kind).fixed()])))
                .kernels(&["map1"])
                .no_gradient(REASON),
            );
        }
    }
    rows.push(
        row("eq bool", "exact", |x| x[0].try_eq(&x[1]))
            .case(Case::new([truth(&[4, 8]), truth(&[8])]))
            .kernels(&["map2"])
            .no_gradient(REASON),
    );
    rows
}

fn choices() -> Vec<Row> {
    let three = |c: &[usize], a: &[usize], b: &[usize]| {
        Case::new([truth(c), floats(a, -1.0, 1.0), floats(b, -1.0, 1.0)])
    };
    let choice = row("where", "exact", |x| x[0].select(&x[1], &x[2]))
        .cases([
            three(&[], &[], &[]),
            three(&[33], &[33], &[33]),
            three(&[4, 8], &[4, 8], &[4, 8]),
            three(&[4, 1], &[8], &[3, 1, 8]),
            three(&[0], &[0], &[1]),
            three(&[150, 1], &[9], &[150, 9]),
            Case::new([
                truth(&[4, 8]).lie(Lie::Transposed),
                floats(&[4, 8], -1.0, 1.0).lie(Lie::Spread),
                floats(&[4, 8], -1.0, 1.0).lie(Lie::Offset),
            ]),
        ])
        .kernels(&["map3"])
        .backward(&["map2"], &[]);
    let mask = row("mask", "exact", |x| x[1].mask(&x[0]))
        .cases([
            Case::new([truth(&[33]), floats(&[33], -1.0, 1.0)]),
            Case::new([truth(&[4, 8]).lie(Lie::Stepped), floats(&[8], -1.0, 1.0)]),
            Case::new([truth(&[4, 1]), floats(&[4, 8], -1.0, 1.0).lie(Lie::Transposed)]),
        ])
        .kernels(&["map2"])
        .backward(&["map2"], &[]);
    vec![choice, mask]
}

pub fn rows() -> Vec<Row> {
    let tensors = Binary::ALL.map(|op| {
        row(op.label(), rule(op), move |x| apply(op, &x[0], &x[1]))
            .cases(cases(move |a, b| operands(op, a, b)))
            .kernels(&["map2"])
    });
    [tensors.into(), numbers(), integers(), comparisons(), choices()]
        .into_iter()
        .flatten()
        .collect()
}
