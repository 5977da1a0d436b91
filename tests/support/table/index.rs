//! Rows by index: gather, scatter, one-hot.

use super::in_every_lie;
use crate::support::{
    inputs::{Input, Kind, Lie, floats, whole},
    row::{Case, Row, row},
};

fn table(shape: &[usize]) -> Input {
    floats(shape, -1.0, 1.0)
}

fn gather() -> Row {
    row("gather", "exact", |x| x[0].gather(&x[1]))
        .cases([
            Case::new([table(&[10, 6]), whole(&[7], 0, 10)]),
            Case::new([table(&[10]), whole(&[2, 3], 0, 10)]),
            Case::new([table(&[3, 2, 5]), whole(&[2, 9], 0, 3).kind(Kind::U32)]),
            Case::new([table(&[3, 4]), whole(&[], 0, 3)]),
            Case::new([table(&[3, 4]), whole(&[0], 0, 3)]),
            Case::new([table(&[9, 65]), whole(&[129], 0, 9)]),
            Case::new([table(&[5, 4]), whole(&[4, 6], 0, 5).lie(Lie::Transposed)]),
            Case::new([table(&[5, 4]), whole(&[8], 0, 5).lie(Lie::Stepped)]),
        ])
        .cases(in_every_lie(table(&[4, 6, 8])).map(|t| Case::new([t, whole(&[5], 0, 4)])))
        .kernels(&["gather_rows"])
        .backward(&["scatter_rows"], &[])
}

fn scatter() -> Row {
    let sum = |x: Input, index: Input| {
        let terms = index.numel();
        Case::new([x, index]).terms(terms)
    };
    row("scatter_rows", "sum", |x| x[0].scatter_rows(&x[1], 6))
        .cases([
            sum(table(&[7, 5]), whole(&[7], 0, 6)),
            sum(table(&[2, 3, 5]), whole(&[2, 3], 0, 6)),
            sum(table(&[4]), whole(&[4], 0, 6).kind(Kind::U32)),
            sum(table(&[0, 5]), whole(&[0], 0, 6)),
            sum(table(&[300, 33]), whole(&[300], 0, 6)),
            sum(table(&[3]), whole(&[], 0, 6)),
            sum(table(&[4, 6, 8]).lie(Lie::Permuted), whole(&[4, 6], 0, 6).lie(Lie::Transposed)),
        ])
        .cases(in_every_lie(table(&[4, 6, 8])).map(|x| sum(x, whole(&[4], 0, 6))))
        .kernels(&["scatter_rows"])
        .backward(&["gather_rows"], &[])
}

fn integers() -> Vec<Row> {
    let gather = row("gather i32", "exact", |x| x[0].gather(&x[1]))
        .case(Case::new([whole(&[5, 4], -9, 9), whole(&[7], 0, 5)]))
        .kernels(&["gather_rows"])
        .no_gradient("whole numbers");
    let scatter = row("scatter_rows i32", "exact", |x| x[0].scatter_rows(&x[1], 5))
        .case(Case::new([whole(&[7, 4], -9, 9), whole(&[7], 0, 5)]))
        .kernels(&["scatter_rows"])
        .no_gradient("whole numbers");
    let one_hot = row("one_hot", "exact", |x| x[0].one_hot(5))
        .cases([&[][..], &[1], &[33], &[2, 3], &[0]].map(|shape| Case::new([whole(shape, 0, 5)])))
        .case(Case::new([whole(&[9], 0, 5).kind(Kind::U32)]))
        .cases(in_every_lie(whole(&[4, 6], 0, 5)).map(|index| Case::new([index])))
        .kernels(&["one_hot"])
        .no_gradient("made from indices");
    vec![gather, scatter, one_hot]
}

/// So many indices that one thread would loop too often on lavapipe, and a table with as many rows.
fn long() -> Row {
    row("scatter_rows long", "sum", |x| x[0].scatter_rows(&x[1], 70_000))
        .case(Case::new([table(&[70_000]), whole(&[70_000], 0, 70_000)]).terms(10).forward_only())
        .case(Case::new([table(&[70_000]), whole(&[70_000], 0, 2)]).terms(70_000).forward_only())
        .kernels(&["scatter_rows"])
}

pub fn rows() -> Vec<Row> {
    let mut rows = vec![gather(), scatter(), long()];
    rows.extend(integers());
    rows
}
