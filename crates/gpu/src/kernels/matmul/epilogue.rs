//! What follows a product: bias and activation.

use wgrad_core::{Layout, Result, ops::linear::FusedActivation};
use wgrad_shaders::Kernel;

/// What follows the product. A further operand that lies as the result does (`extra` in the templates,
/// which hand it to `apply(z, e)`) would be a field here, its offset the `extra_offset` of the parameters.
#[derive(Clone, Copy, Default)]
pub(super) struct Epilogue {
    pub bias: Option<Layout>,
    pub activation: Option<FusedActivation>,
}

impl Epilogue {
    pub fn is_empty(&self) -> bool {
        self.bias.is_none() && self.activation.is_none()
    }
}

pub(super) const FOUR: &str = "alias elem = vec4<f32>; alias elem_a = elem; alias elem_y = elem; \
                    alias bits = vec4<u32>; alias mask = vec4<bool>;";

/// The activation as text for four values.
pub(super) fn activate(kernel: &mut Kernel, activation: FusedActivation) -> Result<()> {
    let label = activation.unary().label();
    let expression = wgrad_shaders::unary(label).ok_or_else(|| crate::kernels::missing(label))?;
    kernel.parts.extend(expression.parts);
    kernel.functions.extend([FOUR, expression.function]);
    Ok(())
}

/// The slope below zero: 0 for ReLU, 1 for none.
pub(super) fn slope(epilogue: &Epilogue) -> f32 {
    if epilogue.activation == Some(FusedActivation::Relu) { 0.0 } else { 1.0 }
}

/// A template's variables, and the text of the activation, for a kernel that is specialised by its epilogue.
pub(super) fn specialise(kernel: &mut Kernel, epilogue: &Epilogue) -> Result<()> {
    if let Some(activation) = epilogue.activation {
        activate(kernel, activation)?;
    }
    kernel.values.extend([
        ("bias", u32::from(epilogue.bias.is_some())),
        ("extra", 0),
        ("activation", u32::from(epilogue.activation.is_some())),
    ]);
    kernel.parts.push("matmul_params");
    Ok(())
}
