//! Reductions, positions of extremes, variance, mean squared error.

use super::{BEYOND_ONE_GRID, in_every_lie};
use crate::support::{
    inputs::{Input, Kind, Lie, floats, given, whole},
    row::{Case, Row, row},
};
use wgrad_core::{Result, Tensor};

const LANES: &[&str] = &["reduce_lanes"];
const GROUPS: &[&str] = &["reduce_lanes", "reduce_groups"];

type Reduction = fn(&Tensor, &[isize]) -> Result<Tensor>;

/// Over axes that are dropped, and over axes that stay.
const REDUCTIONS: [(&str, [Reduction; 2]); 4] = [
    ("sum", [|x, axes| x.sum(axes), |x, axes| x.sum_keep(axes)]),
    ("mean", [|x, axes| x.mean(axes), |x, axes| x.mean_keep(axes)]),
    ("max", [|x, axes| x.max(axes), |x, axes| x.max_keep(axes)]),
    ("min", [|x, axes| x.min(axes), |x, axes| x.min_keep(axes)]),
];

/// Elements reduced into one.
fn terms(shape: &[usize], axes: &[isize]) -> usize {
    let size = |&axis: &isize| shape[axis.rem_euclid(shape.len() as isize) as usize];
    axes.iter().map(size).product()
}

fn case(input: Input, axes: &[isize]) -> Case {
    let terms = terms(&input.shape, axes);
    Case::new([input]).terms(terms)
}

/// Over axes of a rank-3 tensor: short, long enough for a workgroup each, and long enough for two passes.
fn over(name: &str, reduction: [Reduction; 2], axes: &'static [isize], keep: bool) -> Row {
    let what = if axes.len() == 3 { "all".to_owned() } else { format!("{axes:?}") };
    let form = if keep { " keep" } else { "" };
    let extreme = matches!(name, "max" | "min");
    let of = |shape: &[usize]| case(floats(shape, -1.0, 1.0), axes);
    let reduce = reduction[usize::from(keep)];
    let rule = if extreme { "exact" } else { "sum" };
    // Among many elements some are nearly equal, and in a repeated one all are.
    let crowded = |case: Case| if extreme { case.no_differences() } else { case };
    let lying = in_every_lie(floats(&[4, 6, 8], -1.0, 1.0)).map(|input| {
        let repeated = matches!(input.lie, Lie::Spread | Lie::SpreadInner);
        let case = case(input, axes);
        if repeated { crowded(case) } else { case }
    });
    let mut row = row(format!("{name} {what}{form}"), rule, move |x| reduce(&x[0], axes))
        .cases([of(&[1, 1, 1]), of(&[5, 7, 11])])
        .cases([of(&[2, 33, 65]), of(&[300, 2, 300])].map(crowded))
        .cases(lying)
        // Enough to be read four at a time.
        .cases(in_every_lie(floats(&[16, 24, 64], -1.0, 1.0)).map(|x| case(x, axes).forward_only()))
        .kernels(LANES)
        .hardware(GROUPS);
    if !extreme {
        // Nothing to sum gives 0, and NaN as a mean; no gradient to compare with a difference.
        row = row.cases([of(&[4, 0, 3]).forward_only(), of(&[0, 3, 0]).forward_only()]);
    }
    row
}

fn floating() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, reduction) in REDUCTIONS {
        rows.push(over(name, reduction, &[-1], false));
        rows.push(over(name, reduction, &[0], true));
        rows.push(over(name, reduction, &[0, 2], true));
        rows.push(over(name, reduction, &[0, 1, 2], false));
    }
    rows.push(
        row("sum fours", "sum", |x| x[0].sum([1]))
            .cases([[16, 1024], [9, 2048]].map(|shape| case(floats(&shape, -1.0, 1.0), &[1])))
            .kernels(LANES)
            .hardware(&["reduce_groups"]),
    );
    rows.push(
        row("sum two_passes", "sum", |x| x[0].sum([0]))
            .cases([9_001, 70_003, 4_097].map(|n| case(floats(&[n], -1.0, 1.0), &[0])))
            .case(case(floats(&[9_001, 2], -1.0, 1.0), &[0]))
            .kernels(LANES)
            .hardware(GROUPS),
    );
    // Each of these once stopped silently on lavapipe, which ends a thread after 65535 rounds of loops.
    rows.push(
        row("sum long", "sum", |x| x[0].sum_all())
            .cases([
                case(given(&[5_000_000], &[0.5, -1.25, 3.0, 7.0, -2.5, 0.125, 4.0]), &[0]),
                case(floats(&[400_000, 5], -1.0, 1.0).lie(Lie::Stepped), &[0, 1]).forward_only(),
            ])
            .kernels(LANES)
            .hardware(GROUPS),
    );
    rows.push(
        row("sum beyond_one_grid", "sum", |x| x[0].sum([0]))
            .case(
                case(given(&[2, BEYOND_ONE_GRID], &[0.5, -1.25, 3.0, 7.0, -2.5]), &[0])
                    .forward_only(),
            )
            .kernels(LANES)
            .hardware(LANES),
    );
    rows.push(
        row("sum rank_0", "exact", |x| x[0].sum_all())
            .case(Case::new([floats(&[], -1.0, 1.0)]))
            .kernels(LANES),
    );
    rows
}

fn integers() -> impl Iterator<Item = Row> {
    let of = [("sum", 0), ("max", 2), ("min", 3)];
    let kinds = [(Kind::I32, "i32"), (Kind::U32, "u32")];
    of.into_iter().flat_map(move |(name, i)| {
        kinds.map(|(kind, ty)| {
            let reduce = REDUCTIONS[i].1[0];
            let low = if kind == Kind::U32 { 0 } else { -50 };
            row(format!("{name} {ty}"), "exact", move |x| reduce(&x[0], &[1]))
                .cases([&[5, 7][..], &[3, 300]].map(|s| Case::new([whole(s, low, 50).kind(kind)])))
                .kernels(LANES)
                .hardware(GROUPS)
                .no_gradient("whole numbers")
        })
    })
}

/// Positions, with ties: of equals the first.
fn positions() -> Vec<Row> {
    type Position = fn(&Tensor, isize) -> Result<Tensor>;
    let of: [(&str, Position); 2] =
        [("argmax", |x, axis| x.argmax(axis)), ("argmin", |x, axis| x.argmin(axis))];
    let mut rows = Vec::new();
    for (name, position) in of {
        for axis in [0, 1, -1] {
            let input = |shape: &[usize]| floats(shape, -1.0, 1.0).fixed();
            rows.push(
                row(format!("{name} {axis}"), "exact", move |x| position(&x[0], axis))
                    .cases(
                        [&[5, 7, 11][..], &[1, 1, 1], &[3, 65, 4]].map(|s| Case::new([input(s)])),
                    )
                    .case(Case::new([whole(&[6, 7, 9], -2, 3).kind(Kind::Float)]))
                    .cases(in_every_lie(input(&[4, 6, 8])).map(|input| Case::new([input])))
                    .kernels(&["arg_reduce"])
                    .no_gradient("constant almost everywhere"),
            );
        }
        rows.push(
            row(format!("{name} long"), "exact", move |x| position(&x[0], 0))
                .case(Case::new([floats(&[300_000], -1.0, 1.0).fixed()]))
                .case(Case::new([floats(&[70_000, 3], -1.0, 1.0).fixed().lie(Lie::Permuted)]))
                .kernels(&["arg_reduce"])
                .hardware(&["arg_reduce"])
                .no_gradient("constant almost everywhere"),
        );
        rows.push(
            row(format!("{name} i32"), "exact", move |x| position(&x[0], 1))
                .case(Case::new([whole(&[6, 9], -2, 3)]))
                .kernels(&["arg_reduce"])
                .no_gradient("constant almost everywhere"),
        );
    }
    rows
}

fn composed() -> Vec<Row> {
    let variance = row("var", "variance", |x| x[0].var([-1], 1))
        .cases([&[5, 7][..], &[3, 300], &[2, 3, 65]].map(|s| Case::new([floats(s, -1.0, 1.0)])))
        .cases(in_every_lie(floats(&[4, 8], -1.0, 1.0)).map(|input| Case::new([input])))
        .kernels(&["reduce_lanes", "map1", "map2"])
        .hardware(&["reduce_lanes", "reduce_groups", "map1", "map2"]);
    let mse = row("mse", "mse", |x| x[0].mse(&x[1]))
        .cases(
            [&[4, 3][..], &[300]].map(|s| Case::new([floats(s, -1.0, 1.0), floats(s, -1.0, 1.0)])),
        )
        .kernels(&["reduce_lanes", "map1", "map2"])
        .hardware(&["reduce_lanes", "reduce_groups", "map1", "map2"]);
    vec![variance, mse]
}

pub fn rows() -> Vec<Row> {
    floating().into_iter().chain(integers()).chain(positions()).chain(composed()).collect()
}
