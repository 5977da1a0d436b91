//! What a case must give, computed in f64 with plain loops.

use crate::cases::{AdamW, COLS, LAYERNORM_EPS, Mlp, ROWS};

/// The last element of the product of two square matrices.
pub fn matmul_last(n: usize, a: &[f32], b: &[f32]) -> f64 {
    (0..n).map(|k| f64::from(a[(n - 1) * n + k]) * f64::from(b[k * n + n - 1])).sum()
}

/// The last element of the softmax along rows.
pub fn softmax_last(x: &[f32]) -> f64 {
    let row = last_row(x);
    let max = row.iter().copied().fold(f64::MIN, f64::max);
    (row[COLS - 1] - max).exp() / row.iter().map(|v| (v - max).exp()).sum::<f64>()
}

/// The last element of `relu(x + bias)`.
pub fn bias_relu_last(x: &[f32], bias: &[f32]) -> f64 {
    (last_row(x)[COLS - 1] + f64::from(bias[COLS - 1])).max(0.0)
}

/// The last element of the layer normalisation of rows.
pub fn layernorm_last(x: &[f32], gamma: &[f32], beta: &[f32]) -> f64 {
    let row = last_row(x);
    let mean = row.iter().sum::<f64>() / COLS as f64;
    let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / COLS as f64;
    let normal = (row[COLS - 1] - mean) / (variance + LAYERNORM_EPS).sqrt();
    normal * f64::from(gamma[COLS - 1]) + f64::from(beta[COLS - 1])
}

fn last_row(x: &[f32]) -> Vec<f64> {
    x[(ROWS - 1) * COLS..].iter().copied().map(f64::from).collect()
}

/// The last parameter after one AdamW step and after two, always with the same gradient.
pub fn adamw_last() -> [f64; 2] {
    let last = |values: Vec<f32>| f64::from(values[AdamW::len() - 1]);
    let g = last(AdamW::gradient(AdamW::TENSORS - 1));
    let mut p = last(AdamW::parameter(AdamW::TENSORS - 1));
    let (mut m, mut v) = (0.0, 0.0);
    [1, 2].map(|t| {
        m = AdamW::BETA1 * m + (1.0 - AdamW::BETA1) * g;
        v = AdamW::BETA2 * v + (1.0 - AdamW::BETA2) * g * g;
        let m_hat = m / (1.0 - AdamW::BETA1.powi(t));
        let v_hat = v / (1.0 - AdamW::BETA2.powi(t));
        p -= AdamW::LEARNING_RATE * AdamW::WEIGHT_DECAY * p;
        p -= AdamW::LEARNING_RATE * m_hat / (v_hat.sqrt() + AdamW::EPS);
        p
    })
}

/// The losses of the first two steps. The second comes out right only if the gradients and the update were.
pub fn mlp_losses(mlp: &Mlp) -> [f64; 2] {
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    let labels = mlp.labels();
    let mut layers: Vec<_> =
        mlp.layers().into_iter().map(|(i, o, w, b)| (i, o, wide(w), wide(b))).collect();
    let last_layer = layers.len() - 1;
    [0, 1].map(|_| {
        // activations[l] goes into layer l; the last entry holds the logits.
        let mut activations = vec![wide(mlp.x())];
        for (l, (inputs, outputs, w, b)) in layers.iter().enumerate() {
            let mut out = Vec::with_capacity(mlp.batch * outputs);
            for row in activations[l].chunks(*inputs) {
                let mut sums = b.clone();
                for (x, weights) in row.iter().zip(w.chunks(*outputs)) {
                    sums.iter_mut().zip(weights).for_each(|(s, w)| *s += x * w);
                }
                out.extend(sums.into_iter().map(|s| if l == last_layer { s } else { s.max(0.0) }));
            }
            activations.push(out);
        }
        // The logits become their own gradient.
        let mut loss = 0.0;
        let mut gradient = activations[layers.len()].clone();
        for (row, &label) in gradient.chunks_mut(mlp.classes()).zip(&labels) {
            let max = row.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = row.iter().map(|v| (v - max).exp()).sum();
            loss += sum.ln() + max - row[label as usize];
            row.iter_mut().for_each(|v| *v = (*v - max).exp() / sum);
            row[label as usize] -= 1.0;
            row.iter_mut().for_each(|v| *v /= mlp.batch as f64);
        }
        for (l, (inputs, outputs, w, b)) in layers.iter_mut().enumerate().rev() {
            let mut dw = vec![0.0; w.len()];
            let mut dx = Vec::with_capacity(mlp.batch * *inputs);
            for (x, d) in activations[l].chunks(*inputs).zip(gradient.chunks(*outputs)) {
                for ((x, dw), w) in x.iter().zip(dw.chunks_mut(*outputs)).zip(w.chunks(*outputs)) {
                    dw.iter_mut().zip(d).for_each(|(dw, d)| *dw += x * d);
                    let sum: f64 = w.iter().zip(d).map(|(w, d)| w * d).sum();
                    dx.push(if *x > 0.0 { sum } else { 0.0 });
                }
                b.iter_mut().zip(d).for_each(|(b, d)| *b -= Mlp::LEARNING_RATE * d);
            }
            w.iter_mut().zip(dw).for_each(|(w, dw)| *w -= Mlp::LEARNING_RATE * dw);
            gradient = dx;
        }
        loss / mlp.batch as f64
    })
}
