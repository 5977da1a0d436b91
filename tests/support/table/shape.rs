//! Views, which run no kernel; copies, joins, padding, assignment and casts.

use super::{BEYOND_ONE_GRID, in_every_lie};
use crate::support::{
    inputs::{Input, Kind, Lie, floats, given, truth, whole},
    row::{Case, Row, row},
};
use wgrad_core::{DType, Result, Tensor};

fn input(shape: &[usize]) -> Input {
    floats(shape, -1.0, 1.0)
}

/// Views are free: nothing may run.
fn views() -> Vec<Row> {
    type View = fn(&Tensor) -> Result<Tensor>;
    let views: [(&str, View); 12] = [
        ("reshape", |x| x.reshape([6, 2, 16])),
        ("reshape_infer", |x| x.reshape_infer([8, -1])),
        ("permute", |x| x.permute([2, 0, 1])),
        ("transpose", |x| x.transpose(0, -1)),
        ("t", |x| x.t()),
        ("slice", |x| x.slice(1, 1..5)),
        ("slice_step", |x| x.slice_step(-1, 1..8, 3)),
        ("broadcast_to", |x| x.slice(1, 2..3)?.broadcast_to([3, 4, 5, 8])),
        ("unsqueeze", |x| x.unsqueeze(1)),
        ("split", |x| Ok(x.split(-1, 3)?.swap_remove(2))),
        ("unbind", |x| Ok(x.unbind(1)?.swap_remove(4))),
        ("squeeze", |x| x.slice(0, 1..2)?.squeeze(0)),
    ];
    let mut rows: Vec<Row> = views
        .map(|(name, view)| {
            row(name, "exact", move |x| view(&x[0])).case(Case::new([input(&[4, 6, 8])]))
        })
        .into();
    rows.push(
        row("reshape copies", "exact", |x| x[0].reshape([192]))
            .case(Case::new([input(&[4, 6, 8]).lie(Lie::Transposed)]))
            .case(Case::new([input(&[4, 6, 8]).lie(Lie::Offset)]))
            .kernels(&["map1"]),
    );
    rows
}

fn copies() -> Vec<Row> {
    vec![
        row("contiguous", "exact", |x| x[0].contiguous())
            .cases(
                // Whole rows lie one after the other already.
                in_every_lie(input(&[4, 6, 8]))
                    .filter(|x| x.lie != Lie::Rows)
                    .map(|x| Case::new([x])),
            )
            .cases(
                [Lie::Permuted, Lie::Stepped]
                    .map(|lie| Case::new([input(&[2, 3, 4, 5, 2, 3]).lie(lie)])),
            )
            .case(Case::new([whole(&[5, 7], -9, 9).lie(Lie::Transposed)]))
            .case(Case::new([input(&[150, 9]).lie(Lie::Transposed)]))
            .case(Case::new([truth(&[5, 7]).lie(Lie::Transposed)]))
            .kernels(&["map1"]),
        row("contiguous beyond_one_grid", "exact", |x| x[0].t()?.contiguous())
            .case(
                Case::new([given(
                    &[2, BEYOND_ONE_GRID / 2 + 1],
                    &[0.5, -1.25, 3.0, 7.0, -2.5, 4.0, 9.0],
                )])
                .forward_only(),
            )
            .kernels(&["map1"])
            .hardware(&["map1"]),
        row("concat 0", "exact", |x| Tensor::concat(&x.iter().collect::<Vec<_>>(), 0))
            .case(Case::new([input(&[3]), input(&[5]), input(&[0]), input(&[1])]))
            .case(Case::new([input(&[2, 8]).lie(Lie::Transposed), input(&[3, 8]).lie(Lie::Spread)]))
            .case(Case::new([whole(&[3], -9, 9), whole(&[5], -9, 9)]))
            .kernels(&["map1"]),
        row("concat -1", "exact", |x| Tensor::concat(&x.iter().collect::<Vec<_>>(), -1))
            .case(Case::new([input(&[3, 5]), input(&[3, 7]), input(&[3, 1])]))
            .case(Case::new([input(&[4, 8]).lie(Lie::Stepped), input(&[4, 4]).lie(Lie::Offset)]))
            .kernels(&["map1"]),
        row("pad", "exact", |x| x[0].pad(1, 2, 3))
            .cases(
                [&[4, 6, 8][..], &[3, 5], &[2, 0], &[0, 2]].map(|shape| Case::new([input(shape)])),
            )
            .cases(in_every_lie(input(&[4, 6, 8])).map(|x| Case::new([x])))
            .kernels(&["generate", "map1"]),
        row("assign", "exact", |x| {
            let y = Tensor::full_like(&x[0], 5.0)?;
            y.assign(&x[0])?;
            y.slice_step(0, 0..y.shape()[0], 2)?.assign(&x[1])?;
            Ok(y)
        })
        .case(Case::new([input(&[4, 8]).fixed(), input(&[2, 8]).fixed()]))
        .case(Case::new([
            input(&[5, 7]).fixed().lie(Lie::Transposed),
            input(&[3, 7]).fixed().lie(Lie::Offset),
        ]))
        .kernels(&["generate", "map1"])
        .no_gradient("changes memory in place"),
        // The source shows the memory that is written.
        row("assign overlapping", "exact", |x| {
            let y = Tensor::full_like(&x[0], 5.0)?;
            y.assign(&x[0])?;
            y.assign(&y.t()?)?;
            Ok(y)
        })
        .case(Case::new([input(&[5, 5]).fixed()]))
        .kernels(&["generate", "map1"])
        .no_gradient("changes memory in place"),
    ]
}

/// Every pair of types that GPUs hold.
fn casts() -> Vec<Row> {
    let from = [
        ("f32", Kind::Float, false),
        ("f16", Kind::Float, true),
        ("i32", Kind::I32, false),
        ("u32", Kind::U32, false),
        ("bool", Kind::Bool, false),
    ];
    let to = [DType::F32, DType::F16, DType::I32, DType::U32, DType::Bool];
    let mut rows = Vec::new();
    for (name, kind, half) in from {
        for to in to {
            if to.to_string() == name {
                continue;
            }
            let input = |shape: &[usize]| match kind {
                Kind::Float => floats(shape, -5.0, 5.0),
                Kind::I32 => whole(shape, -3000, 3000),
                Kind::U32 => whole(shape, 0, 3000).kind(Kind::U32),
                Kind::Bool => truth(shape),
            };
            let mut made = row(format!("cast {name} {to}"), "exact", move |x| x[0].cast(to))
                .cases([&[][..], &[33], &[0], &[4, 8]].map(|shape| Case::new([input(shape)])))
                .case(Case::new([input(&[4, 6]).lie(Lie::Transposed)]))
                .case(Case::new([input(&[4, 6]).lie(Lie::Stepped)]));
            let mut kernels = vec!["map1"];
            if half {
                made = made.half();
            }
            if to == DType::F16 {
                kernels.push("narrow_f16");
            }
            made = made.kernels(&kernels);
            made = if kind == Kind::Float && to.is_float() {
                made.no_differences("rounding is a staircase")
            } else {
                made.no_gradient("not between floating-point types")
            };
            rows.push(made);
        }
    }
    rows
}

/// Numbers half-way between two f16: rounded to the even one.
fn ties() -> Row {
    let values: Vec<f64> = (0..64).map(|k| 1.0 + (f64::from(k) + 0.5) / 1024.0).collect();
    row("cast f32 f16 ties", "exact", |x| x[0].cast(DType::F16))
        .case(Case::new([given(&[64], &values)]))
        .case(Case::new([given(&[63], &values[1..])]))
        .kernels(&["map1", "narrow_f16"])
        .no_gradient("rounding is a staircase")
}

pub fn rows() -> Vec<Row> {
    [views(), copies(), casts(), vec![ties()]].into_iter().flatten().collect()
}
