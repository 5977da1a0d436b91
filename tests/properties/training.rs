//! Training a net of convolutions, norms and attention: in pieces of a batch, and with a scaled loss.

use crate::{
    Law, draw,
    support::{compare::close, inputs::read, tolerance},
};
use wgrad::{Step, nn::GradScaler, prelude::*};

/// Images to tokens to classes; every norm looks at one sample only.
struct Net {
    conv: Conv2d,
    group: GroupNorm,
    layer: LayerNorm,
    attention: MultiHeadAttention,
    rms: RmsNorm,
    head: Linear,
}
module!(Net { conv, group, layer, attention, rms, head });

impl Net {
    fn new(d: &Device) -> Net {
        let mut init = Init::new(3);
        let net = Net {
            conv: Conv2d::new(2, 8, 3, &mut init).unwrap().padding(1),
            group: GroupNorm::new(2, 8).unwrap(),
            layer: LayerNorm::new(&[8]).unwrap(),
            attention: MultiHeadAttention::new(8, 2, &mut init).unwrap(),
            rms: RmsNorm::new(8).unwrap(),
            head: Linear::new(8, 3, &mut init).unwrap(),
        };
        net.on(d).unwrap()
    }

    fn loss(&self, x: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let x = self.group.forward(&self.conv.forward(x)?)?.gelu()?;
        let x = x.avg_pool2d(&Pool2dOptions::new(2))?;
        let &[n, c, h, w] = x.shape() else { panic!("an image") };
        let tokens = x.reshape([n, c, h * w])?.t()?;
        let tokens = self.attention.forward(&self.layer.forward(&tokens)?)?.try_add(&tokens)?;
        let rows = self.rms.forward(&tokens.mean([1])?)?;
        self.head.forward(&rows)?.cross_entropy(labels)
    }

    fn values(&self) -> Vec<f64> {
        read(self.parameters().unwrap().values()).unwrap()
    }
}

fn batch(d: &Device) -> (Tensor, Tensor) {
    let labels: Vec<i32> = (0..12).map(|i| i * 5 % 3).collect();
    (draw(401, &[12, 2, 6, 6], d), Tensor::from_vec(labels, [12], d).unwrap())
}

pub const LAWS: &[Law] = &[
    ("pieces_of_a_batch_are_the_batch", |d| {
        let (x, labels) = batch(d);
        let train = |pieces: &[usize]| {
            let net = Net::new(d);
            // Not Adam: where a gradient is next to 0, its first steps go either way.
            let sgd = Sgd::new(&net, 0.1).unwrap().momentum(0.9).unwrap();
            let sum = GradAccumulator::new(&net).unwrap();
            for _ in 0..3 {
                let mut from = 0;
                for &n in pieces {
                    let part = |x: &Tensor| x.slice(0, from..from + n).unwrap();
                    let loss = net.loss(&part(&x), &part(&labels)).unwrap();
                    sum.add_weighted(&loss.backward().unwrap(), n as f64).unwrap();
                    from += n;
                }
                assert_eq!(from, 12);
                sgd.step(&sum.take().unwrap()).unwrap();
            }
            net.values()
        };
        let whole = train(&[12]);
        assert_ne!(whole, Net::new(d).values());
        for pieces in [&[4, 4, 4][..], &[1, 7, 2, 2]] {
            let got = train(pieces);
            let bound =
                |i: usize| tolerance::of("optimizer_steps").bound(whole[i], &tolerance::PLAIN);
            close(&format!("{pieces:?}"), &[whole.len()], &got, &whole, bound).unwrap();
        }
    }),
    ("a_scale_of_a_power_of_two_changes_no_bit", |d| {
        let (x, labels) = batch(d);
        let train = |scale: f64, recorded: bool| {
            let net = Net::new(d);
            let adam = AdamW::new(&net, 1e-2).unwrap();
            let scaler = GradScaler::with(d, scale, 2, 0.5).unwrap();
            let work = |batch: &[Tensor]| {
                let loss = net.loss(&batch[0], &batch[1])?;
                let gradients = scaler.unscale(scaler.scale(&loss)?.backward()?)?;
                scaler.step(&adam, &gradients)?;
                scaler.update()?;
                Ok(vec![loss])
            };
            let step = Step::new(d, work);
            for _ in 0..4 {
                match recorded {
                    true => step.run(&[&x, &labels]).unwrap(),
                    false => work(&[x.clone(), labels.clone()]).unwrap(),
                };
            }
            assert_eq!(scaler.skipped().unwrap(), 0);
            net.values()
        };
        for recorded in [false, true] {
            let plain = train(1.0, recorded);
            assert_eq!(train(1024.0, recorded), plain, "recorded: {recorded}");
        }
    }),
];
