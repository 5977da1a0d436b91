//! What a case must give, computed in f64 with plain loops.

use crate::cases::{AdamW, Attention, COLS, Conv2d, LAYERNORM_EPS, Mlp, ROWS};

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

/// The sum of the last elements of a convolution's gradients, of its input and of its weight.
pub fn conv2d_last(x: &[f32], weight: &[f32], dy: &[f32]) -> f64 {
    let [batch, inputs, height, width] = Conv2d::INPUT;
    let [outputs, _, rows, cols] = Conv2d::WEIGHT;
    let pad = Conv2d::PADDING;
    let x_at = |n, c, i, j| f64::from(x[((n * inputs + c) * height + i) * width + j]);
    let w_at = |o, c, i, j| f64::from(weight[((o * inputs + c) * rows + i) * cols + j]);
    // The output is as large as the input.
    let dy_at = |n, o, i, j| f64::from(dy[((n * outputs + o) * height + i) * width + j]);

    // The output at (i, j) has the input at (i + a - pad, j + b - pad) times the weight at (a, b).
    let (mut dx, mut dw) = (0.0, 0.0);
    for n in 0..batch {
        for (i, j) in (0..height).flat_map(|i| (0..width).map(move |j| (i, j))) {
            let (row, col) = (i + rows - 1 - pad, j + cols - 1 - pad);
            if row < height && col < width {
                dw += x_at(n, inputs - 1, row, col) * dy_at(n, outputs - 1, i, j);
            }
        }
    }
    for o in 0..outputs {
        for (a, b) in (0..rows).flat_map(|a| (0..cols).map(move |b| (a, b))) {
            let (i, j) = (height - 1 + pad - a, width - 1 + pad - b);
            if i < height && j < width {
                dx += w_at(o, inputs - 1, a, b) * dy_at(batch - 1, o, i, j);
            }
        }
    }
    dx + dw
}

/// The sum of the last elements of the gradients of queries, keys and values. The last query alone sees the last key, and
/// it sees all.
pub fn attention_last(q: &[f32], k: &[f32], v: &[f32], dy: &[f32]) -> f64 {
    let [_, _, length, width] = Attention::SHAPE;
    let head = |values: &[f32]| -> Vec<Vec<f64>> {
        let start = values.len() - length * width;
        let rows = values[start..].chunks(width);
        rows.map(|row| row.iter().copied().map(f64::from).collect()).collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (q, k, v, dy) = (head(q), head(k), head(v), head(dy));
    let (last, end) = (length - 1, width - 1);

    let e: Vec<f64> = k.iter().map(|k| (dot(&q[last], k) * Attention::scale()).exp()).collect();
    let sum: f64 = e.iter().sum();
    let weights: Vec<f64> = e.iter().map(|e| e / sum).collect();
    let dweights: Vec<f64> = v.iter().map(|v| dot(&dy[last], v)).collect();
    let mean = dot(&weights, &dweights);
    let dscores: Vec<f64> =
        weights.iter().zip(&dweights).map(|(w, d)| w * (d - mean) * Attention::scale()).collect();

    let dq: f64 = dscores.iter().zip(&k).map(|(d, k)| d * k[end]).sum();
    let dk = dscores[last] * q[last][end];
    let dv = weights[last] * dy[last][end];
    dq + dk + dv
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `conv2d_last` and `attention_last` in `peers.py` give these, and so does PyTorch in f64.
    #[test]
    fn gradients_are_those_of_the_python_twin() {
        let close = |got: f64, expected: f64| (got - expected).abs() < 1e-12 * expected.abs();
        let conv2d = conv2d_last(&Conv2d::x(), &Conv2d::weight(), &Conv2d::dy());
        assert!(close(conv2d, 53.329103212989466), "{conv2d}");
        let [q, k, v] = Attention::qkv();
        let attention = attention_last(&q, &k, &v, &Attention::dy());
        assert!(close(attention, 0.018957100347869148), "{attention}");
    }
}
