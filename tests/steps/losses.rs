//! Cross-entropy with options, in recorded steps.

use super::{Fact, draw, near, read};
use wgrad::{CrossEntropyOptions, Reduction, Step, prelude::*};
use wgrad_core::ErrorKind;
use wgrad_gpu::Gpu;

/// Loss and slopes of `[rows, classes]` logits, labels and class weights.
fn work(x: &[Tensor], options: &CrossEntropyOptions, weighted: bool) -> Result<Vec<Tensor>> {
    let weights = weighted.then(|| x[2].clone());
    let options = CrossEntropyOptions { weights, ..options.clone() };
    let x0 = x[0].requiring_grad();
    let loss = x0.cross_entropy_with(&x[1], &options)?;
    let all = if loss.rank() == 0 { loss.clone() } else { loss.sum_all()? };
    let slopes = all.backward()?.wrt(&x0)?.clone();
    Ok(vec![loss.detach(), slopes])
}

fn inputs(rows: usize, classes: usize, d: &Device) -> [Tensor; 3] {
    let label = |i: usize| if i % 4 == 1 { -1 } else { (i * 7 % classes) as i32 };
    let labels = Tensor::from_vec((0..rows).map(label).collect::<Vec<i32>>(), [rows], d).unwrap();
    let weights = draw(1, &[classes], d).try_add(1.5).unwrap();
    [draw(0, &[rows, classes], d), labels, weights]
}

pub const FACTS: &[Fact] = &[
    ("options_of_cross_entropy_cost_one_launch_at_most", |d| {
        let eight = Gpu::of(d)
            .is_some_and(|gpu| gpu.caps().software && gpu.caps().subgroups == Some((8, 8)));
        for (rows, classes) in [(9, 5), (90, 70)] {
            let x = inputs(rows, classes, d);
            let x: Vec<&Tensor> = x.iter().collect();
            let once = eight && rows * classes <= 4096;
            let check = |reduction, weighted: bool, smoothing, want: usize| {
                let ignore_index = Some(-1);
                let options =
                    CrossEntropyOptions { smoothing, ignore_index, weights: None, reduction };
                let step = Step::new(d, |x: &[Tensor]| work(x, &options, weighted));
                let report = step.report(&x).unwrap();
                let owned: Vec<Tensor> = x.iter().map(|&x| x.clone()).collect();
                for _ in 0..3 {
                    let got = step.run(&x).unwrap();
                    for (got, want) in got.iter().zip(work(&owned, &options, weighted).unwrap()) {
                        near("loss", &read(got).unwrap(), &read(&want).unwrap());
                    }
                }
                if Gpu::of(d).is_some() {
                    assert_eq!(report.dispatches, want, "{reduction:?} {weighted}: {report}");
                }
            };
            // Weighing the rows, the rows, and the sum of their losses.
            check(Reduction::Mean, false, 0.0, if once { 1 } else { 3 });
            check(Reduction::Mean, true, 0.25, if once { 1 } else { 3 });
            check(Reduction::Sum, true, 0.0, if once { 1 } else { 2 });
            // The sum, its slope and what that makes of the gradient are the test's own.
            check(Reduction::None, true, 0.25, 1 + 3);
        }
    }),
    ("a_bad_label_among_ignored_ones_is_told_with_its_value", |d| {
        let [x, good, weights] = inputs(9, 5, d);
        let options = CrossEntropyOptions { ignore_index: Some(-1), ..Default::default() };
        let step = Step::new(d, |x: &[Tensor]| work(x, &options, true));
        for value in [5, -2] {
            step.run(&[&x, &good, &weights]).unwrap()[0].item::<f32>().unwrap();
            let bad = Tensor::from_vec([0, -1, -1, value, 0, 1, 2, 3, 4], [9], d).unwrap();
            let told = step.run(&[&x, &bad, &weights]).and_then(|y| y[0].item::<f32>());
            let error = told.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Index, "{error}");
            let text = format!("cross_entropy: index {value} at position 3 lies outside 0..5");
            assert!(error.to_string().contains(&text), "{error}");
        }
        step.run(&[&x, &good, &weights]).unwrap()[0].item::<f32>().unwrap();
    }),
];
