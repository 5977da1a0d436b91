//! The network: two convolutions with pooling, two dense layers.

use wgrad::prelude::*;

/// Images `[n, height, width]` to logits `[n, classes]`.
pub struct Cnn {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: MaxPool2d,
    dropout: Dropout,
    dense: Linear,
    head: Linear,
}
module!(Cnn { conv1, conv2, dense, head });

impl Cnn {
    pub fn new(
        [height, width]: [usize; 2],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Cnn> {
        let mut init = Init::new(seed);
        let features = 32 * (height / 4) * (width / 4);
        Cnn {
            conv1: Conv2d::new(1, 16, 3, &mut init)?.padding(1),
            conv2: Conv2d::new(16, 32, 3, &mut init)?.padding(1),
            pool: MaxPool2d::new(2)?,
            dropout: Dropout::new(0.3)?,
            dense: Linear::new(features, 128, &mut init)?.activation(Activation::Relu),
            head: Linear::new(128, classes, &mut init)?,
        }
        .on(device)
    }

    pub fn forward(&self, images: &Tensor) -> Result<Tensor> {
        let x = images.unsqueeze(1)?; // [n, 1, height, width]
        let x = self.pool.forward(&self.conv1.forward(&x)?.relu()?)?;
        let x = self.pool.forward(&self.conv2.forward(&x)?.relu()?)?;
        let x = self.dense.forward(&Flatten.forward(&x)?)?;
        self.head.forward(&self.dropout.forward(&x)?)
    }
}
