//! Recorded steps: what they compute, what they refuse, and what a replay costs. On the CPU and on GPUs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "steps/chains.rs"]
mod chains;
#[path = "steps/layers.rs"]
mod layers;
#[path = "steps/losses.rs"]
mod losses;
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
use wgrad_gpu::{Caps, Gpu, MatMulVariant};

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
    ("a_cast_to_halves_is_always_done", |d| {
        // Rounded to f16 and back: 1.0001 becomes 1, and what is too large infinite.
        let step = Step::new(d, |x| {
            let half = x[0].try_mul(2.0)?.cast(DType::F16)?;
            Ok(vec![half.try_mul(0.5)?.cast(DType::F32)?, half.cast(DType::F32)?.sum([0])?])
        });
        let x = Tensor::from_vec([1.0001f32, 4e4, -3.0], [3], d).unwrap();
        let got = step.run(&[&x]).unwrap();
        assert_eq!(read(&got[0]).unwrap(), [1.0, f64::INFINITY, -3.0]);
        assert_eq!(read(&got[1]).unwrap(), [f64::INFINITY]);
        // Also where the halves have one reader, which could take in what makes them.
        let step = Step::new(d, |x| {
            let half = || x[0].try_mul(2.0)?.cast(DType::F16);
            let sum = half()?.cast(DType::F32)?.sum([0])?;
            let large = x[1].try_mul(2.0)?.cast(DType::F16)?.try_mul(0.5)?;
            Ok(vec![half()?.cast(DType::F32)?.try_mul(0.5)?, sum, large.cast(DType::F32)?])
        });
        let x = Tensor::from_vec([1.0001f32, 1.0001, -3.0], [3], d).unwrap();
        let large = Tensor::from_vec([1.0001f32, 4e4, -3.0], [3], d).unwrap();
        let got = step.run(&[&x, &large]).unwrap();
        assert_eq!(read(&got[0]).unwrap(), [1.0, 1.0, -3.0]);
        assert_eq!(read(&got[1]).unwrap(), [-2.0]);
        assert_eq!(read(&got[2]).unwrap(), [1.0, f64::INFINITY, -3.0]);
    }),
    ("a_step_in_evaluation_has_a_plan_of_its_own", |d| {
        let drop = Dropout::new(0.5).unwrap();
        let step = Step::new(d, |x| Ok(vec![drop.forward(&x[0])?]));
        let x = Tensor::ones([64], d).unwrap();
        for _ in 0..3 {
            let trained = read(&step.run(&[&x]).unwrap()[0]).unwrap();
            assert!(trained.contains(&0.0) && trained.contains(&2.0), "{trained:?}");
            let tested = read(&eval(|| step.run(&[&x])).unwrap()[0]).unwrap();
            assert_eq!(tested, [1.0; 64]);
            // Evaluation asks for no gradients; training without them is something else.
            let trained = read(&no_grad(|| step.run(&[&x])).unwrap()[0]).unwrap();
            assert!(trained.contains(&0.0) && trained.contains(&2.0), "{trained:?}");
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
    ("attention_and_recurrence_recorded", |d| {
        // Ids to vectors, a causal block and a recurrent layer, to logits: as a small language model.
        struct Net(Embedding, Positions, TransformerBlock, Lstm, Linear);
        impl Module for Net {
            fn visit(&self, v: &mut Visitor) {
                v.field("a", &self.0);
                v.field("b", &self.1);
                v.field("c", &self.2);
                v.field("d", &self.3);
                v.field("e", &self.4);
            }
        }
        let train = |recorded: bool| -> Vec<Vec<f64>> {
            let mut init = Init::new(3);
            let net = Net(
                Embedding::with_padding(11, 8, 0, &mut init).unwrap(),
                Positions::learned(6, 8, &mut init).unwrap(),
                TransformerBlock::new(8, 2, 16, &mut init).unwrap().causal(),
                Lstm::new(8, 8, 1, &mut init).unwrap().batch_first(),
                Linear::new(8, 11, &mut init).unwrap(),
            );
            let net = net.on(d).unwrap();
            let sgd = Sgd::new(&net, 0.1).unwrap();
            let work = |ids: &[Tensor]| {
                let x = net.1.forward(&net.0.forward(&ids[0])?)?;
                let logits = net.4.forward(&net.3.forward(&net.2.forward(&x)?)?)?;
                let loss = logits.cross_entropy(&ids[1])?;
                sgd.step(&loss.backward()?)?;
                Ok(vec![loss])
            };
            let step = Step::new(d, work);
            let mut seen = Vec::new();
            for i in 0..4 {
                let ids = |shift: usize| -> Tensor {
                    let ids: Vec<i32> =
                        (0..18).map(|k| ((k * 7 + i + shift) % 11) as i32).collect();
                    Tensor::from_vec(ids, [3, 6], d).unwrap()
                };
                let (x, next) = (ids(0), ids(1));
                let loss = match recorded {
                    true => step.run(&[&x, &next]).unwrap(),
                    false => work(&[x, next]).unwrap(),
                };
                seen.push(read(&loss[0]).unwrap());
            }
            assert!(seen[3][0] < seen[0][0], "{seen:?}");
            seen.push(read(net.parameters().unwrap().values()).unwrap());
            seen
        };
        for (recorded, eager) in train(true).iter().zip(train(false)) {
            near("optimizer_steps", recorded, &eager);
        }
    }),
    ("products_take_in_what_follows", |d| {
        let (x, w, b, c) = (
            draw(1, &[20, 12], d),
            draw(2, &[12, 36], d),
            draw(3, &[36], d),
            draw(4, &[20, 36], d),
        );
        let inputs = [&x, &w, &b, &c];
        type Body<'b> = &'b dyn Fn(&[Tensor]) -> Result<Vec<Tensor>>;
        // Dispatches beyond the product's own: where every operation is text, and where it must be a number.
        let count = |body: Body, [text, number]: [usize; 2]| {
            let plain = |x: &[Tensor]| Ok(vec![x[0].matmul(&x[1])?]);
            let product = Step::new(d, plain).report(&inputs).unwrap().dispatches;
            let step = Step::new(d, body);
            let report = step.report(&inputs).unwrap();
            let got = step.run(&inputs).unwrap();
            let owned: Vec<Tensor> = inputs.iter().map(|&x| x.clone()).collect();
            for (got, want) in got.iter().zip(body(&owned).unwrap()) {
                if !coarse(d) {
                    near("chain", &read(got).unwrap(), &read(&want).unwrap());
                }
            }
            let Some(gpu) = Gpu::of(d) else { return };
            // The yardstick has no epilogue; the small register tile takes its place, in one launch too.
            let more = if lanes(gpu.caps()) { number } else { text };
            assert_eq!(report.dispatches, product + more, "{report}");
        };
        let product = |x: &[Tensor]| x[0].matmul(&x[1]);
        count(&|x| Ok(vec![product(x)?.try_add(&x[2])?.relu()?]), [0, 0]);
        count(&|x| Ok(vec![product(x)?.try_mul(0.5)?]), [0, 0]);
        count(&|x| Ok(vec![x[3].try_add(&product(x)?)?]), [0, 0]);
        count(&|x| Ok(vec![product(x)?.try_add(&x[2])?.try_add(&x[3])?.relu()?]), [0, 0]);
        count(&|x| Ok(vec![x[0].linear(&x[1].t()?, Some(&x[2]), None)?.try_add(&x[3])?]), [0, 0]);
        count(&|x| Ok(vec![product(x)?.try_add(&x[2])?.gelu()?]), [0, 1]);
        count(&|x| Ok(vec![product(x)?.try_add(&x[2])?.try_mul(2.0)?]), [0, 1]);
        // A sum of two products, of which the second waits for the first.
        let sum =
            |x: &[Tensor]| Ok(vec![x[0].matmul(&x[1])?.try_add(&x[0].softmax(1)?.matmul(&x[1])?)?]);
        count(&sum, [1 + launches(d), 1 + launches(d)]);
        // Somebody else reads the product, or the step returns it: it must be there by itself.
        let kept = |x: &[Tensor]| {
            let z = product(x)?;
            Ok(vec![z.try_add(&x[2])?, z])
        };
        count(&kept, [1, 1]);
        let twice = |x: &[Tensor]| {
            let z = product(x)?;
            Ok(vec![z.try_add(&x[2])?.try_mul(&z.softmax(1)?)?])
        };
        count(&twice, [2, 2]);
        // One of its parts only, and a product of another shape than what follows.
        count(&|x| Ok(vec![product(x)?.slice(0, 1..5)?.try_mul(2.0)?]), [1, 1]);
        count(&|x| Ok(vec![product(x)?.t()?.try_mul(2.0)?]), [1, 1]);
    }),
    ("a_product_joined_later_reads_what_it_did", |d| {
        let (w, c) = (draw(2, &[12, 36], d), draw(4, &[20, 36], d));
        let work = |state: &Tensor, change: bool| {
            let z = state.matmul(&w)?;
            if change {
                state.assign(&Tensor::zeros([20, 12], d)?)?;
            }
            // Made after the change, so that the product would have to move behind it.
            Ok(vec![z.try_add(&c.softmax(1)?)?])
        };
        let state = draw(1, &[20, 12], d);
        let want = read(&work(&state, false).unwrap()[0]).unwrap();
        let got = Step::new(d, |_| work(&state, true)).run(&[]).unwrap();
        if !coarse(d) {
            near("chain", &read(&got[0]).unwrap(), &want);
        }
        assert_eq!(read(&state).unwrap(), [0.0; 240]);
    }),
    ("a_layer_by_hand_costs_what_linear_costs", |d| {
        let (w, b) = (draw(2, &[12, 36], d).requiring_grad(), draw(3, &[36], d).requiring_grad());
        let w_turned = draw(2, &[36, 12], d).requiring_grad();
        let (x, c) = (draw(1, &[20, 12], d), draw(4, &[20, 36], d));
        let dispatches = |y: &dyn Fn(&Tensor) -> Result<Tensor>, w: &Tensor| {
            let step = Step::new(d, |x| {
                let y = y(&x[0])?;
                let gradients = y.backward_with(&x[1])?;
                Ok(vec![gradients.wrt(w)?.clone(), gradients.wrt(&b)?.clone(), y])
            });
            step.report(&[&x, &c]).unwrap().dispatches
        };
        let relu = Some(wgrad_core::ops::linear::FusedActivation::Relu);
        let linear = dispatches(&|x| x.linear(&w_turned, Some(&b), relu), &w_turned);
        let hand = dispatches(&|x| x.matmul(&w)?.try_add(&b)?.relu(), &w);
        let turned = dispatches(&|x| x.matmul(&w_turned.t()?)?.try_add(&b)?.relu(), &w_turned);
        let Some(gpu) = Gpu::of(d) else { return };
        assert_eq!((linear, turned), if gpu.caps().software { (3, 3) } else { (4, 4) });
        // With weights the other way round, the bias's gradient is the sum of B's columns, not of A's rows.
        assert_eq!(hand, 4);
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
    ("a_trim_between_runs_takes_nothing_that_is_needed", |d| {
        let step = Step::new(d, |x| Ok(vec![x[0].try_add(1.0)?.matmul(&x[0])?]));
        let run = |i: usize| {
            let x = Tensor::full([4, 4], i as f64, DType::F32, d).unwrap();
            step.run(&[&x]).unwrap().swap_remove(0)
        };
        let kept: Vec<Tensor> = (0..6)
            .map(|i| {
                let y = run(i);
                d.trim();
                y
            })
            .collect();
        for (i, y) in kept.iter().enumerate() {
            assert_eq!(read(y).unwrap(), [(4 * i * (i + 1)) as f64; 16], "run {i}");
        }
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
    ("a_reduction_takes_in_what_feeds_it", |d| {
        let (x, y) = (draw(1, &[20, 36], d), draw(2, &[20, 36], d));
        let count = |body: &dyn Fn(&[Tensor]) -> Result<Vec<Tensor>>, want: usize| {
            let step = Step::new(d, body);
            let report = step.report(&[&x, &y]).unwrap();
            let got = step.run(&[&x, &y]).unwrap();
            for (got, want) in got.iter().zip(body(&[x.clone(), y.clone()]).unwrap()) {
                near("chain", &read(got).unwrap(), &read(&want).unwrap());
            }
            if Gpu::of(d).is_some() {
                assert_eq!(report.dispatches, want, "{report}");
            }
        };
        count(&|x| Ok(vec![x[0].mse(&x[1])?]), 1);
        count(&|x| Ok(vec![x[0].abs()?.sum([0])?]), 1);
        count(&|x| Ok(vec![x[0].try_mul(2.0)?.try_sub(&x[1])?.max([1])?]), 1);
        // Somebody else reads what is reduced, or the step returns it, or it is another view of it.
        let kept = |x: &[Tensor]| {
            let square = x[0].square()?;
            Ok(vec![square.sum([0])?, square])
        };
        count(&kept, 2);
        let twice = |x: &[Tensor]| {
            let square = x[0].square()?;
            Ok(vec![square.sum([0])?, square.sum([1])?])
        };
        count(&twice, 3);
        count(&|x| Ok(vec![x[0].square()?.slice(0, 1..5)?.sum([0])?]), 2);
        // What goes on with the result.
        count(&|x| Ok(vec![x[0].var([1], 1)?.sqrt()?, x[1].sum([0])?.try_mul(2.0)?]), 3);
        let result_kept = |x: &[Tensor]| {
            let sum = x[0].sum([0])?;
            Ok(vec![sum.try_mul(2.0)?, sum])
        };
        count(&result_kept, 2);
    }),
    ("a_reduction_does_not_read_what_changed_meanwhile", |d| {
        let state = Tensor::ones([5], d).unwrap();
        let step = Step::new(d, |_| {
            let before = state.try_mul(10.0)?;
            state.assign(&Tensor::zeros([5], d)?)?;
            Ok(vec![before.sum_all()?])
        });
        assert_eq!(read(&step.run(&[]).unwrap()[0]).unwrap(), [50.0]);
        assert_eq!(read(&step.run(&[]).unwrap()[0]).unwrap(), [0.0]);
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
    ("a_small_convolutional_net_trains", |d| {
        let train = |recorded: bool| -> (Vec<Vec<f64>>, usize) {
            let mut init = Init::new(3);
            let (one, two, dense) = (
                Conv2d::new(1, 6, 3, &mut init).unwrap().padding(1),
                Conv2d::new(6, 9, 3, &mut init).unwrap().stride(2).unwrap(),
                Linear::new(9, 4, &mut init).unwrap(),
            );
            let net = Sequential::new()
                .then(one)
                .then(Activation::Relu)
                .then(MaxPool2d::new(2).unwrap())
                .then(two)
                .then(Activation::Relu)
                .then(AdaptiveAvgPool2d::new(1).unwrap())
                .then(Flatten)
                .then(dense)
                .on(d)
                .unwrap();
            let sgd = Sgd::new(&net, 0.3).unwrap().momentum(0.9).unwrap();
            let work = |batch: &[Tensor]| {
                let loss = net.forward(&batch[0])?.cross_entropy(&batch[1])?;
                sgd.step(&loss.backward()?)?;
                Ok(vec![loss])
            };
            // Four kinds of stripes, which a filter of 3 x 3 can tell apart.
            let (n, side) = (16, 10);
            let stripes: Vec<f32> = (0..n * side * side)
                .map(|i| {
                    let (kind, row, column) = (i / (side * side) % 4, i / side % side, i % side);
                    let phase = [row, column, row + column, row + side - column][kind];
                    if phase % 3 == 0 { 1.0 } else { 0.0 }
                })
                .collect();
            let x = Tensor::from_vec(stripes, [n, 1, side, side], d).unwrap();
            let labels: Vec<i32> = (0..n as i32).map(|i| i % 4).collect();
            let labels = Tensor::from_vec(labels, [n], d).unwrap();
            let step = Step::new(d, &work);
            let mut seen = Vec::new();
            for _ in 0..30 {
                let loss = match recorded {
                    true => step.run(&[&x, &labels]).unwrap(),
                    false => work(&[x.clone(), labels.clone()]).unwrap(),
                };
                seen.push(read(&loss[0]).unwrap());
            }
            let dispatches =
                if recorded { step.report(&[&x, &labels]).unwrap().dispatches } else { 0 };
            (seen, dispatches)
        };
        let ((recorded, dispatches), (eager, _)) = (train(true), train(false));
        let last = recorded.last().unwrap()[0];
        assert!(last < 0.2 * recorded[0][0], "the loss went from {} to {last}", recorded[0][0]);
        // The first steps; later ones spread what rounding began.
        for (recorded, eager) in recorded.iter().zip(eager).take(5) {
            near("optimizer_steps", recorded, &eager);
        }
        if let Some(gpu) = Gpu::of(d) {
            let (software, eight) = (gpu.caps().software, gpu.caps().subgroups == Some((8, 8)));
            // The loss takes a second launch without subgroups of 8; software adapters pack operands.
            let want = if !software { 24 } else { 30 + usize::from(!eight) };
            assert_eq!(dispatches, want);
        }
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
    Cost { sizes: &[784, 512, 512, 10], batch: 256, software: true, numbers: [14, 7, 23_403_732, 4_786_216] },
    Cost { sizes: &[784, 512, 512, 10], batch: 256, software: false, numbers: [15, 12, 21_359_828, 4_261_928] },
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

/// Whether products round their operands to f16.
fn coarse(d: &Device) -> bool {
    Gpu::of(d).is_some_and(|gpu| {
        matches!(gpu.caps().force_matmul, Some(MatMulVariant::Cooperative { .. }))
    })
}

/// Launches of a product.
fn launches(d: &Device) -> usize {
    let forced = Gpu::of(d).and_then(|gpu| gpu.caps().force_matmul);
    match forced {
        Some(
            MatMulVariant::Registers { parts, .. }
            | MatMulVariant::Thin { parts }
            | MatMulVariant::Cooperative { parts, .. },
        ) if parts > 1 => 2,
        _ => 1,
    }
}

/// Whether products are `matmul_lanes`.
fn lanes(caps: &Caps) -> bool {
    match caps.force_matmul {
        Some(forced) => matches!(forced, MatMulVariant::Lanes { .. }),
        None => caps.software,
    }
}

#[track_caller]
fn near(op: &str, got: &[f64], want: &[f64]) {
    let bound = |i: usize| tolerance::of(op).bound(want[i], &tolerance::PLAIN);
    close(op, &[want.len()], got, want, bound).unwrap();
}

fn main() -> ExitCode {
    runner::main(|suite| {
        let more = chains::FACTS.iter().chain(layers::FACTS).chain(losses::FACTS);
        for (name, fact) in FACTS.iter().chain(more) {
            suite.cpu(format!("{name}::cpu"), move || {
                // A device of its own: the memory of the process-wide one is other tests' too.
                fact(&Device::new(Box::new(wgrad_core::cpu::Cpu::new())));
                Ok(())
            });
            let forced = ["replay_equals", "gradients", "products_take"];
            let forced = forced.iter().any(|part| name.contains(part));
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
