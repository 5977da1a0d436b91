//! Training or evaluation, for layers that do something else in each.

use crate::no_grad;
use std::cell::Cell;

thread_local! {
    static TRAINING: Cell<bool> = const { Cell::new(true) };
}

/// Whether layers are to do what they do in training (drop values at random, take statistics from the
/// batch): true outside of [`eval`] and [`evaluating`].
pub fn training() -> bool {
    TRAINING.get()
}

/// Runs `f` in evaluation: dropout passes everything, batch norm uses its running statistics, and nothing
/// is noted for backward. It holds for this thread and ends with `f`, also within a recorded step's closure. A step
/// that runs in it is planned apart from the same step in training.
///
/// PyTorch's `model.eval()` alone leaves gradients on: that is [`evaluating`].
///
/// ```
/// use wgrad_core::{Device, Tensor, eval, training};
/// let w = Tensor::ones([2], &Device::cpu())?.requiring_grad();
/// let y = eval(|| {
///     assert!(!training());
///     w.exp()
/// })?;
/// assert!(training() && !y.requires_grad());
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub fn eval<T>(f: impl FnOnce() -> T) -> T {
    no_grad(|| within(false, f))
}

/// Runs `f` in evaluation as [`eval`] does, but leaves gradients as they were: for batch norm with frozen statistics,
/// and for gradients with respect to inputs (saliency, adversarial examples) of a model that drops nothing. Around
/// one layer's forward pass it holds for that layer alone. Within [`eval`] or [`no_grad`] gradients stay off.
///
/// ```
/// use wgrad_core::{Device, Tensor, evaluating, training};
/// let x = Tensor::from_vec([3.0f32], [1], &Device::cpu())?.requiring_grad();
/// let y = evaluating(|| {
///     assert!(!training());
///     x.square()
/// })?;
/// assert_eq!(y.backward()?.wrt(&x)?.to_vec::<f32>()?, [6.0]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub fn evaluating<T>(f: impl FnOnce() -> T) -> T {
    within(false, f)
}

/// Runs `f` as in training although an [`eval`] or [`evaluating`] around it says otherwise: for dropout at inference.
/// Gradients stay as they were.
pub fn train<T>(f: impl FnOnce() -> T) -> T {
    within(true, f)
}

fn within<T>(training: bool, f: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            TRAINING.set(self.0);
        }
    }
    let _restore = Restore(TRAINING.replace(training));
    f()
}
