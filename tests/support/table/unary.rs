//! Element-wise operations on one tensor.

use super::{BEYOND_ONE_GRID, in_every_lie};
use crate::support::{
    inputs::{Input, Kind, away, floats, whole},
    row::{Case, Row, row},
};
use wgrad_core::{Result, Tensor, ops::unary::Unary};

/// The public method of an operation.
pub fn apply(op: Unary, x: &Tensor) -> Result<Tensor> {
    match op {
        Unary::Neg => x.neg(),
        Unary::Exp => x.exp(),
        Unary::Log => x.log(),
        Unary::Sqrt => x.sqrt(),
        Unary::Abs => x.abs(),
        Unary::Square => x.square(),
        Unary::Reciprocal => x.reciprocal(),
        Unary::Relu => x.relu(),
        Unary::LeakyRelu(slope) => x.leaky_relu(slope),
        Unary::Sigmoid => x.sigmoid(),
        Unary::Tanh => x.tanh(),
        Unary::Gelu => x.gelu(),
        Unary::GeluTanh => x.gelu_tanh(),
        Unary::Silu => x.silu(),
        Unary::Softplus => x.softplus(),
    }
}

/// The line of the table of tolerances.
pub fn rule(op: Unary) -> &'static str {
    match op {
        Unary::Neg | Unary::Abs | Unary::Relu => "exact",
        Unary::Square | Unary::LeakyRelu(_) => "arithmetic",
        Unary::Sqrt | Unary::Reciprocal => "division",
        Unary::Exp => "exp",
        Unary::Log => "log",
        Unary::Tanh => "tanh",
        Unary::Sigmoid | Unary::Softplus => "sigmoid",
        Unary::Gelu | Unary::GeluTanh | Unary::Silu => "gelu",
    }
}

/// Numbers from where the operation is defined, away from kinks and poles.
fn input(op: Unary, shape: &[usize]) -> Input {
    match op {
        Unary::Log | Unary::Sqrt => floats(shape, 0.1, 4.0),
        Unary::Reciprocal => away(shape, 0.25, 4.0),
        Unary::Abs | Unary::Relu | Unary::LeakyRelu(_) => away(shape, 0.01, 4.0),
        _ => floats(shape, -4.0, 4.0),
    }
}

/// Shapes that hurt, and every way to lie.
fn cases(op: Unary) -> Vec<Case> {
    let shapes: [&[usize]; 9] =
        [&[], &[0], &[1], &[3, 0, 2], &[33], &[65], &[129], &[257], &[5, 7, 11, 13]];
    let mut inputs: Vec<Input> = shapes.map(|shape| input(op, shape)).into();
    inputs.extend(in_every_lie(input(op, &[4, 6, 8])));
    inputs.into_iter().map(|input| Case::new([input])).collect()
}

pub fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = Unary::ALL
        .into_iter()
        .map(|op| {
            let rule = rule(op);
            row(op.label(), rule, move |x| apply(op, &x[0]))
                .cases(cases(op))
                .kernels(&["map1"])
                .backward(if op == Unary::Neg { &["map1"] } else { &["map2"] }, &[])
        })
        .collect();
    rows.push(
        row("square beyond_one_grid", "arithmetic", |x| x[0].square())
            .case(Case::new([floats(&[BEYOND_ONE_GRID], -1.0, 1.0)]).forward_only())
            .kernels(&["map1"])
            .hardware(&["map1"]),
    );
    let integers: [(&str, Unary, Kind); 5] = [
        ("neg i32", Unary::Neg, Kind::I32),
        ("neg u32", Unary::Neg, Kind::U32),
        ("abs i32", Unary::Abs, Kind::I32),
        ("square i32", Unary::Square, Kind::I32),
        ("square u32", Unary::Square, Kind::U32),
    ];
    rows.extend(integers.map(|(name, op, kind)| {
        let low = if kind == Kind::U32 { 0 } else { -9 };
        row(name, "exact", move |x| apply(op, &x[0]))
            .cases([&[8, 4][..], &[7]].map(|shape| Case::new([whole(shape, low, 9).kind(kind)])))
            .kernels(&["map1"])
            .no_gradient("whole numbers")
    }));
    rows
}
