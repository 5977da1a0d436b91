//! 16-bit operands, a few operations of each family: computed in f32, rounded once. Some kernels take halves as they lie,
//! for others they are widened before and rounded after.

use crate::support::{
    inputs::{Input, Lie, away, floats, truth, whole},
    row::{Case, Row, row},
};
use wgrad_core::{CrossEntropyOptions, DType, Reduction, Result, Tensor};

fn input(shape: &[usize]) -> Input {
    floats(shape, -1.0, 1.0)
}

/// A row in f16 whose operands are widened, and results rounded, by kernels of their own.
fn scratch(
    name: &str,
    rule: &'static str,
    kernels: &[&'static str],
    body: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
) -> Row {
    half(name, rule, &[kernels, &["widen_f16"]].concat(), body)
}

/// A row in f16 whose operands are read as they lie; not all results are written by fours.
fn half(
    name: &str,
    rule: &'static str,
    kernels: &[&'static str],
    body: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
) -> Row {
    let all = [kernels, &["narrow_f16"][..]].concat();
    row(format!("{name} f16"), rule, body).half().kernels(&all)
}

pub fn rows() -> Vec<Row> {
    let one = |shape: &[usize]| Case::new([input(shape)]);
    let two = |a: &[usize], b: &[usize]| Case::new([input(a), input(b)]);
    vec![
        half("exp", "exp", &["map1"], |x| x[0].exp())
            .cases([&[][..], &[1], &[7], &[33], &[4, 8]].map(one))
            .case(Case::new([input(&[5, 7]).lie(Lie::Transposed)]))
            .case(Case::new([input(&[5, 7]).lie(Lie::Offset)])),
        half("relu", "exact", &["map1"], |x| x[0].relu()).case(Case::new([away(&[33], 0.01, 1.0)])),
        half("mul number", "arithmetic", &["map1"], |x| x[0].try_mul(1.5)).case(one(&[33])),
        half("add", "arithmetic", &["map2"], |x| x[0].try_add(&x[1]))
            .cases([two(&[4, 8], &[8]), two(&[33], &[])]),
        half("where", "exact", &["map3"], |x| x[0].select(&x[1], &x[2])).case(Case::new([
            truth(&[9]),
            input(&[9]),
            input(&[9]),
        ])),
        half("sum", "sum", &["reduce_lanes"], |x| x[0].sum([1])).case(one(&[5, 7]).terms(7)),
        half("max", "exact", &["reduce_lanes"], |x| x[0].max([0])).case(one(&[5, 7])),
        half("matmul", "matmul", &["matmul"], |x| x[0].matmul(&x[1]))
            .cases([two(&[9, 7], &[7, 5]).terms(7), two(&[2, 4, 8], &[8, 12]).terms(8)])
            .case(Case::new([input(&[9, 7]), input(&[7, 5]).lie(Lie::Transposed)]).terms(7)),
        row("matmul whole f16", "matmul", |x| x[0].matmul(&x[1]))
            .case(two(&[128, 64], &[64, 128]).terms(64))
            .half()
            .kernels(&["matmul_lanes"])
            .hardware(&["matmul_registers"]),
        row("sum long f16", "sum", |x| x[0].sum([1]))
            .case(one(&[5, 300]).terms(300))
            .half()
            .kernels(&["reduce_lanes", "narrow_f16"])
            .hardware(&["reduce_groups", "narrow_f16"]),
        half("linear", "linear", &["linear"], |x| x[0].linear(&x[1], Some(&x[2]), None))
            .case(Case::new([input(&[5, 7]), input(&[3, 7]), input(&[3])]).terms(7)),
        scratch("softmax", "softmax", &["softmax_lanes"], |x| x[0].softmax(-1)).case(one(&[5, 7])),
        scratch("cross_entropy", "cross_entropy", &["cross_entropy_lanes", "reduce_lanes"], |x| {
            x[0].cross_entropy(&x[1])
        })
        .case(Case::new([input(&[5, 7]), whole(&[5], 0, 7)]))
        .case(Case::new([input(&[71, 70]), whole(&[71], 0, 70)])),
        scratch("cross_entropy rows", "cross_entropy", &["cross_entropy_lanes"], |x| {
            let (weights, reduction) = (Some(x[2].clone()), Reduction::None);
            let options = CrossEntropyOptions { weights, reduction, ..Default::default() };
            x[0].cross_entropy_with(&x[1], &options)
        })
        .case(Case::new([
            input(&[5, 7]),
            whole(&[5], 0, 7),
            floats(&[7], 0.5, 2.0).fixed(),
        ])),
        scratch("gather", "exact", &["gather_rows"], |x| x[0].gather(&x[1]))
            .case(Case::new([input(&[5, 7]), whole(&[4], 0, 5)])),
        half("concat", "exact", &["map1"], |x| Tensor::concat(&[&x[0], &x[1]], 0))
            .case(two(&[3, 3], &[2, 3])),
        half("contiguous", "exact", &["map1"], |x| x[0].contiguous())
            .case(Case::new([input(&[5, 7]).lie(Lie::Transposed)]))
            .case(Case::new([input(&[5, 7]).lie(Lie::Stepped)])),
        half("assign", "exact", &["map1", "generate"], |x| {
            let y = Tensor::full_like(&x[0], 5.0)?;
            y.assign(&x[0])?;
            Ok(y)
        })
        .case(Case::new([input(&[5, 7]).fixed().lie(Lie::Transposed)]))
        .no_gradient("changes memory in place"),
        row("lt f16", "exact", |x| x[0].try_lt(&x[1]))
            .case(Case::new([input(&[33]).fixed(), input(&[33]).fixed()]))
            .half()
            .kernels(&["map2"])
            .no_gradient("constant almost everywhere"),
        row("full f16", "exact", |x| Tensor::full([33], -1.25, DType::F16, x[0].device()))
            .case(Case::new([input(&[]).fixed()]))
            .half()
            .kernels(&["generate", "narrow_f16"])
            .no_gradient("made from nothing"),
    ]
}
