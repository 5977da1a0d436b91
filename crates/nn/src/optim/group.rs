//! Groups of parameters with numbers of their own.

/// What is different for a group of parameters.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::{AdamW, GroupOptions, Mlp};
/// let model = Mlp::new(&[2, 4, 1], &Device::cpu())?;
/// let no_decay = GroupOptions { weight_decay: Some(0.0), ..GroupOptions::default() };
/// let adam = AdamW::new(&model, 1e-3)?.group(|name| name.ends_with("bias"), no_decay)?;
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupOptions {
    /// Factor of the optimizer's learning rate, finite and not negative; 1 if not given.
    pub lr_scale: f64,
    /// Weight decay in place of the optimizer's.
    pub weight_decay: Option<f64>,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self { lr_scale: 1.0, weight_decay: None }
    }
}
