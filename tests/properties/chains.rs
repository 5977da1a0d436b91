//! Random chains of element-wise operations, with others between them: recorded steps give what single operations do.

use crate::{
    Law,
    dice::{Case, Dice},
    same,
};
use wgrad::{Step, prelude::*};
use wgrad_gpu::Gpu;

/// One operation, on earlier values that broadcast to one shape.
#[derive(Clone, Copy, Debug)]
struct Node {
    kind: usize,
    a: usize,
    b: usize,
    c: usize,
}

const KINDS: usize = 21;
/// Kinds up to here are element-wise.
const ELEMENT_WISE: usize = 13;
const TYPES: [DType; 4] = [DType::F32, DType::F64, DType::I32, DType::Bool];

/// The operations; none of them makes numbers much larger, or NaN.
fn apply(node: Node, values: &[Tensor], outside: &Tensor) -> Result<Tensor> {
    let x = &values[node.a];
    let b = |dtype: DType| values[node.b].cast(dtype);
    // A number type, and a float type, of x.
    let a = if x.dtype() == DType::Bool { x.cast(DType::F32)? } else { x.clone() };
    let f = if x.dtype().is_float() { x.clone() } else { x.cast(DType::F32)? };
    let long = x.rank() > 0 && x.shape()[0] > 1;
    match node.kind {
        0 => f.try_add(&b(f.dtype())?)?.try_mul(0.5),
        1 => f.tanh()?.try_mul(&b(f.dtype())?),
        2 => a.maximum(&b(a.dtype())?),
        3 => a.abs()?.minimum(2.0),
        4 => f.sigmoid(),
        5 => f.relu()?.try_sub(0.25),
        6 => a.try_lt(&b(a.dtype())?),
        7 => x.cast(DType::Bool)?.select(&a, &b(a.dtype())?),
        8 => values[node.b].mask(&x.cast(DType::Bool)?),
        9 => x.cast(TYPES[node.c % TYPES.len()]),
        10 => {
            a.try_add(1.0)?; // nobody wants it
            a.neg()
        }
        11 => f.gelu()?.try_mul(0.5),
        12 if long => a.try_sub(&a.slice(0, 1..2)?)?.minimum(1.0), // made just before, and read in part
        13 => a.transpose(0, -1)?.neg()?.transpose(0, -1),
        14 => x.transpose(0, -1)?.contiguous()?.transpose(0, -1),
        15 => f.mean_keep([0]),
        16 => f.try_add(1.0)?.reshape([f.numel()])?.tanh()?.reshape(f.shape()),
        17 if long => {
            let half = x.shape()[0] / 2;
            Tensor::concat(&[&a.slice(0, half..x.shape()[0])?.neg()?, &a.slice(0, 0..half)?], 0)
        }
        18 if long => {
            let (all, other) = (f.try_mul(0.5)?, f.tanh()?);
            all.slice(0, 0..1)?.assign(&other.slice(0, 1..2)?)?;
            all.try_sub(&other)
        }
        19 => {
            outside.assign(&x.cast(DType::F32)?.broadcast_to(outside.shape())?)?;
            outside.try_mul(0.5)
        }
        _ => Ok(outside.clone()),
    }
}

/// Small, or with an axis about as long as a strip; now and then empty.
fn shape(dice: &mut Dice) -> Vec<usize> {
    let rank = dice.number(1, 5);
    let mut shape: Vec<usize> = (0..rank).map(|_| dice.pick(&[1, 1, 2, 3, 4])).collect();
    let axis = dice.number(0, rank - 1);
    shape[axis] = dice.pick(&[0, 2, 5, 1000, 4097, 8191, 8192, 8195]);
    shape
}

pub const LAWS: &[Law] = &[("random_chains_do_not_depend_on_recording", |d| {
    if Gpu::of(d).is_some() {
        return; // where joined operations may round once, and there is no f64
    }
    const SEED: u64 = 401;
    let mut dice = Dice::new(SEED);
    for number in 0..80 {
        let shape = shape(&mut dice);
        let mut part = || -> Vec<usize> {
            shape.iter().map(|&n| if dice.number(0, 1) > 0 { n } else { 1 }).collect()
        };
        let parts = [part(), part()];
        let inputs = [&shape, &parts[0], &parts[1]].map(|shape| dice.view(shape, d));
        let outside = [(); 2].map(|()| Tensor::zeros(&*shape, d).unwrap());
        let mut nodes = Vec::new();
        for i in 0..dice.number(2, 30) {
            let mut earlier = || i + 2 - dice.number(0, i.min(3)) * dice.number(0, 1);
            let [a, b, c] = [earlier(), earlier(), earlier()];
            let last = dice.pick(&[ELEMENT_WISE - 1, ELEMENT_WISE - 1, KINDS - 1]);
            nodes.push(Node { kind: dice.number(0, last), a, b: b.min(dice.number(0, i + 2)), c });
        }
        let _case = Case(format!("seed {SEED} case {number}, shape {shape:?}: {nodes:?}"));
        // Some results twice, and what the step did not make.
        let wanted: Vec<usize> = (0..4).map(|_| dice.number(0, nodes.len() + 2)).collect();
        let work = |inputs: &[Tensor], outside: &Tensor| -> Result<Vec<Tensor>> {
            let mut values = inputs.to_vec();
            for &node in &nodes {
                values.push(apply(node, &values, outside)?);
            }
            let last = values[nodes.len() + 2].clone();
            Ok(wanted.iter().map(|&i| values[i].clone()).chain([last]).collect())
        };
        let step = Step::new(d, |inputs| work(inputs, &outside[0]));
        for _ in 0..3 {
            let got = step.run(&inputs.each_ref()).unwrap();
            let want = work(&inputs, &outside[1]).unwrap();
            for (got, want) in got.iter().zip(&want).chain([(&outside[0], &outside[1])]) {
                assert_eq!(got.dtype(), want.dtype());
                same(got, want);
            }
        }
    }
})];
