//! Layers filled by one formula, and values compared with PyTorch's in f64.

#[allow(dead_code, clippy::panic, reason = "the table serves other tests too")]
#[path = "../../../../tests/support/tolerance.rs"]
pub mod tolerance;

use wgrad_core::{Device, Result, Tensor};
use wgrad_nn::Module;

/// Numbers between -0.75 and 0.75 that f32 holds exactly; the seed shifts them.
pub fn numbers(shape: &[usize], seed: usize) -> Result<Tensor> {
    let count = shape.iter().product();
    let values: Vec<f32> =
        (0..count).map(|k: usize| ((k * 7 + seed * 5 + 3) % 13) as f32 / 8.0 - 0.75).collect();
    Tensor::from_vec(values, shape, &Device::cpu())
}

/// Gives the parameters numbers by their order.
pub fn fill(module: &impl Module) -> Result<()> {
    for (i, (_, parameter)) in module.named_parameters().into_iter().enumerate() {
        parameter.tensor()?.detach().assign(&numbers(parameter.shape(), i + 1)?)?;
    }
    Ok(())
}

#[track_caller]
pub fn near(got: &Tensor, want: &[f64]) -> Result<()> {
    let got = got.to_vec::<f32>()?;
    assert_eq!(got.len(), want.len());
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        assert!(tolerance::of("chain").allows(got.into(), want), "{i}: {got} instead of {want}");
    }
    Ok(())
}
