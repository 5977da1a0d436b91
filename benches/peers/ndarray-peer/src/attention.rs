//! Causal attention by hand: products, and softmax along rows; heads go through the cores side by side.

use harness::{Attention, Result};
use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, ArrayView2, Axis, Zip};

const LENGTH: usize = Attention::SHAPE[2];
const WIDTH: usize = Attention::SHAPE[3];
const HEADS: usize = Attention::SHAPE[0] * Attention::SHAPE[1];

/// Queries, keys, values and the output's gradient, [HEADS, LENGTH, WIDTH].
pub struct Heads {
    q: Array3<f32>,
    k: Array3<f32>,
    v: Array3<f32>,
    dy: Array3<f32>,
}

/// One head's weights, [LENGTH, LENGTH], and output.
struct Forward {
    weights: Array2<f32>,
    y: Array2<f32>,
}

impl Heads {
    pub fn new([q, k, v]: [Vec<f32>; 3], dy: Vec<f32>) -> Result<Self> {
        let heads = |values| Array3::from_shape_vec((HEADS, LENGTH, WIDTH), values);
        Ok(Self { q: heads(q)?, k: heads(k)?, v: heads(v)?, dy: heads(dy)? })
    }

    /// Forward and backward; gives the sum of the last elements of the gradients.
    pub fn step(&self) -> Result<f32> {
        let heads = (0..HEADS).into_par_iter();
        let forward: Vec<_> = heads
            .map(|h| {
                let [q, k, v] = [&self.q, &self.k, &self.v].map(|all| all.index_axis(Axis(0), h));
                forward(q, k, v)
            })
            .collect();
        std::hint::black_box(forward.iter().map(|head| head.y[[0, 0]]).sum::<f32>());

        let backward: Vec<_> = forward
            .par_iter()
            .enumerate()
            .map(|(h, forward)| {
                let inputs = [&self.q, &self.k, &self.v, &self.dy];
                let [q, k, v, dy] = inputs.map(|all| all.index_axis(Axis(0), h));
                backward(q, k, v, &forward.weights, dy)
            })
            .collect();
        Ok(backward[HEADS - 1].iter().map(|gradient| gradient[[LENGTH - 1, WIDTH - 1]]).sum())
    }
}

fn forward(q: ArrayView2<f32>, k: ArrayView2<f32>, v: ArrayView2<f32>) -> Forward {
    let scale = Attention::scale() as f32;
    let mut weights = q.dot(&k.t());
    for (i, row) in weights.rows_mut().into_iter().enumerate() {
        let (mut seen, mut hidden) = row.split_at(Axis(0), i + 1);
        let max = seen.fold(f32::MIN, |m, &v| m.max(v));
        seen.mapv_inplace(|v| ((v - max) * scale).exp());
        let normal = 1.0 / seen.sum();
        seen *= normal;
        hidden.fill(0.0);
    }
    let y = weights.dot(&v);
    Forward { weights, y }
}

/// The gradients of queries, keys and values.
fn backward(
    q: ArrayView2<f32>,
    k: ArrayView2<f32>,
    v: ArrayView2<f32>,
    weights: &Array2<f32>,
    dy: ArrayView2<f32>,
) -> [Array2<f32>; 3] {
    let scale = Attention::scale() as f32;
    let dv = weights.t().dot(&dy);
    // The gradient of the weights becomes that of the scores.
    let mut dscores = dy.dot(&v.t());
    Zip::from(dscores.rows_mut()).and(weights.rows()).for_each(|mut d, w| {
        let mean = d.dot(&w);
        d.zip_mut_with(&w, |d, w| *d = (*d - mean) * w * scale);
    });
    [dscores.dot(&k), dscores.t().dot(&q), dv]
}
