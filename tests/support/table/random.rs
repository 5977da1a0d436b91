//! Random shapes that lie in random ways, the same ones each time: what nobody thought of.

use crate::support::{
    inputs::{Input, Lie, away, floats, truth, whole},
    row::{Case, Row, row},
};
use wgrad_core::{Result, Tensor, philox::Stream};

/// Sides that hurt; the small ones come more often.
const SIDES: [usize; 20] = [1, 1, 1, 2, 2, 3, 3, 4, 5, 7, 8, 0, 31, 32, 33, 64, 65, 127, 255, 257];
const MOST: usize = 20_000;
const CASES: u32 = 24;

struct Dice(Stream);

impl Dice {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.below(from.len() as u32) as usize]
    }

    /// A shape of rank `lowest` to 6 with not too many elements.
    fn shape(&mut self, lowest: u32) -> Vec<usize> {
        let rank = lowest + self.0.below(7 - lowest);
        let mut shape = Vec::new();
        for _ in 0..rank {
            let side = self.pick(&SIDES);
            let numel: usize = shape.iter().product();
            shape.push(if numel * side > MOST { 1 } else { side });
        }
        shape
    }

    fn lie(&mut self, input: Input) -> Input {
        let lies: &[Lie] = match input.shape.len() {
            0 => &[Lie::Plain],
            1 => &[Lie::Plain, Lie::Offset, Lie::Stepped, Lie::Spread],
            _ => &super::LIES,
        };
        let lie = self.pick(lies);
        input.lie(lie)
    }

    /// A shape that broadcasts to this one: sides become 1, leading ones are dropped.
    fn shrunk(&mut self, shape: &[usize]) -> Vec<usize> {
        let dropped = self.0.below(shape.len() as u32 + 1) as usize;
        shape[dropped..].iter().map(|&side| if self.0.below(3) == 0 { 1 } else { side }).collect()
    }

    fn floats(&mut self, shape: &[usize]) -> Input {
        self.lie(floats(shape, -1.0, 1.0))
    }
}

/// Some of the axes, which depends on the rank alone.
fn some_axes(rank: usize) -> Vec<isize> {
    (0..rank)
        .filter(|axis| !(axis * 5 + rank).is_multiple_of(3))
        .map(|axis| axis as isize)
        .collect()
}

fn with_terms(input: Input) -> Case {
    let axes = some_axes(input.shape.len());
    let terms = axes.iter().map(|&axis| input.shape[axis as usize]).product();
    Case::new([input]).terms(terms)
}

fn many(seed: u64, mut draw: impl FnMut(&mut Dice) -> Case) -> Vec<Case> {
    let mut dice = Dice(Stream::new(seed, 3));
    (0..CASES).map(|_| draw(&mut dice)).collect()
}

fn last_axis(x: &Tensor) -> isize {
    x.rank() as isize - 1
}

pub fn rows() -> Vec<Row> {
    let elementwise = |name, rule, seed, body: fn(&[Tensor]) -> Result<Tensor>| {
        row(name, rule, body).cases(many(seed, |dice| {
            let shape = dice.shape(0);
            let small = dice.shrunk(&shape);
            let divisor = dice.lie(away(&small, 0.25, 1.0));
            Case::new([dice.floats(&shape), divisor])
        }))
    };
    vec![
        elementwise("random add", "arithmetic", 1, |x| x[0].try_add(&x[1])).kernels(&["map2"]),
        elementwise("random div", "division", 2, |x| x[0].try_div(&x[1])).kernels(&["map2"]),
        row("random tanh", "tanh", |x| x[0].tanh())
            .cases(many(3, |dice| {
                let shape = dice.shape(0);
                Case::new([dice.floats(&shape)])
            }))
            .kernels(&["map1"]),
        row("random where", "exact", |x| x[0].select(&x[1], &x[2]))
            .cases(many(4, |dice| {
                let shape = dice.shape(0);
                let [c, b] = [dice.shrunk(&shape), dice.shrunk(&shape)];
                Case::new([dice.lie(truth(&c)), dice.floats(&shape), dice.floats(&b)])
            }))
            .kernels(&["map3"]),
        row("random sum", "sum", |x| x[0].sum(some_axes(x[0].rank())))
            .cases(many(5, |dice| {
                let shape = dice.shape(0);
                with_terms(dice.floats(&shape))
            }))
            .kernels(&["reduce_lanes"])
            .hardware(&["reduce_lanes", "reduce_groups"]),
        row("random argmax", "exact", |x| x[0].argmax(last_axis(&x[0])))
            .cases(many(6, |dice| {
                let mut shape = dice.shape(1);
                let last = shape.len() - 1;
                shape[last] = shape[last].max(1);
                Case::new([dice.floats(&shape).fixed()])
            }))
            .kernels(&["arg_reduce"])
            .no_gradient("constant almost everywhere"),
        row("random softmax", "softmax", |x| x[0].softmax(last_axis(&x[0]) / 2))
            .cases(many(7, |dice| {
                let shape = dice.shape(1);
                Case::new([dice.floats(&shape)])
            }))
            .kernels(&["softmax_lanes", "map1"])
            .hardware(&["softmax_lanes", "softmax_groups", "map1"]),
        row("random permute", "exact", |x| {
            x[0].permute((0..x[0].rank() as isize).rev().collect::<Vec<_>>())?.try_mul(1.0)
        })
        .cases(many(8, |dice| {
            let shape = dice.shape(0);
            Case::new([dice.floats(&shape)])
        }))
        .kernels(&["map1"]),
        row("random gather", "exact", |x| x[0].gather(&x[1]))
            .cases(many(9, |dice| {
                let mut table = dice.shape(1);
                table.truncate(3);
                table[0] = table[0].max(1);
                let indices = dice.pick(&[&[][..], &[5], &[0], &[2, 3]]);
                let index = dice.lie(whole(indices, 0, table[0] as i64));
                Case::new([dice.floats(&table), index])
            }))
            .kernels(&["gather_rows"]),
        row("random matmul", "matmul", |x| x[0].matmul(&x[1]))
            .cases(many(10, |dice| {
                let [m, n, k] = [0; 3].map(|_| dice.pick(&SIDES).min(129));
                let (batch, other) =
                    dice.pick(&[(&[][..], &[][..]), (&[2], &[2]), (&[3, 1], &[2]), (&[], &[4])]);
                let a = dice.floats(&[batch, &[m, k]].concat());
                let b = dice.floats(&[other, &[k, n]].concat());
                let mut case = Case::new([a, b]).terms(k);
                case.gradient_terms = m.max(n).max(k) * 4;
                case
            }))
            .kernels(&["matmul"])
            .hardware(&["matmul_registers", "matmul_thin"])
            .each_matmul(),
    ]
}
