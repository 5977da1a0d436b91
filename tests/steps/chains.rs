//! Element-wise operations in a row: one kernel on a GPU, strips that stay in the cache on the CPU.

use super::{Fact, bits, draw, near, read};
use wgrad::{Step, prelude::*};
use wgrad_gpu::Gpu;

/// Odd and even sizes around a strip, axes that do not merge, and a single element.
const SHAPES: [&[usize]; 11] = [
    &[],
    &[1],
    &[5],
    &[3, 7],
    &[1, 40_001],
    &[2, 8193],
    &[3, 8191],
    &[4097, 33],
    &[3, 8195, 3],
    &[3, 8196, 3],
    &[2, 2, 1, 9001, 2],
];

/// With ones wherever `keep` does not hold.
fn stretched(shape: &[usize], keep: impl Fn(usize) -> bool) -> Vec<usize> {
    shape.iter().enumerate().map(|(axis, &size)| if keep(axis) { size } else { 1 }).collect()
}

pub const FACTS: &[Fact] = &[
    ("chains_give_what_their_operations_give", |d| {
        let work = |x: &[Tensor]| -> Result<Vec<Tensor>> {
            let a = x[0].try_mul(2.0)?.try_add(&x[1])?;
            let b = a.relu()?; // the step returns it, and the chain goes on
            let c = b.try_gt(&x[2])?.select(&b, &a)?.try_sub(&x[1])?;
            let d = c.cast(DType::I32)?.cast(DType::F32)?.try_add(&b)?;
            // What is read turned goes on in another chain.
            let turned = if d.rank() < 2 { d.clone() } else { d.transpose(0, -1)?.try_mul(2.0)? };
            Ok(vec![turned.abs()?.try_add(1.0)?, b, c.try_lt(0.25)?.cast(DType::F32)?])
        };
        for shape in SHAPES {
            let last = shape.len().saturating_sub(1);
            let x = draw(1, shape, d);
            let row = draw(2, &stretched(shape, |axis| axis == last), d);
            let column = draw(3, &stretched(shape, |axis| axis == 0), d);
            let inputs = [&x, &row, &column];
            let want = work(&inputs.map(Clone::clone)).unwrap();
            let step = Step::new(d, work);
            for _ in 0..3 {
                for (got, want) in step.run(&inputs).unwrap().iter().zip(&want) {
                    assert_eq!(got.shape(), want.shape());
                    let (got, want) = (read(got).unwrap(), read(want).unwrap());
                    if Gpu::of(d).is_none() {
                        bits("recorded against eager", &[got.len()], &got, &want).unwrap();
                    }
                    near("chain", &got, &want);
                }
            }
        }
    }),
    ("what_passes_within_a_chain_takes_no_memory", |d| {
        let (x, b) = (draw(1, &[300, 200], d), draw(2, &[200], d));
        let step = Step::new(d, |x| Ok(vec![x[0].try_add(&x[1])?.relu()?.try_mul(3.0)?]));
        let report = step.report(&[&x, &b]).unwrap();
        assert_eq!((report.operations, report.dispatches), (3, 1), "{report}");
        assert_eq!(report.bytes_moved, 4 * (2 * 300 * 200 + 200), "{report}");
        assert!(report.bytes <= 4 * 300 * 200, "{report}");
    }),
    ("a_long_chain_is_cut", |d| {
        let work = |x: &[Tensor]| -> Result<Vec<Tensor>> {
            let turn =
                |y: Tensor, i: usize| y.try_mul(if i.is_multiple_of(3) { 4.0 } else { -0.5 });
            Ok(vec![(0..150).try_fold(x[0].clone(), turn)?])
        };
        let x = draw(1, &[5, 4099], d);
        let step = Step::new(d, work);
        let got = read(&step.run(&[&x]).unwrap()[0]).unwrap();
        bits("powers of two", &[5, 4099], &got, &read(&x).unwrap()).unwrap();
        if Gpu::of(d).is_none() {
            let report = step.report(&[&x]).unwrap();
            assert_eq!(report.dispatches, 3, "{report}");
        }
    }),
    ("chains_in_64_bits_and_around_halves", |d| {
        if Gpu::of(d).is_some() {
            return; // f64 lives on the CPU, and GPUs round a chain once
        }
        for dtype in [DType::F16, DType::F64] {
            let work = |x: &[Tensor]| -> Result<Vec<Tensor>> {
                let y = x[0].cast(dtype)?.try_add(1.0)?.abs()?;
                Ok(vec![y.cast(DType::F32)?.try_mul(2.0)?.relu()?])
            };
            let x = draw(1, &[70, 331], d);
            let got = read(&Step::new(d, work).run(&[&x]).unwrap()[0]).unwrap();
            let want = read(&work(&[x]).unwrap()[0]).unwrap();
            bits("recorded against eager", &[70, 331], &got, &want).unwrap();
        }
    }),
];
