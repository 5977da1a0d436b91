//! Random graphs of operations: read after each, run in one go, recorded, computed again, and on the judge.

use crate::{
    Law,
    dice::{Case, Dice},
    support::{
        compare::{bits, close},
        inputs::{floats, read},
        tolerance::{self, PLAIN},
    },
};
use wgrad::{Step, prelude::*, recompute};
use wgrad_core::cpu::Cpu;

const SIDE: usize = 8;

/// One operation of a graph, on earlier values `[8, 8]`.
#[derive(Clone, Copy, Debug)]
struct Node {
    kind: usize,
    a: usize,
    b: usize,
    c: usize,
}

const KINDS: usize = 28;

/// The operations; none of them makes numbers of size up to 1 much larger, or differences between them.
fn apply(kind: usize, a: &Tensor, b: &Tensor, c: &Tensor, fixed: &[Tensor]) -> Result<Tensor> {
    let image = |x: &Tensor| x.reshape([1, 1, SIDE, SIDE]);
    let flat = |x: Tensor| x.reshape([SIDE, SIDE]);
    let pool = Pool2dOptions::new(3).stride(1).padding(1);
    match kind {
        0 => a.try_add(b)?.try_mul(0.5),
        1 => a.try_mul(b),
        2 => a.try_sub(b)?.try_div(2.0),
        3 => a.tanh(),
        4 => a.sigmoid(),
        5 => a.relu()?.try_add(b)?.try_mul(0.5),
        6 => a.neg(),
        7 => a.matmul(b)?.try_mul(0.125),
        8 => a.linear(b, Some(&c.slice(0, 3..4)?.reshape([SIDE])?), None)?.try_mul(0.1),
        9 => a.softmax(-1),
        10 => a.layer_norm(None, None, 4.0)?.try_mul(0.5),
        11 => a.t(),
        12 => Tensor::concat(&[&b.slice(0, 4..8)?, &a.slice(0, 0..4)?], 0),
        13 => a.slice_step(1, 0..8, 2)?.pad(1, 1, 3),
        14 => flat(image(a)?.conv2d(&fixed[0], None, &Conv2dOptions::new().padding(1))?),
        15 => flat(image(a)?.max_pool2d(&pool)?),
        16 => flat(image(a)?.avg_pool2d(&pool)?),
        17 => a.masked_softmax(None, true, 0.5),
        18 => a.attention(b, c, AttentionOptions::default())?.try_mul(0.5),
        19 => a.gather(&fixed[1]),
        20 => a.rms_norm(None, 4.0)?.try_mul(0.5),
        21 => Ok(a.batch_norm(&fixed[2], &fixed[3], 4.0)?.0.try_mul(0.5)?),
        22 => a.mean_keep([0])?.try_add(b)?.try_mul(0.5),
        23 => a.sum_keep([1])?.try_mul(0.125)?.broadcast_to([SIDE, SIDE]),
        24 => a.dropout(0.25)?.try_mul(0.75),
        25 => {
            let pieces = a.split(1, 3)?;
            Tensor::concat(&[&pieces[2], &pieces[0], &pieces[1]], 1)
        }
        26 => a.square()?.try_mul(0.5)?.try_add(&c.exp()?.try_mul(0.25)?),
        _ => flat(image(a)?.conv_transpose2d(
            &fixed[0],
            None,
            &Conv2dOptions::new().padding(1),
            0,
        )?),
    }
}

struct Graph(Vec<Node>);

impl Graph {
    fn new(dice: &mut Dice) -> Graph {
        let count = dice.number(20, 200);
        let mut nodes = Vec::new();
        for i in 0..count {
            // Mostly what was made just before, so that graphs are long as well as wide.
            let mut earlier = || {
                if dice.number(0, 2) > 0 {
                    i + 2 - dice.number(0, i.min(3))
                } else {
                    dice.number(0, i + 2)
                }
            };
            let [a, b, c] = [earlier(), earlier(), earlier()];
            nodes.push(Node { kind: dice.number(0, KINDS - 1), a, b, c });
        }
        Graph(nodes)
    }

    /// The last values of the graph together, from three inputs.
    fn run(&self, inputs: &[Tensor], fixed: &[Tensor], look: bool) -> Result<Tensor> {
        let mut values = inputs.to_vec();
        for node in &self.0 {
            let [a, b, c] = [node.a, node.b, node.c].map(|i| &values[i]);
            let y = apply(node.kind, a, b, c, fixed)?;
            if look {
                y.detach().contiguous()?.to_vec::<f32>()?;
                y.device().sync()?;
            }
            values.push(y);
        }
        let last: Vec<&Tensor> = values.iter().rev().take(4).collect();
        Tensor::stack(&last, 0)
    }
}

/// How a graph is run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// As a user writes it.
    Plain,
    /// Each value is read before the next is asked for.
    Read,
    /// Backward computes all of it again.
    Again,
    /// A recorded step, and its replay.
    Recorded,
    /// A recorded step of a block that is computed again.
    RecordedAgain,
}

/// What comes out, and the gradients of three inputs; in a step both are of the second run.
fn outcome(graph: &Graph, how: How, d: &Device, dtype: DType) -> Vec<Vec<f64>> {
    let number = |seed: u64, shape: &[usize]| {
        let input = floats(shape, -1.0, 1.0);
        input.tensor(&input.values(seed, false), dtype, d).unwrap()
    };
    let inputs: Vec<Tensor> = (301..304).map(|seed| number(seed, &[SIDE, SIDE])).collect();
    let order = Tensor::from_vec([3i32, 0, 7, 7, 2, 5, 1, 4], [SIDE], d).unwrap();
    let tap = Tensor::full([1, 1, 3, 3], 1.0 / 9.0, dtype, d).unwrap();
    let one = Tensor::full([SIDE], 1.0, dtype, d).unwrap();
    let zero = Tensor::full([SIDE], 0.0, dtype, d).unwrap();
    let fixed = [tap, order, one, zero];
    let c = number(305, &[4, SIDE, SIDE]);
    let work = |inputs: &[Tensor]| {
        let leaves: Vec<Tensor> = inputs[..3].iter().map(Tensor::requiring_grad).collect();
        let y = match how {
            How::Again | How::RecordedAgain => recompute(|| graph.run(&leaves, &fixed, false))?,
            _ => graph.run(&leaves, &fixed, how == How::Read)?,
        };
        let gradients = y.backward_with(&inputs[3])?;
        let mut all = vec![y.detach()];
        for leaf in &leaves {
            let zeros = || Tensor::full_like(leaf, 0.0);
            all.push(gradients.get(leaf).map_or_else(zeros, |g| Ok(g.clone()))?);
        }
        Ok(all)
    };
    let all = [inputs, vec![c]].concat();
    d.seed(9).unwrap();
    let got = match how {
        How::Recorded | How::RecordedAgain => {
            let step = Step::new(d, work);
            let all: Vec<&Tensor> = all.iter().collect();
            step.run(&all).unwrap();
            d.seed(9).unwrap();
            step.run(&all).unwrap()
        }
        _ => work(&all).unwrap(),
    };
    got.iter().map(|x| read(x).unwrap()).collect()
}

#[track_caller]
fn agree(what: &str, got: &[Vec<f64>], want: &[Vec<f64>]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        // A gradient is as much longer as its numbers are larger.
        let scale = want.iter().fold(1.0f64, |most, x| most.max(x.abs()));
        let bound = scale * tolerance::of("graph").bound(0.0, &PLAIN);
        let factor = if i == 0 { 1.0 } else { 3.0 };
        close(&format!("{what}, value {i}"), &[want.len()], got, want, |_| factor * bound).unwrap();
    }
}

pub const LAWS: &[Law] = &[("random_graphs_do_not_depend_on_how_they_run", |d| {
    const SEED: u64 = 301;
    let mut dice = Dice::new(SEED);
    let mut used = [false; KINDS];
    for number in 0..6 {
        let graph = Graph::new(&mut dice);
        graph.0.iter().for_each(|node| used[node.kind] = true);
        let _case = Case(format!("seed {SEED} graph {number}: {:?}", graph.0));
        let judge = Device::new(Box::new(Cpu::new()));
        let want = outcome(&graph, How::Plain, &judge, DType::F64);
        let plain = outcome(&graph, How::Plain, d, DType::F32);
        agree("judge", &plain, &want);
        for how in [How::Read, How::Again] {
            for (got, plain) in outcome(&graph, how, d, DType::F32).iter().zip(&plain) {
                bits(&format!("{how:?}"), &[plain.len()], got, plain).unwrap();
            }
        }
        // Joined operations may round once where single ones round twice.
        for how in [How::Recorded, How::RecordedAgain] {
            agree(&format!("{how:?}"), &outcome(&graph, how, d, DType::F32), &want);
        }
    }
    assert!(used.iter().all(|&used| used), "{used:?}");
})];
