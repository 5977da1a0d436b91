//! What follows a product: bias and activation.

use wgrad_core::{Layout, Result, ops::linear::FusedActivation};
use wgrad_shaders::Kernel;

/// What follows the product.
pub(super) struct Epilogue {
    pub bias: Option<Layout>,
    pub activation: Option<FusedActivation>,
}

pub(super) const FOUR: &str = "alias elem = vec4<f32>; alias elem_a = elem; alias elem_y = elem; \
                    alias bits = vec4<u32>; alias mask = vec4<bool>;";

/// The activation as text for four values.
pub(super) fn activate(kernel: &mut Kernel, activation: FusedActivation) -> Result<()> {
    let label = activation.unary().label();
    let expression = wgrad_shaders::unary(label).ok_or_else(|| crate::kernels::missing(label))?;
    kernel.parts = expression.parts.to_vec();
    kernel.functions = vec![FOUR, expression.function];
    Ok(())
}

/// The slope below zero: 0 for ReLU, 1 for none.
pub(super) fn slope(epilogue: &Epilogue) -> f32 {
    if epilogue.activation == Some(FusedActivation::Relu) { 0.0 } else { 1.0 }
}
