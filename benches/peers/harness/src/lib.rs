//! What all peers share: the cases with their inputs and expected results, the command line, timing and output.
//!
//! A peer implements [`Peer`], one method per kind of case, and calls [`run`]. Each method prepares its inputs and returns
//! a [`Step`], which does the work once and returns a number read back from the result. The first results are compared
//! with a plain f64 computation ([`reference`]), so no peer can be fast by doing less.

pub mod cases;
pub mod options;
pub mod reference;
pub mod timing;

pub use cases::{AdamW, Attention, Conv2d, Mlp};
pub use options::Options;
pub use timing::Warm;

use cases::{COLS, MATMUL_SIZES, ROWS, hash};
use timing::Bench;

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The timed work: once through, synchronised by the number it returns.
pub type Step<'a> = Box<dyn FnMut() -> Result<f32> + 'a>;

/// A case made ready; none where the system has no such operation.
pub type Prepared<'a> = Result<Option<Step<'a>>>;

/// A system under test. Steps return the last element of the result, the MLP's return the loss. Those with gradients read
/// the last element of each and return the sum, so that none can be left out.
pub trait Peer {
    /// Whether it does the MLP cases.
    const TRAINS: bool = true;

    /// The product of two square matrices, [n, n].
    fn matmul(&self, n: usize, a: Vec<f32>, b: Vec<f32>) -> Prepared<'_>;

    /// Forward, backward and an SGD update; returns the loss from before the update.
    fn mlp(&self, _mlp: Mlp) -> Prepared<'_> {
        Ok(None)
    }

    /// Softmax along the rows of [ROWS, COLS].
    fn softmax(&self, _x: Vec<f32>) -> Prepared<'_> {
        Ok(None)
    }

    /// `relu(x + bias)` for [ROWS, COLS] and [COLS].
    fn bias_add_relu(&self, _x: Vec<f32>, _bias: Vec<f32>) -> Prepared<'_> {
        Ok(None)
    }

    /// Layer normalisation of the rows of [ROWS, COLS] with gain and shift, both [COLS].
    fn layernorm(&self, _x: Vec<f32>, _gamma: Vec<f32>, _beta: Vec<f32>) -> Prepared<'_> {
        Ok(None)
    }

    /// The convolution of [`Conv2d`] and its gradients of the input `x` and of the weight, where `dy` is the output's.
    fn conv2d(&self, _x: Vec<f32>, _weight: Vec<f32>, _dy: Vec<f32>) -> Prepared<'_> {
        Ok(None)
    }

    /// The attention of [`Attention`] and its gradients of queries, keys and values, where `dy` is the output's.
    fn attention(&self, _qkv: [Vec<f32>; 3], _dy: Vec<f32>) -> Prepared<'_> {
        Ok(None)
    }

    /// AdamW over the tensors of [`AdamW`], with the same given gradients each time.
    fn adamw(&self) -> Prepared<'_> {
        Ok(None)
    }
}

/// Runs the cases that the command line asks for. `device` is what the system runs on, where it says so; `choice` is the
/// flag that chooses the backend.
pub fn run<P: Peer>(
    peer: &P,
    system: &str,
    device: Option<String>,
    choice: &str,
    warm: Warm,
    options: Options,
) -> Result<()> {
    if options.first_step {
        let mut step = peer.mlp(Mlp::TRAIN)?.ok_or("no MLP here")?;
        step()?;
        return timing::report_first_step();
    }

    let mut bench = Bench::new(system, device, warm, options);
    for n in MATMUL_SIZES {
        let case = format!("matmul_{n}");
        if bench.wants(&case) {
            let (a, b) = (hash(n * n, 3), hash(n * n, 4));
            let expected = [reference::matmul_last(n, &a, &b)];
            bench.case(&case, Some(2.0 * (n as f64).powi(3)), &expected, peer.matmul(n, a, b)?)?;
        }
    }
    for mlp in [Mlp::TRAIN, Mlp::SMALL] {
        if P::TRAINS && bench.wants(mlp.case) {
            bench.case(mlp.case, None, &reference::mlp_losses(&mlp), peer.mlp(mlp)?)?;
        }
    }
    if bench.wants("softmax_rows") {
        let x = hash(ROWS * COLS, 5);
        bench.case("softmax_rows", None, &[reference::softmax_last(&x)], peer.softmax(x)?)?;
    }
    if bench.wants("bias_add_relu") {
        let (x, bias) = (hash(ROWS * COLS, 6), hash(COLS, 7));
        let expected = [reference::bias_relu_last(&x, &bias)];
        bench.case("bias_add_relu", None, &expected, peer.bias_add_relu(x, bias)?)?;
    }
    if bench.wants("layernorm_rows") {
        let (x, gamma, beta) = (hash(ROWS * COLS, 8), hash(COLS, 9), hash(COLS, 10));
        let expected = [reference::layernorm_last(&x, &gamma, &beta)];
        bench.case("layernorm_rows", None, &expected, peer.layernorm(x, gamma, beta)?)?;
    }
    if bench.wants("conv2d_3x3") {
        let (x, weight, dy) = (Conv2d::x(), Conv2d::weight(), Conv2d::dy());
        let expected = [reference::conv2d_last(&x, &weight, &dy)];
        let step = peer.conv2d(x, weight, dy)?;
        bench.case("conv2d_3x3", Some(Conv2d::flops()), &expected, step)?;
    }
    if bench.wants("attention_causal") {
        let ([q, k, v], dy) = (Attention::qkv(), Attention::dy());
        let expected = [reference::attention_last(&q, &k, &v, &dy)];
        let step = peer.attention([q, k, v], dy)?;
        bench.case("attention_causal", Some(Attention::flops()), &expected, step)?;
    }
    if bench.wants("adamw_step") {
        bench.case("adamw_step", None, &reference::adamw_last(), peer.adamw()?)?;
    }
    if P::TRAINS && bench.wants("first_step_ms") {
        bench.first_step("first_step_ms", choice)?;
    }
    Ok(())
}
