//! Matrix products and dense layers; every variant is forced on these rows.

use crate::support::{
    inputs::{Lie, floats},
    row::{Case, Row, row},
};
use wgrad_core::ops::linear::FusedActivation;

/// Around the sizes of tiles, and primes.
const SIZES: [usize; 11] = [1, 2, 3, 7, 8, 9, 31, 33, 64, 65, 129];

/// A product of two matrices that lie as asked.
fn product(m: usize, n: usize, k: usize, a: Lie, b: Lie) -> Case {
    let inputs = [floats(&[m, k], -1.0, 1.0).lie(a), floats(&[k, n], -1.0, 1.0).lie(b)];
    summed(Case::new(inputs), m, n, k)
}

fn summed(case: Case, m: usize, n: usize, k: usize) -> Case {
    let mut case = case.terms(k);
    case.gradient_terms = m.max(n).max(k);
    case
}

/// Each size once in each place, the others mixed, in all four combinations of transposed operands.
fn mixed() -> impl Iterator<Item = Case> {
    const TURNS: [Lie; 2] = [Lie::Plain, Lie::Transposed];
    (0..SIZES.len()).map(|i| {
        let (m, n, k) = (SIZES[i], SIZES[(i * 3 + 1) % 11], SIZES[(i * 5 + 2) % 11]);
        product(m, n, k, TURNS[i % 2], TURNS[i / 2 % 2])
    })
}

fn products() -> Vec<Row> {
    let vector = |a: &[usize], b: &[usize], m, n, k| {
        summed(Case::new([floats(a, -1.0, 1.0), floats(b, -1.0, 1.0)]), m, n, k)
    };
    // What real GPUs choose: forward all of these and nothing else, backward these and perhaps others.
    const TILES: &str = "matmul_registers";
    const THIN: &str = "matmul_thin";
    const SUM: &str = "matmul_sum";
    let rows: [(Row, &[&str], &[&str]); 7] = [
        (
            row("matmul sizes", "matmul", |x| x[0].matmul(&x[1])).cases(mixed()).cases([
                product(3, 4, 0, Lie::Plain, Lie::Plain),
                product(0, 4, 3, Lie::Plain, Lie::Plain),
            ]),
            &[TILES, THIN],
            &[TILES, THIN],
        ),
        (
            row("matmul views", "matmul", |x| x[0].matmul(&x[1])).cases([
                product(32, 36, 20, Lie::Plain, Lie::Plain),
                product(32, 36, 20, Lie::Plain, Lie::Transposed),
                product(32, 36, 20, Lie::Transposed, Lie::Plain),
                product(32, 36, 20, Lie::Transposed, Lie::Transposed),
                product(32, 36, 20, Lie::Offset, Lie::Rows),
                product(32, 36, 20, Lie::Stepped, Lie::Offset),
                product(32, 36, 20, Lie::Spread, Lie::SpreadInner),
                product(32, 36, 20, Lie::Rows, Lie::Spread),
            ]),
            &[TILES],
            &[TILES],
        ),
        (
            // All sizes are multiples of the tiles': nothing is masked.
            row("matmul whole", "matmul", |x| x[0].matmul(&x[1])).cases([
                product(128, 128, 64, Lie::Plain, Lie::Plain),
                product(128, 128, 32, Lie::Plain, Lie::Transposed),
                product(128, 256, 32, Lie::Transposed, Lie::Plain),
                product(256, 128, 96, Lie::Transposed, Lie::Transposed),
            ]),
            &[TILES],
            &[TILES],
        ),
        (
            // More than 8 rows of blocks, whose order changes there.
            row("matmul bands", "matmul", |x| x[0].matmul(&x[1])).cases([
                product(1153, 140, 6, Lie::Plain, Lie::Plain).forward_only(),
                product(1152, 256, 16, Lie::Plain, Lie::Transposed).forward_only(),
            ]),
            &[TILES],
            &[],
        ),
        (
            // Few results and a long sum, which real GPUs take in parts.
            row("matmul deep", "matmul", |x| x[0].matmul(&x[1])).cases([
                product(20, 36, 1030, Lie::Plain, Lie::Plain),
                product(36, 33, 612, Lie::Transposed, Lie::Transposed),
                product(1, 64, 1032, Lie::Plain, Lie::Transposed),
                product(3, 65, 612, Lie::Plain, Lie::Plain),
                product(70, 5, 516, Lie::Plain, Lie::Transposed),
                product(70, 8, 257, Lie::Transposed, Lie::Plain),
                product(6, 9, 1024, Lie::Stepped, Lie::Plain),
            ]),
            &[TILES, THIN, SUM],
            &[TILES, THIN],
        ),
        (
            row("matmul batch", "matmul", |x| x[0].matmul(&x[1])).cases([
                vector(&[2, 3, 4, 5], &[2, 3, 5, 6], 4, 6, 5),
                vector(&[4, 5], &[3, 5, 6], 12, 6, 5),
                vector(&[2, 1, 3, 4], &[5, 4, 2], 15, 4, 4),
                vector(&[3, 9, 8], &[8, 33], 27, 33, 8),
                vector(&[2, 1, 2, 1, 3, 4], &[1, 2, 1, 2, 4, 5], 6, 5, 4),
                vector(&[2, 64, 32], &[32, 64], 128, 64, 64),
            ]),
            &[TILES, THIN],
            &[TILES, THIN],
        ),
        (
            row("matmul vector", "matmul", |x| x[0].matmul(&x[1])).cases([
                vector(&[7], &[7, 5], 1, 5, 7),
                vector(&[5, 7], &[7], 5, 1, 7),
                vector(&[65], &[65], 1, 1, 65),
                vector(&[3, 4, 5], &[5], 12, 1, 5),
                vector(&[9, 256], &[256], 9, 1, 256),
                vector(&[1030], &[1030], 1, 1, 1030),
            ]),
            &[THIN, SUM],
            &[THIN],
        ),
    ];
    rows.map(|(row, forward, backward)| {
        let must: &[&str] = if backward.is_empty() { &[] } else { &["matmul"] };
        row.kernels(&["matmul"]).hardware(forward).backward(must, backward).each_matmul()
    })
    .into()
}

fn layer(bias: bool, activation: Option<FusedActivation>) -> Row {
    let name = format!(
        "linear {}{}",
        if bias { "bias" } else { "plain" },
        activation.map_or(String::new(), |act| format!(" {}", act.unary().label()))
    );
    let case = |m: usize, n: usize, k: usize, w: Lie| {
        let mut inputs = vec![floats(&[m, k], -1.0, 1.0), floats(&[n, k], -1.0, 1.0).lie(w)];
        inputs.extend(bias.then(|| floats(&[n], -1.0, 1.0)));
        summed(Case::new(inputs), m, n, k)
    };
    let kernels: &[&str] = if bias || activation.is_some() { &["linear"] } else { &["matmul"] };
    row(name, "linear", move |x| x[0].linear(&x[1], x.get(2), activation))
        .scale(|x| x[0].linear(&x[1], x.get(2), None))
        .cases([
            case(1, 1, 1, Lie::Plain),
            case(7, 10, 33, Lie::Plain),
            case(65, 36, 20, Lie::Plain),
            case(9, 129, 8, Lie::Transposed),
            case(3, 4, 0, Lie::Plain),
            case(64, 128, 32, Lie::Plain),
            case(20, 36, 612, Lie::Plain),
        ])
        .kernels(kernels)
        .hardware(&["matmul_registers", "matmul_thin", "matmul_sum"])
        .backward(&["matmul"], &["matmul_registers", "matmul_thin"])
        .kink(activation == Some(FusedActivation::Relu))
        .each_matmul()
}

pub fn rows() -> Vec<Row> {
    let mut rows = products();
    for bias in [false, true] {
        rows.push(layer(bias, None));
    }
    for activation in [FusedActivation::Relu, FusedActivation::Sigmoid, FusedActivation::Tanh] {
        rows.push(layer(true, Some(activation)));
    }
    rows.push(layer(false, Some(FusedActivation::Relu)));
    let lead = row("linear lead", "linear", |x| x[0].linear(&x[1], None, None))
        .case(Case::new([floats(&[2, 3, 5], -1.0, 1.0), floats(&[4, 5], -1.0, 1.0)]).terms(5))
        .case(Case::new([floats(&[5], -1.0, 1.0), floats(&[4, 5], -1.0, 1.0)]).terms(5))
        .kernels(&["matmul"]);
    rows.push(lead);
    rows
}
