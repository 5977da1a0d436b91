//! Softmax over what is seen, and attention.

use super::in_every_lie;
use crate::support::{
    inputs::{Draw, Input, Lie, floats, truth},
    row::{Case, Row, row},
};
use wgrad_core::AttentionOptions;

fn scores(shape: &[usize]) -> Input {
    floats(shape, -4.0, 4.0)
}

const KERNELS: [&str; 2] = ["masked_softmax", "masked_softmax_registers"];
const BACKWARD: [&str; 2] = ["masked_softmax_backward", "masked_softmax_backward_registers"];

fn plain(causal: bool) -> Row {
    let name = if causal { "masked_softmax causal" } else { "masked_softmax" };
    row(name, "masked_softmax", move |x| x[0].masked_softmax(None, causal, 0.75))
        .cases(
            [
                &[1, 1][..],
                &[5, 7],
                &[7, 5],
                &[2, 3, 11, 13],
                &[3, 65, 64],
                &[9, 300],
                &[2, 4, 8],
                &[6, 132],
                &[3, 1028],
                &[2, 2055],
                &[1, 8200],
                &[0, 3],
                &[3, 0],
                &[2, 0, 4],
            ]
            .map(|shape| Case::new([scores(shape)])),
        )
        .cases(in_every_lie(scores(&[4, 6, 8])).map(|x| Case::new([x])))
        .case(Case::new([scores(&[2, 3, 4, 5, 3, 8]).lie(Lie::Permuted)]))
        .kernels(&KERNELS)
        .hardware(&KERNELS)
        .backward(&BACKWARD, &BACKWARD)
}

/// A mask that lets every row see something, and one by which a row sees nothing.
fn masked(causal: bool) -> Row {
    let name = if causal { "masked_softmax mask causal" } else { "masked_softmax mask" };
    let pair = |x: &[usize], mask: &[usize]| Case::new([scores(x), truth(mask)]);
    let nothing = Input { draw: Draw::Given(vec![0.0]), ..truth(&[1, 8]) };
    row(name, "masked_softmax", move |x| x[0].masked_softmax(Some(&x[1]), causal, 1.5))
        .cases([
            pair(&[5, 7], &[5, 7]),
            pair(&[5, 8], &[8]),
            pair(&[2, 3, 6, 12], &[2, 1, 1, 12]),
            pair(&[2, 3, 6, 12], &[6, 12]),
            pair(&[2, 3, 6, 13], &[3, 6, 1]),
            pair(&[3, 33, 70], &[33, 70]),
            pair(&[2, 4, 1028], &[1, 1, 1028]),
            pair(&[2, 2055], &[2, 2055]),
            pair(&[2, 2, 600], &[2, 600]),
            pair(&[4, 8], &[]),
            pair(&[0, 8], &[8]),
            Case::new([scores(&[4, 8]), nothing]),
        ])
        .cases(in_every_lie(truth(&[4, 6, 8])).map(|mask| Case::new([scores(&[4, 6, 8]), mask])))
        .case(Case::new([scores(&[4, 6, 8]).lie(Lie::Transposed), truth(&[6, 8])]))
        .kernels(&KERNELS)
        .hardware(&KERNELS)
        .backward(&BACKWARD, &BACKWARD)
}

/// A row so long that eight threads would loop too often on lavapipe, and many rows.
fn long() -> Row {
    row("masked_softmax long", "masked_softmax", |x| x[0].masked_softmax(None, true, 1.0))
        .case(Case::new([scores(&[2, 70_001])]).no_differences())
        .case(Case::new([scores(&[2, 300_000])]).forward_only())
        .case(Case::new([scores(&[70_000, 3])]).no_differences())
        .kernels(&KERNELS)
        .hardware(&KERNELS)
}

/// Heads as a permutation splits them off: `[b, t, h, d]` to `[b, h, t, d]`. Nothing else than the two products and
/// the softmax may run: no copy.
fn heads(name: &'static str, causal: bool, masked: bool) -> Row {
    let side = |b: usize, t: usize, h: usize, d: usize| floats(&[b, t, h, d], -1.0, 1.0);
    let case = |[b, tq, tk, h, d, dv]: [usize; 6]| {
        let mut inputs = vec![side(b, tq, h, d), side(b, tk, h, d), side(b, tk, h, dv)];
        if masked {
            inputs.push(truth(&[b, 1, 1, tk]));
        }
        Case::new(inputs).terms(d.max(tk))
    };
    row(name, "attention", move |x| {
        let [q, k, v] = [0, 1, 2].map(|i| x[i].permute([0, 2, 1, 3]));
        let options = AttentionOptions { mask: x.get(3), causal, ..AttentionOptions::default() };
        q?.attention(&k?, &v?, options)
    })
    .cases([
        case([2, 5, 5, 3, 4, 4]),
        case([1, 3, 7, 2, 5, 3]),
        case([2, 7, 3, 1, 8, 12]),
        case([2, 33, 33, 2, 16, 16]),
        case([1, 1, 65, 2, 8, 8]),
        case([2, 4, 0, 2, 3, 5]),
        case([2, 0, 4, 2, 3, 5]),
        case([0, 4, 4, 2, 3, 5]),
    ])
    .kernels(&["matmul_lanes", "masked_softmax", "masked_softmax_registers"])
    .hardware(&["matmul_registers", "matmul_thin", "masked_softmax_registers"])
    .backward(&BACKWARD[1..], &BACKWARD[1..])
}

fn half() -> Row {
    row("masked_softmax f16", "masked_softmax", |x| x[0].masked_softmax(Some(&x[1]), true, 0.5))
        .case(Case::new([scores(&[2, 5, 7]), truth(&[5, 7])]))
        .case(Case::new([scores(&[4, 8]), truth(&[8])]))
        .half()
        .kernels(&["masked_softmax_registers", "widen_f16", "narrow_f16"])
}

pub fn rows() -> Vec<Row> {
    let mut rows = vec![long(), half()];
    for causal in [false, true] {
        rows.extend([plain(causal), masked(causal)]);
    }
    rows.push(heads("attention", false, false));
    rows.push(heads("attention causal", true, false));
    rows.push(heads("attention mask", false, true));
    rows
}
