//! The cases: sizes, fixed inputs. `peers.py` has the same in Python.

/// Side lengths of the square products `matmul_N`.
pub const MATMUL_SIZES: [usize; 4] = [256, 512, 1024, 2048];
/// Rows and columns of `softmax_rows`, `bias_add_relu` and `layernorm_rows`.
pub const ROWS: usize = 4096;
pub const COLS: usize = 1024;
/// Added to the variance in `layernorm_rows`.
pub const LAYERNORM_EPS: f64 = 1e-5;

/// `n` numbers in [-1, 1) that depend on `seed` and the position only: SplitMix64 over a counter.
pub fn hash(n: usize, seed: u64) -> Vec<f32> {
    (0..n as u64).map(|i| (mix(seed, i) >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
}

/// `n` labels below `classes`.
pub fn labels(n: usize, classes: usize, seed: u64) -> Vec<u32> {
    (0..n as u64).map(|i| (mix(seed, i) % classes as u64) as u32).collect()
}

fn mix(seed: u64, i: u64) -> u64 {
    let mut z = (seed << 32).wrapping_add(i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A multi-layer perceptron with its batch: ReLU between the layers, mean cross-entropy, plain SGD.
#[derive(Clone, Copy)]
pub struct Mlp {
    pub case: &'static str,
    pub batch: usize,
    pub sizes: &'static [usize],
}

impl Mlp {
    pub const TRAIN: Self =
        Self { case: "mlp_train_step", batch: 256, sizes: &[784, 512, 512, 10] };
    pub const SMALL: Self = Self { case: "mlp_small_step", batch: 64, sizes: &[64, 128, 10] };
    pub const LEARNING_RATE: f64 = 0.01;

    /// The input batch, [batch, inputs].
    pub fn x(&self) -> Vec<f32> {
        hash(self.batch * self.inputs(), 1)
    }

    pub fn labels(&self) -> Vec<u32> {
        labels(self.batch, self.classes(), 2)
    }

    pub fn inputs(&self) -> usize {
        self.sizes[0]
    }

    pub fn classes(&self) -> usize {
        self.sizes[self.sizes.len() - 1]
    }

    /// For each layer its inputs, outputs, weights [inputs, outputs] and biases, uniform in ±1/√inputs.
    pub fn layers(&self) -> Vec<(usize, usize, Vec<f32>, Vec<f32>)> {
        let layer = |(i, pair): (usize, &[usize])| {
            let (inputs, outputs) = (pair[0], pair[1]);
            let scale = 1.0 / (inputs as f32).sqrt();
            let scaled = |n, seed| hash(n, seed).into_iter().map(|v| v * scale).collect();
            (
                inputs,
                outputs,
                scaled(inputs * outputs, 10 + i as u64),
                scaled(outputs, 20 + i as u64),
            )
        };
        self.sizes.windows(2).enumerate().map(layer).collect()
    }
}

/// `adamw_step`: four million parameters in 60 tensors.
pub struct AdamW;

impl AdamW {
    pub const TENSORS: usize = 60;
    pub const SHAPE: [usize; 2] = [4, 16_667];
    pub const LEARNING_RATE: f64 = 1e-3;
    pub const BETA1: f64 = 0.9;
    pub const BETA2: f64 = 0.999;
    pub const EPS: f64 = 1e-8;
    pub const WEIGHT_DECAY: f64 = 0.01;

    pub const fn len() -> usize {
        Self::SHAPE[0] * Self::SHAPE[1]
    }

    pub fn parameter(i: usize) -> Vec<f32> {
        hash(Self::len(), 100 + i as u64)
    }

    pub fn gradient(i: usize) -> Vec<f32> {
        hash(Self::len(), 200 + i as u64)
    }
}

/// `conv2d_3x3`: the gradients of a convolution with stride 1, for a given gradient of its output.
pub struct Conv2d;

impl Conv2d {
    /// [batch, channels, height, width].
    pub const INPUT: [usize; 4] = [32, 32, 28, 28];
    /// [channels of the output, channels, height, width].
    pub const WEIGHT: [usize; 4] = [64, 32, 3, 3];
    pub const OUTPUT: [usize; 4] = [32, 64, 28, 28];
    pub const PADDING: usize = 1;

    pub fn x() -> Vec<f32> {
        hash(product(&Self::INPUT), 11)
    }

    /// The gradient of the output.
    pub fn dy() -> Vec<f32> {
        hash(product(&Self::OUTPUT), 12)
    }

    pub fn weight() -> Vec<f32> {
        hash(product(&Self::WEIGHT), 13)
    }

    /// One product forward, two backward.
    pub const fn flops() -> f64 {
        3.0 * 2.0 * (product(&Self::OUTPUT) * product(&Self::WEIGHT) / Self::WEIGHT[0]) as f64
    }
}

/// `attention_causal`: the gradients of causal attention, for a given gradient of its output.
pub struct Attention;

impl Attention {
    /// [sequences, heads, length, width], of all inputs and of the output.
    pub const SHAPE: [usize; 4] = [8, 8, 256, 64];

    /// Queries, keys and values.
    pub fn qkv() -> [Vec<f32>; 3] {
        [14, 15, 16].map(|seed| hash(product(&Self::SHAPE), seed))
    }

    /// The gradient of the output.
    pub fn dy() -> Vec<f32> {
        hash(product(&Self::SHAPE), 17)
    }

    /// What scores are multiplied by.
    pub fn scale() -> f64 {
        1.0 / (Self::SHAPE[3] as f64).sqrt()
    }

    /// Two products forward, four backward; the half that is masked is not left out.
    pub const fn flops() -> f64 {
        6.0 * 2.0 * (product(&Self::SHAPE) * Self::SHAPE[2]) as f64
    }
}

/// How many elements a shape has.
pub const fn product(shape: &[usize; 4]) -> usize {
    shape[0] * shape[1] * shape[2] * shape[3]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These are the numbers of `hashed(3, 1)` and of labels in `peers.py`.
    #[test]
    fn numbers_are_those_of_the_python_twin() {
        assert_eq!(hash(3, 1), [-0.4528432, 0.81248486, 0.2025665]);
        assert_eq!(labels(4, 10, 2), [5, 8, 8, 3]);
    }

    /// These are the numbers of `wgrad bench`.
    #[test]
    fn floating_point_operations_are_counted_as_by_wgrad() {
        assert_eq!(Conv2d::flops(), 3.0 * 2.0 * 32.0 * 784.0 * 64.0 * 32.0 * 9.0);
        assert_eq!(Attention::flops(), 6.0 * 2.0 * 64.0 * 256.0 * 256.0 * 64.0);
    }
}
