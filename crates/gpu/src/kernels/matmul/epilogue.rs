//! What follows a product: bias and activation, or the derivative of one, and what is computed beside it.

use crate::{kernels::word, launch::Slot};
use wgrad_core::{
    Layout, Result,
    ops::{linear::FusedActivation, unary::Unary},
};
use wgrad_shaders::Kernel;

/// What follows the product.
#[derive(Clone, Copy, Default)]
pub(super) struct Epilogue {
    pub bias: Option<Layout>,
    pub activation: Option<FusedActivation>,
    /// `z ⊙ f'(e)`, without bias and activation: the operation f, and the offset of e, which lies as the result
    /// does otherwise (`extra` in the templates, which hand it to `apply(z, e)`). It is the last input.
    pub backward: Option<(Unary, usize)>,
    /// The sums of A's rows, as the second output: its offset. Only `matmul_lanes` has them.
    pub row_sums: Option<usize>,
}

impl Epilogue {
    pub fn is_empty(&self) -> bool {
        self.bias.is_none() && self.activation.is_none() && self.backward.is_none()
    }
}

impl Epilogue {
    /// The third input: bias or operand of the derivative; never both.
    pub fn operand(&self) -> Option<Slot> {
        (self.bias.is_some() || self.backward.is_some()).then_some(Slot::In(2))
    }
}

/// Where the operand of the derivative begins.
pub(super) fn extra_offset(epilogue: &Epilogue) -> u32 {
    epilogue.backward.map_or(0, |(_, offset)| word(offset))
}

/// Whether a product can be followed by the derivative of such an operation.
pub(super) fn can_follow(op: Unary, lanes: bool) -> bool {
    match op {
        Unary::Relu => true,
        // Its number would need a place in the parameters.
        Unary::LeakyRelu(_) => false,
        op => !lanes && wgrad_shaders::unary_backward(op.label()).is_some(),
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
    if let Some((op, _)) = epilogue.backward {
        let missing = || crate::kernels::missing(op.label());
        let expression = wgrad_shaders::unary_backward(op.label()).ok_or_else(missing)?;
        kernel.parts.extend(expression.parts);
        kernel.functions.extend([FOUR, "alias elem_b = elem;"]);
        let derivative = expression.function.replace("fn apply(", "fn derivative(");
        kernel.made = format!(
            "{derivative}\nfn apply(z: elem, e: elem) -> elem {{ return derivative(e, z); }}\n"
        );
    }
    let extra = epilogue.backward.is_some();
    kernel.values.extend([
        ("bias", u32::from(epilogue.bias.is_some())),
        ("extra", u32::from(extra)),
        ("activation", u32::from(epilogue.activation.is_some() || extra)),
    ]);
    kernel.parts.push("matmul_params");
    Ok(())
}
