//! The cases with ndarray, whose products go to threaded `matrixmultiply`, with forward and backward by hand; and the
//! products alone with the `gemm` crate. Loops over elements run on all cores through rayon.

mod attention;
mod conv2d;

use gemm::Parallelism;
use harness::cases::{COLS, LAYERNORM_EPS, ROWS};
use harness::{AdamW, Mlp, Options, Peer, Prepared, Result, Warm};
use ndarray::parallel::prelude::*;
use ndarray::{Array1, Array2, ArrayView1, ArrayViewMut1, Axis, Zip};

struct Ndarray;

fn last(a: &Array2<f32>) -> f32 {
    a[[a.nrows() - 1, a.ncols() - 1]]
}

/// Fills a new array row by row, on all cores.
fn by_rows(
    x: &Array2<f32>,
    row: impl Fn(ArrayView1<f32>, ArrayViewMut1<f32>) + Sync + Send,
) -> Array2<f32> {
    let mut out = Array2::zeros(x.raw_dim());
    Zip::from(x.rows()).and(out.rows_mut()).par_for_each(row);
    out
}

struct Layer {
    w: Array2<f32>,
    b: Array1<f32>,
}

impl Layer {
    fn forward(&self, x: &Array2<f32>) -> Array2<f32> {
        x.dot(&self.w) + &self.b
    }
}

/// Mean cross-entropy; the logits become their gradient.
fn cross_entropy(logits: &mut Array2<f32>, labels: &[u32]) -> f32 {
    let batch = labels.len() as f32;
    let mut loss = 0.0;
    for (mut row, &label) in logits.rows_mut().into_iter().zip(labels) {
        let label = label as usize;
        let max = row.fold(f32::MIN, |m, &v| m.max(v));
        let at_label = row[label] - max;
        row.mapv_inplace(|v| (v - max).exp());
        let sum = row.sum();
        loss += sum.ln() - at_label;
        row /= sum;
        row[label] -= 1.0;
        row /= batch;
    }
    loss / batch
}

fn train_step(layers: &mut [Layer], x: &Array2<f32>, labels: &[u32]) -> f32 {
    // hidden[l] is what layer l + 1 gets.
    let mut hidden: Vec<Array2<f32>> = Vec::with_capacity(layers.len());
    for layer in layers.iter() {
        if let Some(h) = hidden.last_mut() {
            h.par_mapv_inplace(|v| v.max(0.0));
        }
        let next = layer.forward(hidden.last().unwrap_or(x));
        hidden.push(next);
    }
    let Some(mut gradient) = hidden.pop() else { return 0.0 };
    let loss = cross_entropy(&mut gradient, labels);
    let rate = Mlp::LEARNING_RATE as f32;
    for (l, layer) in layers.iter_mut().enumerate().rev() {
        let input = if l == 0 { x } else { &hidden[l - 1] };
        let dw = input.t().dot(&gradient);
        let db = gradient.sum_axis(Axis(0));
        if l > 0 {
            gradient = gradient.dot(&layer.w.t());
            Zip::from(&mut gradient)
                .and(input)
                .par_for_each(|d, &h| *d = if h > 0.0 { *d } else { 0.0 });
        }
        layer.w.scaled_add(-rate, &dw);
        layer.b.scaled_add(-rate, &db);
    }
    loss
}

impl Peer for Ndarray {
    fn matmul(&self, n: usize, a: Vec<f32>, b: Vec<f32>) -> Prepared<'_> {
        let (a, b) = (Array2::from_shape_vec((n, n), a)?, Array2::from_shape_vec((n, n), b)?);
        Ok(Some(Box::new(move || Ok(last(&a.dot(&b))))))
    }

    fn mlp(&self, mlp: Mlp) -> Prepared<'_> {
        let x = Array2::from_shape_vec((mlp.batch, mlp.inputs()), mlp.x())?;
        let labels = mlp.labels();
        let mut layers = Vec::new();
        for (inputs, outputs, w, b) in mlp.layers() {
            layers.push(Layer {
                w: Array2::from_shape_vec((inputs, outputs), w)?,
                b: Array1::from_vec(b),
            });
        }
        Ok(Some(Box::new(move || Ok(train_step(&mut layers, &x, &labels)))))
    }

    fn softmax(&self, x: Vec<f32>) -> Prepared<'_> {
        let x = Array2::from_shape_vec((ROWS, COLS), x)?;
        Ok(Some(Box::new(move || {
            let out = by_rows(&x, |x, mut out| {
                let max = x.fold(f32::MIN, |m, &v| m.max(v));
                out.zip_mut_with(&x, |o, &v| *o = (v - max).exp());
                let scale = 1.0 / out.sum();
                out *= scale;
            });
            Ok(last(&out))
        })))
    }

    fn bias_add_relu(&self, x: Vec<f32>, bias: Vec<f32>) -> Prepared<'_> {
        let (x, bias) = (Array2::from_shape_vec((ROWS, COLS), x)?, Array1::from_vec(bias));
        Ok(Some(Box::new(move || {
            let out = by_rows(&x, |x, out| {
                Zip::from(out).and(x).and(&bias).for_each(|o, x, b| *o = (x + b).max(0.0))
            });
            Ok(last(&out))
        })))
    }

    fn layernorm(&self, x: Vec<f32>, gamma: Vec<f32>, beta: Vec<f32>) -> Prepared<'_> {
        let x = Array2::from_shape_vec((ROWS, COLS), x)?;
        let (gamma, beta) = (Array1::from_vec(gamma), Array1::from_vec(beta));
        Ok(Some(Box::new(move || {
            let out = by_rows(&x, |x, mut out| {
                let mean = x.sum() / COLS as f32;
                out.zip_mut_with(&x, |o, v| *o = v - mean);
                let scale = 1.0 / (out.dot(&out) / COLS as f32 + LAYERNORM_EPS as f32).sqrt();
                Zip::from(out).and(&gamma).and(&beta).for_each(|o, g, b| *o = *o * scale * g + b);
            });
            Ok(last(&out))
        })))
    }

    fn conv2d(&self, x: Vec<f32>, weight: Vec<f32>, dy: Vec<f32>) -> Prepared<'_> {
        let conv2d = conv2d::Images::new(x, weight, dy)?;
        Ok(Some(Box::new(move || conv2d.step())))
    }

    fn attention(&self, qkv: [Vec<f32>; 3], dy: Vec<f32>) -> Prepared<'_> {
        let heads = attention::Heads::new(qkv, dy)?;
        Ok(Some(Box::new(move || heads.step())))
    }

    fn adamw(&self) -> Prepared<'_> {
        let array = |values| Array2::from_shape_vec(AdamW::SHAPE, values);
        let mut state = Vec::new();
        for i in 0..AdamW::TENSORS {
            let zeros = || Array2::<f32>::zeros(AdamW::SHAPE);
            state.push((array(AdamW::parameter(i))?, array(AdamW::gradient(i))?, zeros(), zeros()));
        }
        let mut t = 0;
        Ok(Some(Box::new(move || {
            t += 1;
            let (beta1, beta2, eps) = (AdamW::BETA1 as f32, AdamW::BETA2 as f32, AdamW::EPS as f32);
            let keep = (1.0 - AdamW::LEARNING_RATE * AdamW::WEIGHT_DECAY) as f32;
            let rate = (AdamW::LEARNING_RATE / (1.0 - AdamW::BETA1.powi(t))) as f32;
            let v_scale = (1.0 / (1.0 - AdamW::BETA2.powi(t))) as f32;
            state.par_iter_mut().for_each(|(p, g, m, v)| {
                Zip::from(p).and(g).and(m).and(v).for_each(|p, g, m, v| {
                    *m = beta1 * *m + (1.0 - beta1) * *g;
                    *v = beta2 * *v + (1.0 - beta2) * *g * *g;
                    *p = *p * keep - rate * *m / ((*v * v_scale).sqrt() + eps);
                });
            });
            Ok(last(&state[AdamW::TENSORS - 1].0))
        })))
    }
}

struct Gemm;

impl Peer for Gemm {
    const TRAINS: bool = false;

    fn matmul(&self, n: usize, a: Vec<f32>, b: Vec<f32>) -> Prepared<'_> {
        let stride = isize::try_from(n)?;
        Ok(Some(Box::new(move || {
            let mut c = vec![0f32; n * n];
            let parallel = Parallelism::Rayon(0);
            // SAFETY: all three are row-major n × n vectors that live until after the call, and c is borrowed alone.
            unsafe {
                #[rustfmt::skip]
                gemm::gemm(
                    n, n, n,
                    c.as_mut_ptr(), 1, stride, false,
                    a.as_ptr(), 1, stride,
                    b.as_ptr(), 1, stride,
                    0.0, 1.0, false, false, false, parallel,
                );
            }
            Ok(c[n * n - 1])
        })))
    }
}

fn main() -> Result<()> {
    // matrixmultiply counts physical cores, which on a virtual machine may be half of those there are.
    if std::env::var_os("MATMUL_NUM_THREADS").is_none() {
        let threads = std::thread::available_parallelism()?.to_string();
        // SAFETY: no other thread has started yet.
        unsafe { std::env::set_var("MATMUL_NUM_THREADS", threads) };
    }
    let choice = "--system";
    let options = Options::parse(choice, &["ndarray", "gemm"])?;
    match options.backend.as_str() {
        "gemm" => harness::run(&Gemm, "gemm", None, choice, Warm::Few, options),
        _ => harness::run(&Ndarray, "ndarray", None, choice, Warm::Few, options),
    }
}
