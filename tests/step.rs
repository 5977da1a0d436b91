//! Recorded steps: what they compute, what they refuse, and what a replay costs. On the CPU and on GPUs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::{
    cell::{Cell, RefCell},
    process::ExitCode,
};
use support::{
    compare::{bits, close},
    devices::{self, Mode},
    inputs::{floats, read},
    runner, tolerance,
};
use wgrad::{Step, prelude::*};
use wgrad_gpu::Gpu;

/// A fact: its name, and the check on a device.
type Fact = (&'static str, fn(&Device));

const FACTS: &[Fact] = &[
    ("replay_equals_eager", |d| {
        let train = |recorded: bool| -> Vec<Vec<f64>> {
            let model = Mlp::with_seed(&[20, 33, 7], 3, d).unwrap();
            let adam = AdamW::new(&model, 1e-2).unwrap();
            let work = |batch: &[Tensor]| {
                let loss = model.forward(&batch[0])?.cross_entropy(&batch[1])?;
                adam.step(&loss.backward()?)?;
                Ok(vec![loss])
            };
            let step = Step::new(d, &work);
            let mut seen = Vec::new();
            for i in 0..6 {
                // The last batch is a partial one, and what changes between steps is a tensor.
                let rows = if i % 3 == 2 { 11 } else { 24 };
                let (x, labels) = batch(i, rows, 20, 7, d);
                adam.set_lr(1e-2 / (i + 1) as f64).unwrap();
                let loss = match recorded {
                    true => step.run(&[&x, &labels]).unwrap(),
                    false => work(&[x, labels]).unwrap(),
                };
                seen.push(read(&loss[0]).unwrap());
            }
            seen.push(read(model.parameters().unwrap().values()).unwrap());
            seen
        };
        for (recorded, eager) in train(true).iter().zip(train(false)) {
            near("optimizer_steps", recorded, &eager);
        }
    }),
    ("replays_repeat_to_the_bit", |d| {
        let once = || {
            d.seed(5).unwrap();
            let w = Tensor::ones([9, 5], d).unwrap();
            let step = Step::new(d, |x| {
                let noise = Tensor::normal([9, 5], 0.0, 1.0, d)?;
                let y = x[0].matmul(&w)?.try_add(&noise)?.tanh()?;
                w.assign(&y)?;
                Ok(vec![y])
            });
            let x = draw(1, &[9, 9], d);
            (0..4).map(|_| read(&step.run(&[&x]).unwrap()[0]).unwrap()).collect::<Vec<_>>()
        };
        let (first, second) = (once(), once());
        assert_ne!(first[0], first[1], "random numbers go on from run to run");
        for (a, b) in first.iter().zip(&second) {
            bits("replay", &[9, 5], a, b).unwrap();
        }
    }),
    ("chains_equal_single_operations", |d| {
        for (i, &shape) in
            [&[33, 65][..], &[4, 3, 8], &[1], &[], &[0, 5], &[129]].iter().enumerate()
        {
            let (x, y) = (draw(10, shape, d), draw(11, shape, d));
            let row = draw(12, &shape[shape.len().saturating_sub(1)..], d);
            let work = |x: &[Tensor]| {
                let a = x[0].try_mul(&x[1])?.try_add(&row)?.relu()?;
                let b = a.try_sub(0.25)?.square()?.try_add(&x[0].abs()?.try_add(1.0)?.sqrt()?)?;
                let c = b.try_div(2.0)?.sigmoid()?;
                // Read twice: it must be there by itself.
                let e = c.exp()?;
                Ok(vec![e.try_mul(&c)?, e])
            };
            let got = Step::new(d, work).run(&[&x, &y]).unwrap();
            for (got, want) in got.iter().zip(work(&[x, y]).unwrap()) {
                assert_eq!(got.shape(), want.shape(), "{i}");
                near("chain", &read(got).unwrap(), &read(&want).unwrap());
            }
        }
    }),
    ("gradients_through_a_step", |d| {
        let (x, w) = (draw(20, &[12, 9], d), draw(21, &[9, 5], d));
        let work = |x: &[Tensor]| {
            let w = x[1].requiring_grad();
            let y = x[0].matmul(&w)?.gelu()?.try_mul(3.0)?.silu()?;
            let loss = y.square()?.mean_all()?;
            Ok(vec![loss.backward()?.wrt(&w)?.clone(), loss])
        };
        let got = Step::new(d, work).run(&[&x, &w]).unwrap();
        for (got, want) in got.iter().zip(work(&[x, w]).unwrap()) {
            near("chain", &read(got).unwrap(), &read(&want).unwrap());
        }
    }),
    ("a_product_that_others_read_too", |d| {
        let (x, w, s) = (draw(22, &[12, 8], d), draw(23, &[8, 12], d), draw(24, &[12, 12], d));
        let work = |x: &[Tensor]| {
            let s = x[2].requiring_grad();
            let y = s.relu()?;
            let product = x[0].matmul(&x[1])?;
            let slope = y.backward_with(&product)?.wrt(&s)?.clone();
            Ok(vec![slope, product, y])
        };
        let got = Step::new(d, work).run(&[&x, &w, &s]).unwrap();
        for (got, want) in got.iter().zip(work(&[x, w, s]).unwrap()) {
            near("chain", &read(got).unwrap(), &read(&want).unwrap());
        }
    }),
    ("results_are_the_callers_own", |d| {
        let count = Tensor::zeros([3], d).unwrap();
        let step = Step::new(d, |_| {
            let next = count.try_add(1.0)?;
            count.assign(&next)?;
            Ok(vec![next, count.clone()])
        });
        // More than a plan has memory for by turns: those results are copied.
        let kept: Vec<Vec<Tensor>> = (0..20).map(|_| step.run(&[]).unwrap()).collect();
        for (i, results) in kept.iter().enumerate() {
            for result in results {
                assert_eq!(read(result).unwrap(), [i as f64 + 1.0; 3], "run {i}");
            }
        }
        assert_eq!(read(&count).unwrap(), [20.0; 3]);
    }),
    ("one_result_twice_and_an_input_returned", |d| {
        let step = Step::new(d, |x| {
            let y = x[0].try_add(1.0)?;
            Ok(vec![y.clone(), y.t()?, x[0].clone(), y.slice(0, 1..2)?])
        });
        let x = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], [2, 2], d).unwrap();
        let view = Tensor::from_vec([9.0f32, 1.0, 2.0, 3.0, 4.0], [5], d).unwrap();
        let view = view.slice(0, 1..5).unwrap().reshape([2, 2]).unwrap();
        for x in [&x, &view] {
            let got = step.run(&[x]).unwrap();
            assert_eq!(read(&got[0]).unwrap(), [2.0, 3.0, 4.0, 5.0]);
            assert_eq!(read(&got[1]).unwrap(), [2.0, 4.0, 3.0, 5.0]);
            assert_eq!(read(&got[2]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
            assert_eq!(read(&got[3]).unwrap(), [4.0, 5.0]);
        }
    }),
    ("inputs_that_are_results_captured_or_written", |d| {
        let state = Tensor::ones([3], d).unwrap();
        let step = Step::new(d, |x| {
            let twice = x[0].try_mul(2.0)?;
            state.assign(&twice)?;
            x[1].assign(&x[0])?; // the step's own copy
            Ok(vec![twice.try_add(&x[1])?])
        });
        let other = Tensor::zeros([3], d).unwrap();
        // The captured tensor itself is an input.
        let mut last = step.run(&[&state, &other]).unwrap().swap_remove(0);
        assert_eq!(read(&last).unwrap(), [3.0; 3]);
        assert_eq!(read(&state).unwrap(), [2.0; 3]);
        assert_eq!(read(&other).unwrap(), [0.0; 3]);
        // A result is the next run's input, again and again, and the same tensor twice.
        for power in 2..14 {
            last = step.run(&[&last, &last]).unwrap().swap_remove(0);
            assert_eq!(read(&last).unwrap(), [3f64.powi(power); 3]);
        }
    }),
    ("memory_written_and_read_in_one_operation", |d| {
        let x = draw(30, &[6], d);
        let work = |x: &[Tensor]| {
            let state = x[0].try_mul(1.0)?;
            state.slice(0, 0..3)?.assign(&state.slice(0, 3..6)?)?;
            state.slice(0, 3..6)?.assign(&state.slice(0, 1..4)?.try_add(1.0)?)?;
            Ok(vec![state])
        };
        let got = Step::new(d, work).run(&[&x]).unwrap();
        bits("assign", &[6], &read(&got[0]).unwrap(), &read(&work(&[x]).unwrap()[0]).unwrap())
            .unwrap();
    }),
    ("a_chain_does_not_read_what_changed_meanwhile", |d| {
        let state = Tensor::ones([5], d).unwrap();
        let step = Step::new(d, |_| {
            let before = state.try_mul(10.0)?;
            state.assign(&Tensor::zeros([5], d)?)?;
            Ok(vec![before.try_add(1.0)?])
        });
        assert_eq!(read(&step.run(&[]).unwrap()[0]).unwrap(), [11.0; 5]);
        assert_eq!(read(&step.run(&[]).unwrap()[0]).unwrap(), [1.0; 5]);
    }),
    ("a_number_that_changes_is_found_with_its_line", |d| {
        let rate = Cell::new(0.5);
        let step = Step::new(d, |x| Ok(vec![x[0].try_mul(rate.get())?]));
        let x = Tensor::ones([2], d).unwrap();
        assert_eq!(read(&step.run(&[&x]).unwrap()[0]).unwrap(), [0.5; 2]);
        rate.set(0.25);
        let error = step.run(&[&x]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Graph, "{error}");
        assert!(error.message().contains("0.5") && error.message().contains("0.25"), "{error}");
        assert!(error.location().file().ends_with("step.rs"), "{error}");
    }),
    ("another_captured_tensor_is_found", |d| {
        let other = RefCell::new(Tensor::ones([2], d).unwrap());
        let step = Step::new(d, |x| Ok(vec![x[0].try_mul(&*other.borrow())?]));
        let x = Tensor::ones([2], d).unwrap();
        step.run(&[&x]).unwrap();
        other.replace(Tensor::zeros([2], d).unwrap());
        let error = step.run(&[&x]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Graph, "{error}");
        assert!(error.message().contains("another tensor"), "{error}");
    }),
    ("nothing_is_read_or_uploaded_inside", |d| {
        let x = Tensor::ones([2], d).unwrap();
        let refused = |work: &dyn Fn(&Tensor) -> Result<Tensor>| {
            let error = Step::new(d, |x| Ok(vec![work(&x[0])?])).run(&[&x]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Graph, "{error}");
        };
        refused(&|x| x.try_mul(f64::from(x.item::<f32>()?) as f32));
        refused(&|x| x.try_add(&Tensor::from_vec([1.0f32, 2.0], [2], d)?));
        refused(&|x| {
            d.seed(1)?;
            Ok(x.clone())
        });
        // The device still works, and so does a step.
        let fine = Step::new(d, |x| Ok(vec![x[0].try_add(1.0)?]));
        assert_eq!(read(&fine.run(&[&x]).unwrap()[0]).unwrap(), [2.0; 2]);
    }),
    ("what_is_made_inside_does_not_escape", |d| {
        let stolen = RefCell::new(None);
        let step = Step::new(d, |x| {
            let y = x[0].try_add(1.0)?;
            stolen.replace(Some(y.clone()));
            Ok(vec![y])
        });
        let x = Tensor::ones([2], d).unwrap();
        step.run(&[&x]).unwrap();
        let stolen = stolen.borrow().clone().unwrap();
        for error in
            [stolen.to_vec::<f32>().unwrap_err(), stolen.try_add(1.0).map(|_| ()).unwrap_err()]
        {
            assert_eq!(error.kind(), ErrorKind::Graph, "{error}");
            assert!(error.message().contains("return it"), "{error}");
        }
    }),
    ("an_error_inside_changes_nothing", |d| {
        let state = Tensor::ones([2], d).unwrap();
        let step = Step::new(d, |x| {
            state.assign(&state.try_add(1.0)?)?;
            Ok(vec![state.try_add(&x[0])?])
        });
        let bad = Tensor::ones([3], d).unwrap();
        assert_eq!(step.run(&[&bad]).unwrap_err().kind(), ErrorKind::Shape);
        assert_eq!(read(&state).unwrap(), [1.0; 2]);
        let good = Tensor::ones([2], d).unwrap();
        assert_eq!(read(&step.run(&[&good]).unwrap()[0]).unwrap(), [3.0; 2]);
    }),
    ("a_panic_inside_leaves_no_recording", |d| {
        let step = Step::new(d, |_| panic!("on purpose"));
        let run = std::panic::AssertUnwindSafe(|| step.run(&[]).map(|_| ()));
        assert!(std::panic::catch_unwind(run).is_err());
        let x = Tensor::from_vec([1.0f32], [1], d).unwrap();
        assert_eq!(x.try_add(1.0).unwrap().item::<f32>().unwrap(), 2.0);
        assert!(Step::new(d, |x| Ok(vec![x[0].clone()])).run(&[&x]).is_ok());
    }),
    ("steps_within_steps_and_other_devices_are_refused", |d| {
        let x = Tensor::ones([2], d).unwrap();
        let inner = Step::new(d, |x| Ok(vec![x[0].try_add(1.0)?]));
        let outer = Step::new(d, |x| inner.run(&[&x[0]]));
        assert_eq!(outer.run(&[&x]).unwrap_err().kind(), ErrorKind::Graph);
        let other = Device::new(Box::new(wgrad_core::cpu::Cpu::new()));
        let far = Tensor::ones([2], &other).unwrap();
        assert_eq!(inner.run(&[&far]).unwrap_err().kind(), ErrorKind::Device);
        let elsewhere = Step::new(d, |_| Ok(vec![Tensor::ones([2], &other)?]));
        assert_eq!(elsewhere.run(&[]).unwrap_err().kind(), ErrorKind::Device);
    }),
    ("backward_over_a_value_that_a_step_changed_is_refused", |d| {
        let model = Mlp::new(&[4, 3], d).unwrap();
        let sgd = Sgd::new(&model, 0.1).unwrap();
        let (x, labels) = batch(0, 5, 4, 3, d);
        let loss = |x: &Tensor, y: &Tensor| model.forward(x)?.cross_entropy(y);
        let step = Step::new(d, |b| {
            let loss = loss(&b[0], &b[1])?;
            sgd.step(&loss.backward()?)?;
            Ok(vec![loss])
        });
        step.run(&[&x, &labels]).unwrap();
        step.run(&[&x, &labels]).unwrap();
        let before = loss(&x.requiring_grad(), &labels).unwrap();
        step.run(&[&x, &labels]).unwrap();
        assert_eq!(before.backward().map(|_| ()).unwrap_err().kind(), ErrorKind::Graph);
    }),
    ("a_bad_label_is_told_and_stays_out_of_the_parameters", |d| {
        let model = Mlp::new(&[4, 3], d).unwrap();
        let sgd = Sgd::new(&model, 0.1).unwrap();
        let step = Step::new(d, |b| {
            let loss = model.forward(&b[0])?.cross_entropy(&b[1])?;
            sgd.step(&loss.backward()?)?;
            Ok(vec![loss])
        });
        let (x, good) = batch(0, 5, 4, 3, d);
        let all = model.parameters().unwrap();
        for round in 0..3 {
            step.run(&[&x, &good]).unwrap()[0].item::<f32>().unwrap();
            let before = read(all.values()).unwrap();
            let bad = Tensor::from_vec([0i32, 1, 2, 7 + round, 0], [5], d).unwrap();
            // On the CPU the run itself tells, on a GPU the next read.
            let told = step.run(&[&x, &bad]).and_then(|loss| {
                let later = step.run(&[&x, &good])?;
                loss[0].item::<f32>()?;
                Ok(later)
            });
            let error = told.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Index, "{error}");
            let text = format!("index {} at position 3 lies outside 0..3", 7 + round);
            assert!(error.message().contains(&text), "{error}");
            assert!(error.location().file().ends_with("step.rs"), "{error}");
            if d.info().kind != DeviceKind::Cpu {
                bits("parameters", &[15], &read(all.values()).unwrap(), &before).unwrap();
            }
        }
    }),
    ("a_bad_index_made_inside_is_told", |d| {
        let table = draw(40, &[5, 3], d);
        let step = Step::new(d, |x| {
            let index = x[0].cast(DType::I32)?;
            let rows = table.gather(&index)?;
            // As large as the index, so that its memory would be taken if it were free.
            let mut other = x[0].clone();
            for _ in 0..4 {
                other = other.softmax(0)?;
            }
            Ok(vec![rows, other])
        });
        let good = Tensor::from_vec([0.0f32, 4.0], [2], d).unwrap();
        let bad = Tensor::from_vec([0.0f32, 9.0], [2], d).unwrap();
        assert!(step.run(&[&good]).unwrap()[0].to_vec::<f32>().is_ok());
        let told = step.run(&[&bad]).and_then(|y| {
            step.run(&[&good])?; // overwrites the step's own memory
            y[0].to_vec::<f32>()
        });
        let error = told.unwrap_err();
        assert!(error.message().contains("index 9 at position 1"), "{error}");
    }),
    ("a_two_layer_step_is_few_dispatches_and_one_submit", |d| {
        let (step, inputs) = small_step(d);
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let report = step(&inputs).1;
        assert_eq!(report.operations, 10, "{report}");
        assert!(report.dispatches <= 12, "{report}");
        assert!(report.bytes <= report.bytes_unshared, "{report}");
        let Some(gpu) = Gpu::of(d) else { return };
        step(&inputs).0.item::<f32>().unwrap();
        let before = gpu.counts();
        let memory = d.memory();
        for _ in 0..5 {
            step(&inputs).0.item::<f32>().unwrap();
        }
        let after = gpu.counts();
        assert_eq!(after.submits - before.submits, 5, "with the read of the loss");
        assert_eq!(after.dispatches - before.dispatches, 5 * report.dispatches as u64);
        assert_eq!((after.pipelines, after.uploads), (before.pipelines, before.uploads));
        assert_eq!(d.memory().in_use(), memory.in_use());
        assert_eq!(d.memory().peak, memory.peak);
    }),
    ("a_step_costs_what_it_did", |d| {
        let Some(gpu) = Gpu::of(d) else { return };
        let (software, eight) = (gpu.caps().software, gpu.caps().subgroups == Some((8, 8)));
        for cost in COSTS.iter().filter(|cost| cost.software == software) {
            let report = plan_of(cost.sizes, cost.batch, d);
            if software && !eight {
                // The loss takes a second launch there.
                assert_eq!(report.dispatches, cost.numbers[0] + 1, "{:?}: {report}", cost.sizes);
                continue;
            }
            let got = [report.dispatches, report.pipelines, report.bytes_moved, report.bytes];
            assert_eq!(got, cost.numbers, "{:?}: {report}", cost.sizes);
            assert_eq!(report.submits, 1, "{:?}: {report}", cost.sizes);
        }
    }),
    ("plans_are_few_and_the_oldest_goes", |d| {
        let step = Step::new(d, |x| Ok(vec![x[0].try_add(1.0)?.sum_all()?]));
        for round in 0..2 {
            for n in 1..12usize {
                let sum = step.run(&[&Tensor::ones([n], d).unwrap()]).unwrap();
                assert_eq!(read(&sum[0]).unwrap(), [2.0 * n as f64], "{round}");
            }
        }
        assert!(format!("{step:?}").contains("8 plans"), "{step:?}");
    }),
    ("half_precision_results_at_odd_places", |d| {
        let outside = draw(51, &[7], d).cast(DType::F16).unwrap();
        let step = Step::new(d, |x| {
            let sum = x[0].try_add(&x[0])?;
            Ok(vec![x[0].slice(0, 1..3)?, outside.slice(0, 3..6)?, sum.slice(0, 1..4)?, sum])
        });
        for _ in 0..2 {
            let got = step.run(&[&outside]).unwrap();
            let all = read(&outside).unwrap();
            assert_eq!(read(&got[0]).unwrap(), all[1..3]);
            assert_eq!(read(&got[1]).unwrap(), all[3..6]);
            assert_eq!(read(&got[2]).unwrap(), read(&got[3]).unwrap()[1..4]);
        }
    }),
    ("chains_with_more_numbers_than_one_kernel_takes", |d| {
        let work = |x: &[Tensor]| {
            let at = x[0].requiring_grad();
            let mut y = at.clone();
            for i in 0..5u8 {
                let i = f32::from(i);
                y = y.try_mul(1.0 + i / 8.0)?.leaky_relu(0.1 + i / 16.0)?;
            }
            Ok(vec![y.backward_with(&x[1])?.wrt(&at)?.clone()])
        };
        let (x, g) = (draw(1, &[16], d), draw(2, &[16], d));
        let got = Step::new(d, work).run(&[&x, &g]).unwrap();
        near("chain", &read(&got[0]).unwrap(), &read(&work(&[x, g]).unwrap()[0]).unwrap());
    }),
    ("results_take_no_more_memory_than_they_need", |d| {
        let step = Step::new(d, |x| {
            let y = x[0].try_mul(2.0)?.softmax(0)?.softmax(0)?;
            Ok(vec![y.softmax(0)?.sum_all()?])
        });
        let x = draw(1, &[1 << 16], d);
        step.run(&[&x]).unwrap();
        step.run(&[&x]).unwrap();
        let before = d.memory().in_use();
        let kept: Vec<_> = (0..50).map(|_| step.run(&[&x]).unwrap()).collect();
        let more = d.memory().in_use() - before;
        assert!(more < kept.len() * 4096, "{more} bytes for {} numbers", kept.len());
    }),
    ("what_did_not_run_changed_nothing", |d| {
        let w = draw(1, &[3], d).requiring_grad();
        let values = w.detach();
        let y = w.square().unwrap().sum_all().unwrap();
        let step = Step::new(d, |x| {
            values.assign(&values.try_add(1.0)?)?;
            Ok(vec![values.try_add(&x[0])?])
        });
        step.report(&[&Tensor::ones([3], d).unwrap()]).unwrap();
        assert!(step.run(&[&Tensor::ones([2], d).unwrap()]).is_err());
        assert!(y.backward().is_ok(), "a report and an error");
        step.run(&[&Tensor::ones([3], d).unwrap()]).unwrap();
        assert_eq!(y.backward().map(|_| ()).unwrap_err().kind(), ErrorKind::Graph);
        // Inside a step the same check holds while it is recorded.
        let step = Step::new(d, |_| {
            let y = w.square()?.sum_all()?;
            values.assign(&values.try_add(1.0)?)?;
            Ok(vec![y.backward()?.wrt(&w)?.clone()])
        });
        assert_eq!(step.run(&[]).unwrap_err().kind(), ErrorKind::Graph);
    }),
    ("a_bad_index_in_an_input_that_was_written_is_told", |d| {
        let table = draw(40, &[5, 3], d);
        let bad = Tensor::from_vec([1i32, 9], [2], d).unwrap();
        let step = Step::new(d, |x| {
            x[0].assign(&bad)?;
            Ok(vec![table.gather(&x[0])?])
        });
        let good = Tensor::from_vec([0i32, 4], [2], d).unwrap();
        let told = step.run(&[&good]).and_then(|y| y[0].to_vec::<f32>());
        let error = told.unwrap_err();
        assert!(error.message().contains("index 9 at position 1"), "{error}");
    }),
    ("half_precision_inputs_at_odd_places", |d| {
        let all = draw(50, &[7], d).cast(DType::F16).unwrap();
        let step = Step::new(d, |x| Ok(vec![x[0].try_add(&x[0])?]));
        for from in 0..3 {
            let x = all.slice(0, from..from + 3).unwrap();
            let got = step.run(&[&x]).unwrap();
            let want = x.try_add(&x).unwrap();
            bits("half", &[3], &read(&got[0]).unwrap(), &read(&want).unwrap()).unwrap();
        }
    }),
];

/// What a training step (cross-entropy, SGD) may cost: numbers that depend on no clock. Whoever changes one says why.
struct Cost {
    sizes: &'static [usize],
    batch: usize,
    software: bool,
    /// Dispatches, pipelines, bytes read and written by all launches, bytes of the temporaries.
    numbers: [usize; 4],
}

#[rustfmt::skip]
const COSTS: &[Cost] = &[
    Cost { sizes: &[784, 512, 512, 10], batch: 256, software: true, numbers: [14, 7, 23_403_732, 4_775_976] },
    Cost { sizes: &[784, 512, 512, 10], batch: 256, software: false, numbers: [15, 11, 21_359_828, 4_272_168] },
    Cost { sizes: &[64, 128, 10], batch: 64, software: true, numbers: [7, 4, 401_364, 106_536] },
    Cost { sizes: &[64, 128, 10], batch: 64, software: false, numbers: [10, 8, 437_204, 106_536] },
];

fn plan_of(sizes: &[usize], rows: usize, d: &Device) -> wgrad::PlanReport {
    let model = Mlp::new(sizes, d).unwrap();
    let sgd = Sgd::new(&model, 0.01).unwrap();
    let step = Step::new(d, |b| {
        let loss = model.forward(&b[0])?.cross_entropy(&b[1])?;
        sgd.step(&loss.backward()?)?;
        Ok(vec![loss])
    });
    let (x, labels) = batch(0, rows, sizes[0], 10, d);
    step.report(&[&x, &labels]).unwrap()
}

/// Runs a small training step: the loss, and the plan's numbers.
type Train<'d> = Box<dyn Fn(&[&Tensor]) -> (Tensor, wgrad::PlanReport) + 'd>;

fn small_step(d: &Device) -> (Train<'_>, [Tensor; 2]) {
    let model = Mlp::new(&[64, 128, 10], d).unwrap();
    let sgd = Sgd::new(&model, 0.01).unwrap();
    let step = Step::new(d, move |b| {
        let loss = model.forward(&b[0])?.cross_entropy(&b[1])?;
        sgd.step(&loss.backward()?)?;
        Ok(vec![loss])
    });
    let (x, labels) = batch(0, 64, 64, 10, d);
    let train = move |inputs: &[&Tensor]| {
        let report = step.report(inputs).unwrap();
        (step.run(inputs).unwrap().swap_remove(0), report)
    };
    (Box::new(train), [x, labels])
}

fn batch(seed: u64, rows: usize, inputs: usize, classes: usize, d: &Device) -> (Tensor, Tensor) {
    let labels: Vec<i32> = (0..rows).map(|i| (i * 5 % classes) as i32).collect();
    (draw(seed, &[rows, inputs], d), Tensor::from_vec(labels, [rows], d).unwrap())
}

/// Numbers from [-1, 1).
fn draw(seed: u64, shape: &[usize], d: &Device) -> Tensor {
    let input = floats(shape, -1.0, 1.0);
    input.tensor(&input.values(seed, false), DType::F32, d).unwrap()
}

#[track_caller]
fn near(op: &str, got: &[f64], want: &[f64]) {
    let bound = |i: usize| tolerance::of(op).bound(want[i], &tolerance::PLAIN);
    close(op, &[want.len()], got, want, bound).unwrap();
}

fn main() -> ExitCode {
    runner::main(|suite| {
        for (name, fact) in FACTS {
            suite.cpu(format!("{name}::cpu"), move || {
                // A device of its own: the memory of the process-wide one is other tests' too.
                fact(&Device::new(Box::new(wgrad_core::cpu::Cpu::new())));
                Ok(())
            });
            let forced = name.contains("replay_equals") || name.contains("gradients");
            let mut modes = vec![Mode::Software, Mode::Hardware];
            if forced {
                modes.extend(devices::matmul_variants().into_iter().map(Mode::MatMul));
            }
            for mode in modes {
                suite.gpu(format!("{name}::{mode}"), move || {
                    let opened = devices::device(mode).map_err(|e| e.to_string())?;
                    let _turn = opened.turn();
                    fact(&opened.device);
                    Ok(())
                });
            }
        }
    })
}
