//! Layers that draw numbers or keep statistics, in recorded steps.

use super::{Fact, bits, draw, near, read};
use wgrad::{Step, prelude::*};

pub const FACTS: &[Fact] = &[
    ("dropout_draws_anew_in_each_run_and_backward_sees_its_mask", |d| {
        let x = draw(3, &[13, 20], d);
        let work = |x: &[Tensor]| {
            let x = x[0].requiring_grad();
            let y = x.dropout(0.5)?;
            let slope = y.backward_with(&Tensor::full_like(&y, 1.0)?)?.wrt(&x)?.clone();
            Ok(vec![y.detach(), slope])
        };
        let runs = |run: &dyn Fn() -> Vec<Tensor>| -> Vec<[Vec<f64>; 2]> {
            d.seed(11).unwrap();
            (0..3).map(|_| run()).map(|y| [read(&y[0]).unwrap(), read(&y[1]).unwrap()]).collect()
        };
        let step = Step::new(d, work);
        let recorded = runs(&|| step.run(&[&x]).unwrap());
        let eager = runs(&|| work(std::slice::from_ref(&x)).unwrap());
        let x = read(&x).unwrap();
        for ([y, slope], [eager_y, eager_slope]) in recorded.iter().zip(&eager) {
            bits("recorded against eager", &[13, 20], y, eager_y).unwrap();
            bits("its gradient", &[13, 20], slope, eager_slope).unwrap();
            let product: Vec<f64> = x.iter().zip(slope).map(|(x, s)| x * s).collect();
            near("exact", y, &product);
            assert!(slope.contains(&0.0) && slope.contains(&2.0));
        }
        assert_ne!(recorded[0][1], recorded[1][1]);
        assert_ne!(recorded[1][1], recorded[2][1]);
    }),
    ("batch_norm_keeps_its_statistics_in_a_step", |d| {
        struct Net {
            body: Linear,
            norm: BatchNorm1d,
            head: Linear,
        }
        module!(Net { body, norm, head });
        let train = |recorded: bool| -> Vec<Vec<f64>> {
            let mut init = Init::new(5);
            let net = Net {
                body: Linear::new(6, 8, &mut init).unwrap(),
                norm: BatchNorm1d::new(8).unwrap(),
                head: Linear::new(8, 3, &mut init).unwrap(),
            };
            let net = net.on(d).unwrap();
            let sgd = Sgd::new(&net, 0.05).unwrap();
            let work = |batch: &[Tensor]| {
                let hidden = net.norm.forward(&net.body.forward(&batch[0])?)?.relu()?;
                let loss = net.head.forward(&hidden)?.mse(&batch[1])?;
                sgd.step(&loss.backward()?)?;
                Ok(vec![loss])
            };
            let step = Step::new(d, &work);
            let mut seen = Vec::new();
            for i in 0..4 {
                let batch = [draw(i, &[10, 6], d), draw(i + 9, &[10, 3], d)];
                let loss = match recorded {
                    true => step.run(&[&batch[0], &batch[1]]).unwrap(),
                    false => work(&batch).unwrap(),
                };
                seen.push(read(&loss[0]).unwrap());
            }
            let buffers = net.named_buffers();
            seen.extend(buffers.iter().map(|(_, b)| read(b.tensor().unwrap()).unwrap()));
            seen.push(read(net.parameters().unwrap().values()).unwrap());
            seen
        };
        let (recorded, eager) = (train(true), train(false));
        assert!(recorded[4].iter().all(|&mean| mean != 0.0), "the running mean has moved");
        for (recorded, eager) in recorded.iter().zip(eager) {
            near("optimizer_steps", recorded, &eager);
        }
    }),
    ("layer_norm_learns_in_a_step", |d| {
        let net = Sequential::new()
            .then(Linear::new(4, 8, &mut Init::new(2)).unwrap())
            .then(LayerNorm::new(&[8]).unwrap())
            .then(Activation::Gelu)
            .then(RmsNorm::new(8).unwrap())
            .then(Linear::new(8, 1, &mut Init::new(3)).unwrap())
            .on(d)
            .unwrap();
        let adam = Adam::new(&net, 0.02).unwrap();
        let step = Step::new(d, |batch: &[Tensor]| {
            let loss = net.forward(&batch[0])?.mse(&batch[1])?;
            adam.step(&loss.backward()?)?;
            Ok(vec![loss])
        });
        let (x, y) = (draw(1, &[32, 4], d), draw(2, &[32, 1], d));
        let mut losses = Vec::new();
        for _ in 0..60 {
            losses.push(step.run(&[&x, &y]).unwrap()[0].item::<f32>().unwrap());
        }
        assert!(losses[59] < 0.5 * losses[0], "{losses:?}");
    }),
];
