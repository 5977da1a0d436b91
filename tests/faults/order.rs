//! D, F: the order of operations, uploads and reads, and what a bad batch does to a training run.

use crate::{Fault, floats, read, refused, whole};
use half::f16;
use std::cell::Cell;
use wgrad::nn::{AdamW, Layer, Mlp, Module, Optimizer};
use wgrad_core::{Device, ErrorKind, Result, Tensor};

pub const ROWS: &[Fault] = &[
    ("D12_reads_see_what_was_recorded_before", |d| {
        let x = floats(&[1.0, 2.0, 3.0, 4.0], &[4], d);
        let reads = [x.try_add(1.0), x.try_mul(2.0), x.neg()].map(Result::unwrap);
        // Its memory goes to y, which is uploaded before the three operations were submitted.
        drop(x);
        let y = floats(&[9.0; 4], &[4], d);
        assert_eq!(read(&reads[0]), [2.0, 3.0, 4.0, 5.0]);
        assert_eq!(read(&reads[1]), [2.0, 4.0, 6.0, 8.0]);
        assert_eq!(read(&reads[2]), [-1.0, -2.0, -3.0, -4.0]);
        assert_eq!(read(&y), [9.0; 4]);
    }),
    ("D12_reads_wait_in_any_order", |d| {
        let timeout = std::time::Duration::from_secs(60);
        let x = floats(&[1.0; 4], &[4], d);
        let first = x.read::<f32>().unwrap();
        x.assign(&floats(&[2.0; 4], &[4], d)).unwrap();
        let second = x.read::<f32>().unwrap();
        assert_eq!(second.wait(timeout).unwrap(), [2.0; 4]);
        assert_eq!(first.wait(timeout).unwrap(), [1.0; 4]);
    }),
    ("D12_long_chains", |d| {
        // More launches than one submit takes, and a graph that recursion would not survive.
        let x = floats(&[0.0], &[1], d).requiring_grad();
        let mut y = x.clone();
        for _ in 0..20_000 {
            y = y.try_add(1.0).unwrap();
        }
        assert_eq!(read(&y), [20_000.0]);
        assert_eq!(read(y.backward().unwrap().wrt(&x).unwrap()), [1.0]);
    }),
    ("D13_reads_of_any_length", |d| {
        for n in 0..9 {
            let values: Vec<f16> = (0..n).map(|i| f16::from_f32(i as f32)).collect();
            let x = Tensor::from_vec(&values, [n], d).unwrap();
            assert_eq!(x.to_vec::<f16>().unwrap(), values);
            for start in 0..n {
                let part = x.slice(0, start..n).unwrap();
                assert_eq!(part.to_vec::<f16>().unwrap(), values[start..], "{start}..{n}");
                assert_eq!(part.try_add(&part).unwrap().to_vec::<f16>().unwrap().len(), n - start);
            }
        }
    }),
    ("F3_values_changed_before_backward", |d| {
        let x = floats(&[1.0, 2.0], &[2], d).requiring_grad();
        let y = x.square().unwrap().sum_all().unwrap();
        x.assign(&floats(&[5.0, 6.0], &[2], d)).unwrap();
        refused(y.backward().map(|_| ()), ErrorKind::Graph, &["changed in place"]);
        let sum = x.try_add(1.0).unwrap().sum_all().unwrap();
        x.assign(&floats(&[7.0, 8.0], &[2], d)).unwrap();
        assert!(sum.backward().is_ok(), "addition needs no value for backward");
    }),
    ("C4_a_bad_label_changes_no_parameter", |d| {
        let [run, twin] = [Run::new(d), Run::new(d)];
        for run in [&run, &twin] {
            run.step(&[0, 1, 2, 1]).unwrap();
        }
        let before = run.parameters();
        let error = run.step(&[0, 1, 3, -1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Index, "{error}");
        assert!(
            error.to_string().contains("cross_entropy: index 3 at position 2 lies outside 0..3"),
            "{error}"
        );
        assert_eq!(
            (error.location().file(), error.location().line()),
            (file!(), run.loss_line.get()),
            "{error}"
        );
        assert_eq!(run.parameters(), before);
        // And neither moments nor the count of steps: the next step is that of a run without the bad batch.
        for run in [&run, &twin] {
            run.step(&[2, 1, 0, 0]).unwrap();
        }
        assert_ne!(run.parameters(), before);
        assert_eq!(run.parameters(), twin.parameters());
    }),
    ("P11_training_twice_gives_the_same_bits", |d| {
        let train = || {
            let run = Run::new(d);
            for i in 0..5 {
                run.step(&[i % 3, 1, 2, 0]).unwrap();
            }
            run.parameters()
        };
        assert_eq!(train(), train());
    }),
];

/// A small network in training.
pub struct Run {
    model: Mlp,
    optimizer: AdamW,
    x: Tensor,
    /// The line of [`Run::step`] that asks for the loss: errors about labels must name it.
    loss_line: Cell<u32>,
}

impl Run {
    pub fn new(d: &Device) -> Run {
        let model = Mlp::with_seed(&[6, 16, 3], 5, d).unwrap();
        let optimizer = AdamW::new(&model, 1e-2).unwrap();
        let values: Vec<f32> = (0..24).map(|i| (i as f32 * 0.7).sin()).collect();
        Run { x: floats(&values, &[4, 6], d), model, optimizer, loss_line: Cell::new(0) }
    }

    /// One step, and its loss.
    pub fn step(&self, labels: &[i32]) -> Result<f32> {
        let labels = whole(labels, self.x.device());
        let logits = self.model.forward(&self.x)?;
        self.loss_line.set(line!() + 1);
        let loss = logits.cross_entropy(&labels)?;
        self.optimizer.step(&loss.backward()?)?;
        loss.item::<f32>()
    }

    /// All parameters, as bits.
    fn parameters(&self) -> Vec<u32> {
        read(self.model.parameters().unwrap().values()).iter().map(|x| x.to_bits()).collect()
    }
}
