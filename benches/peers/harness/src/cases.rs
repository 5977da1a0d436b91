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

#[cfg(test)]
mod tests {
    use super::*;

    /// These are the numbers of `hashed(3, 1)` and of labels in `peers.py`.
    #[test]
    fn numbers_are_those_of_the_python_twin() {
        assert_eq!(hash(3, 1), [-0.4528432, 0.81248486, 0.2025665]);
        assert_eq!(labels(4, 10, 2), [5, 8, 8, 3]);
    }
}
