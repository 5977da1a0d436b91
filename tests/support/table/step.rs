//! Recorded steps whose element-wise operations become one kernel.

use super::in_every_lie;
use crate::support::{
    inputs::{Input, Lie, floats},
    row::{Case, Row, row},
};
use wgrad_core::{Result, Step, Tensor, autocast, ops::linear::FusedActivation};

fn recorded(x: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<Tensor> {
    let step = Step::new(x[0].device(), |x| Ok(vec![f(x)?]));
    let inputs: Vec<&Tensor> = x.iter().collect();
    let results = step.run(&inputs)?;
    // Once more, as a replay: the same again.
    let again = step.run(&inputs)?;
    again[0].try_add(&results[0])?.try_mul(0.5)
}

/// The gradients of a layer below another one, recorded: its derivative follows the product that it comes from,
/// and the bias's gradient is computed beside the weights'. The layer as one operation, or written by hand.
fn layer(name: &'static str, by_hand: bool, which: usize) -> Row {
    let number = |shape: &[usize]| floats(shape, -1.0, 1.0).fixed();
    let case = |m: usize, k: usize, hidden: usize, out: usize| {
        Case::new([
            number(&[m, k]),
            number(&[hidden, k]),
            number(&[hidden]),
            number(&[out, hidden]),
            number(&[m, out]),
        ])
    };
    row(name, "chain", move |x| {
        recorded(x, |x| {
            let (w, b) = (x[1].requiring_grad(), x[2].requiring_grad());
            let hidden = match by_hand {
                false => x[0].linear(&w, Some(&b), Some(FusedActivation::Relu))?,
                true => x[0].matmul(&w.t()?)?.try_add(&b)?.relu()?,
            };
            let y = hidden.linear(&x[3].requiring_grad(), None, None)?;
            let gradients = y.backward_with(&x[4])?;
            Ok(gradients.wrt([&w, &b][which])?.clone())
        })
    })
    .cases([case(20, 12, 12, 12), case(21, 11, 9, 10), case(12, 16, 36, 12)])
    .no_gradient("results of a recorded step lie outside any graph")
    // Nobody asks for the hand-written weights' gradient there, so it stays transposed, without the sums.
    .kernels(match (by_hand, which) {
        (true, 1) => &["matmul_lanes", "reduce_lanes", "map1", "map2"],
        _ => &["matmul_lanes", "map1", "map2"],
    })
    .hardware(&["matmul_registers", "reduce_lanes", "map1", "map2"])
}

const REASON: &str = "results of a recorded step lie outside any graph";

/// A recorded product with what follows it, in one kernel in every variant; `c` gives the shape of the third operand.
fn joined(
    name: &'static str,
    c: fn(usize, usize) -> Vec<usize>,
    body: fn(&[Tensor]) -> Result<Tensor>,
    plain: fn(&[Tensor]) -> Result<Tensor>,
) -> Row {
    let number = |shape: &[usize]| floats(shape, -1.0, 1.0).fixed();
    let with = |m: usize, n: usize, k: usize, [a, b, z]: [Lie; 3]| {
        let third = number(&c(m, n)).lie(z);
        Case::new([number(&[m, k]).lie(a), number(&[k, n]).lie(b), third]).terms(k)
    };
    let case = |m: usize, n: usize, k: usize| with(m, n, k, [Lie::Plain; 3]);
    let vector = c(2, 2).len() == 1;
    let turned = if vector { Lie::Stepped } else { Lie::Rows };
    row(name, "linear", move |x| recorded(x, body))
        .scale(plain)
        .cases([
            case(1, 1, 1),
            case(7, 10, 33),
            case(33, 65, 9),
            case(64, 128, 32),
            case(3, 4, 0),
            case(0, 4, 3),
            case(20, 36, 612),
            case(70, 5, 516),
            with(12, 36, 20, [Lie::Transposed, Lie::Plain, Lie::Offset]),
            with(13, 8, 16, [Lie::Plain, Lie::Transposed, turned]),
            with(12, 12, 12, [Lie::Spread, Lie::Stepped, Lie::Plain]),
        ])
        .no_gradient(REASON)
        .kernels(&["linear", "map1", "map2"])
        .hardware(&["matmul_registers", "matmul_thin", "matmul_sum", "map1", "map2"])
}

/// Products and what follows them.
fn products() -> Vec<Row> {
    let vector = |_: usize, n: usize| vec![n];
    let number = |shape: &[usize]| floats(shape, -1.0, 1.0).fixed();
    let batch = |a: &[usize], b: &[usize], c: &[usize], k: usize| {
        Case::new([number(a), number(b), number(c)]).terms(k)
    };
    let add: fn(&[Tensor]) -> Result<Tensor> = |x| x[0].matmul(&x[1])?.try_add(&x[2]);
    let half = |x: &[Tensor]| x[0].matmul(&x[1])?.try_add(&x[2])?.relu();
    let batches = |name, body: fn(&[Tensor]) -> Result<Tensor>| {
        row(name, "linear", move |x| recorded(x, body))
            .scale(body)
            .no_gradient(REASON)
            .kernels(&["linear", "map1", "map2"])
            .hardware(&["matmul_registers", "map1", "map2"])
    };
    vec![
        joined("joined layer", vector, |x| x[0].matmul(&x[1])?.try_add(&x[2])?.relu(), add),
        joined("joined factor", vector, |x| x[2].try_add(&x[0].matmul(&x[1])?.try_div(3.0)?), add)
            .each_matmul(),
        joined(
            "joined leaky",
            vector,
            |x| x[0].matmul(&x[1])?.neg()?.try_add(&x[2])?.leaky_relu(0.2),
            add,
        ),
        batches("joined batch", |x| x[0].matmul(&x[1])?.try_mul(0.25)?.try_add(&x[2]))
            .cases([
                batch(&[2, 3, 9, 5], &[2, 3, 5, 9], &[2, 3, 9, 9], 5),
                batch(&[4, 9, 5], &[5, 12], &[12], 5),
                batch(&[2, 1, 12, 8], &[3, 8, 12], &[2, 3, 12, 12], 8),
                batch(&[2, 1, 12, 8], &[3, 8, 12], &[1, 1, 12], 8),
            ])
            .each_matmul(),
        // The layer works on rows, the residual has the shape from before.
        batches("joined residual", |x| x[2].try_add(&x[0].linear(&x[1], None, None)?)).cases([
            batch(&[2, 9, 12], &[12, 12], &[2, 9, 12], 12),
            batch(&[3, 4, 10], &[9, 10], &[3, 4, 9], 10),
            batch(&[33, 17], &[65, 17], &[33, 65], 17),
        ]),
        batches("joined residual relu", |x| {
            x[0].linear(&x[1], Some(&x[2].slice(0, 0..1)?.reshape([x[1].shape()[0]])?), None)?
                .try_add(&x[2])?
                .relu()
        })
        .scale(|x| x[0].linear(&x[1], None, None)?.try_add(&x[2])?.try_add(&x[2]))
        .cases([
            batch(&[9, 12], &[12, 12], &[9, 12], 12),
            batch(&[33, 17], &[65, 17], &[33, 65], 17),
            Case::new([number(&[12, 10]), number(&[9, 10]), number(&[12, 9]).lie(Lie::Rows)])
                .terms(10),
        ])
        .each_matmul(),
        // Joined on real GPUs only: on software adapters it would be another text to compile.
        row("joined gelu", "chain", |x| {
            recorded(x, |x| {
                x[0].matmul(&x[1])?.try_add(&x[2])?.gelu()?.try_mul(&x[2])?.try_sub(0.5)
            })
        })
        .cases([batch(&[33, 7], &[7, 65], &[65], 7), batch(&[12, 8], &[8, 12], &[12], 8)])
        .no_gradient(REASON)
        .kernels(&["matmul_lanes", "map_chain", "map1", "map2"])
        .hardware(&["matmul_registers", "map1", "map2"]),
        // One value per row does not fit; nor do two vectors.
        row("joined not", "chain", |x| {
            recorded(x, |x| x[0].matmul(&x[1])?.try_mul(&x[2])?.try_add(&x[2].t()?))
        })
        .cases([batch(&[12, 7], &[7, 12], &[12, 1], 7), batch(&[9, 4], &[4, 9], &[9, 1], 4)])
        .no_gradient(REASON)
        .kernels(&["matmul_lanes", "map_chain", "map1", "map2"])
        .hardware(&["matmul_registers", "map_chain", "map1", "map2"]),
        row("joined f16", "linear", move |x| recorded(x, half))
            .scale(add)
            .cases([[9, 7, 5], [12, 8, 12]].map(|[m, k, n]| {
                // All of one sign: each operation rounds, and a sum that cancels would show it.
                let number = |shape: &[usize]| floats(shape, 0.1, 1.0).fixed();
                Case::new([number(&[m, k]), number(&[k, n]), number(&[n])]).terms(k)
            }))
            .no_gradient(REASON)
            .half()
            .kernels(&["matmul_lanes", "map1", "map2", "narrow_f16"]),
    ]
}

/// A recorded reduction of what a chain makes, in one kernel or in two passes.
fn reduced(
    name: &'static str,
    rule: &'static str,
    axes: &'static [isize],
    body: fn(&[Tensor], &[isize]) -> Result<Tensor>,
) -> Row {
    let number = |shape: &[usize]| floats(shape, -1.0, 1.0).fixed();
    let with = |x: Input, y: &[usize]| {
        let terms = axes.iter().map(|&axis| x.shape[axis as usize]).product();
        Case::new([x, number(y)]).terms(terms)
    };
    let case = |shape: &[usize], y: &[usize]| with(number(shape), y);
    row(name, rule, move |x| recorded(x, |x| body(x, axes)))
        .cases([
            case(&[1, 1, 1], &[1]),
            case(&[5, 7, 11], &[5, 7, 11]),
            case(&[4, 6, 8], &[8]),
            case(&[4, 6, 8], &[6, 1]),
            case(&[4, 6, 8], &[4, 1, 1]),
            case(&[2, 33, 65], &[65]),
            case(&[2, 36, 64], &[2, 36, 64]),
            case(&[300, 2, 300], &[1, 300]),
            case(&[1, 5000, 20], &[20]),
            case(&[3, 2, 5000], &[2, 1]),
        ])
        .cases(in_every_lie(number(&[4, 6, 8])).map(|x| with(x, &[6, 8])))
        // Enough to be read four at a time.
        .cases(in_every_lie(number(&[16, 24, 64])).map(|x| with(x, &[24, 64])))
        .cases([case(&[16, 24, 64], &[24, 1]), case(&[16, 24, 64], &[16, 1, 64])])
        .no_gradient(REASON)
        .kernels(&["reduce_lanes", "map1", "map2"])
        .hardware(&["reduce_lanes", "reduce_groups", "map1", "map2"])
}

/// The row with operands of 16 bits.
fn halves(row: Row) -> Row {
    row.half().kernels(&["reduce_lanes", "map1", "map2", "narrow_f16"]).hardware(&[
        "reduce_lanes",
        "reduce_groups",
        "map1",
        "map2",
        "narrow_f16",
    ])
}

fn mixed(x: &[Tensor], axes: &[isize]) -> Result<Tensor> {
    autocast(|| x[0].try_mul(&x[1])?.abs()?.mean(axes))
}

/// Chains and the reductions that they feed.
fn reductions() -> Vec<Row> {
    let mse = |x: &[Tensor], axes: &[isize]| x[0].try_sub(&x[1])?.square()?.mean(axes);
    vec![
        reduced("reduced mse all", "mse", &[0, 1, 2], mse),
        reduced("reduced mse rows", "mse", &[2], mse),
        reduced("reduced mse columns", "mse", &[0, 1], mse),
        reduced("reduced mse middle", "mse", &[1], mse),
        reduced("reduced sum", "sum", &[0, 2], |x, axes| {
            x[0].abs()?.try_mul(&x[1].abs()?)?.sum(axes)
        }),
        reduced("reduced tail", "chain", &[2], |x, axes| {
            let mean = x[0].try_mul(&x[1])?.square()?.mean_keep(axes)?;
            mean.try_add(0.25)?.sqrt()?.reciprocal()?.try_mul(3.0)
        }),
        reduced("reduced tail columns", "chain", &[0, 1], |x, axes| {
            x[0].try_mul(&x[1])?.max(axes)?.try_mul(0.5)?.exp()
        }),
        reduced("reduced max", "arithmetic", &[1], |x, axes| x[0].try_mul(&x[1])?.neg()?.max(axes)),
        reduced("reduced max rows", "arithmetic", &[2], |x, axes| {
            x[0].try_mul(&x[1])?.neg()?.max(axes)
        }),
        // Halves that are widened to be summed; rounded to halves before, by whoever asks for it.
        halves(reduced("reduced mixed", "chain", &[0, 1, 2], mixed)),
        halves(reduced("reduced mixed rows", "chain", &[2], mixed)),
        halves(reduced("reduced mixed columns", "chain", &[0, 1], mixed)),
    ]
}

pub fn rows() -> Vec<Row> {
    let number = |shape: &[usize]| floats(shape, -2.0, 2.0).fixed();
    let shapes = [&[33, 65][..], &[4, 3, 8], &[2, 3, 4, 5, 6], &[128], &[1], &[0, 3]];
    let pair = |shape: &[usize], other: &[usize]| Case::new([number(shape), number(other)]);
    let views = in_every_lie(number(&[6, 8]));
    let with_view = |view: Input| Case::new([number(&[6, 8]), view]);
    let kernels = ["map_chain", "map1", "map2"];
    let mut rows = vec![
        layer("layer weights", false, 0),
        layer("layer bias", false, 1),
        layer("hand layer weights", true, 0),
        layer("hand layer bias", true, 1),
        row("chain", "chain", |x| {
            recorded(x, |x| {
                let a = x[0].try_mul(&x[1])?.try_add(&x[0])?.relu()?;
                a.try_sub(0.25)?.square()?.try_div(3.0)?.sigmoid()
            })
        })
        .cases(shapes.map(|shape| pair(shape, shape)))
        .cases([
            pair(&[33, 65], &[65]),
            pair(&[33, 64], &[64]),
            pair(&[7, 12], &[7, 1]),
            pair(&[5, 4, 8], &[4, 1]),
        ])
        .cases(views.map(with_view))
        .no_gradient(REASON)
        .kernels(&kernels),
        row("chain backward", "chain", |x| {
            recorded(x, |x| {
                let at = x[0].requiring_grad();
                let y = at.tanh()?.try_mul(&x[1])?.gelu()?;
                Ok(y.backward_with(&x[1])?.wrt(&at)?.clone())
            })
        })
        .cases([pair(&[33, 65], &[33, 65]), pair(&[6, 8], &[6, 8])])
        .no_gradient(REASON)
        .kernels(&kernels),
    ];
    rows.extend(products());
    rows.extend(reductions());
    rows
}
