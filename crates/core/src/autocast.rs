//! Mixed precision: products in f16, what needs the range or the digits in f32.

use crate::{DType, Op, Result, Tensor};
use std::cell::Cell;

/// What an operation does with its operands within [`autocast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precision {
    /// f32 operands become f16, and so does the result: products.
    Half,
    /// f16 operands become f32: sums, losses, exponentials.
    Wide,
    /// Operands of both types meet in f32; f16 alone stays f16.
    Meet,
}

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
}

/// Whether [`autocast`] is on for this thread.
pub fn autocasting() -> bool {
    ON.get()
}

/// Runs `f` in mixed precision: 16 bits where they suffice. Parameters, their gradients and an optimizer's moments stay
/// f32. Run the forward pass and the loss in it; [`backward`](Tensor::backward) follows what they did, inside or outside.
///
/// - Products (`matmul`, `linear`, convolutions, those of attention) take f32 operands as f16 and give f16; they sum in f32.
/// - Softmax, layer and RMS norms, losses, sums and means, powers, exponentials and logarithms take f16 operands as f32 and give f32.
/// - Element-wise operations of f16 and f32 meet in f32. Those of f16 alone stay f16: each is computed in f32 and
///   rounded once.
///
/// f64 and integers stay what they are. It holds for this thread and ends with `f`, also within a recorded step's closure.
/// A recorded step on a GPU rounds a chain of such operations once, at its end, and products whose result is widened at once
/// not at all; a `cast` to f16 is always done.
///
/// Use a loss scale with it: gradients below 6e-8 are 0 in f16.
///
/// ```
/// use wgrad_core::{DType, Device, Tensor, autocast};
/// let cpu = Device::cpu();
/// let (x, w) = (Tensor::ones([2, 3], &cpu)?, Tensor::ones([3, 4], &cpu)?.requiring_grad());
/// let (y, loss) = autocast(|| {
///     let y = x.matmul(&w)?.relu()?;
///     let loss = y.square()?.mean_all()?;
///     Ok::<_, wgrad_core::Error>((y, loss))
/// })?;
/// assert_eq!((y.dtype(), loss.dtype()), (DType::F16, DType::F32));
/// assert_eq!(loss.backward()?.wrt(&w)?.dtype(), DType::F32);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub fn autocast<T>(f: impl FnOnce() -> T) -> T {
    within(true, f)
}

/// Runs `f` without mixed precision although an [`autocast`] around it says otherwise.
pub fn full_precision<T>(f: impl FnOnce() -> T) -> T {
    within(false, f)
}

fn within<T>(on: bool, f: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ON.set(self.0);
        }
    }
    let _restore = Restore(ON.replace(on));
    f()
}

/// The operands in the types that the operation wants; `None` if they have them.
#[track_caller]
pub(crate) fn cast(op: &Op, ins: &[&Tensor]) -> Result<Option<Vec<Tensor>>> {
    if !ON.get() {
        return Ok(None);
    }
    let any = |dtype| ins.iter().any(|x| x.dtype() == dtype);
    let to = match op.precision() {
        Precision::Half => DType::F16,
        Precision::Wide => DType::F32,
        Precision::Meet if any(DType::F32) => DType::F32,
        Precision::Meet => return Ok(None),
    };
    let from = if to == DType::F16 { DType::F32 } else { DType::F16 };
    if !any(from) || any(DType::F64) {
        return Ok(None);
    }
    let cast = |x: &&Tensor| if x.dtype() == from { x.cast(to) } else { Ok((*x).clone()) };
    ins.iter().map(cast).collect::<Result<_>>().map(Some)
}

/// A tensor that is f16 within [`autocast`] as f32: for losses that begin with a difference.
#[track_caller]
pub(crate) fn widened(x: &Tensor) -> Result<Tensor> {
    if ON.get() && x.dtype() == DType::F16 { x.cast(DType::F32) } else { Ok(x.clone()) }
}
