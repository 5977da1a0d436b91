//! How good predictions are.

use wgrad_core::{DType, Error, Result, Tensor, no_grad};

/// How many rows of logits `[n, classes]` have their largest value at the label `[n]` (i32): a
/// tensor of rank 0 (i32) on the device, so that nothing waits. Of equal logits the first counts.
#[track_caller]
pub fn count_correct(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    if logits.rank() != 2 || logits.shape()[..1] != *labels.shape() {
        return Err(Error::shape(
            "accuracy",
            format!(
                "logits {:?} need one label per row, got labels {:?}",
                logits.shape(),
                labels.shape()
            ),
        ));
    }
    no_grad(|| logits.argmax(1)?.try_eq(labels)?.cast(DType::I32)?.sum_all())
}

/// The share, in [0, 1], of rows of logits `[n, classes]` whose largest value is at the label `[n]`
/// (i32); waits for the device. No row at all is an error.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// let cpu = Device::cpu();
/// let logits = Tensor::from_vec([0.1f32, 0.9, 0.8, 0.2], [2, 2], &cpu)?;
/// let labels = Tensor::from_vec([1i32, 1], [2], &cpu)?;
/// assert_eq!(wgrad_nn::accuracy(&logits, &labels)?, 0.5);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[track_caller]
pub fn accuracy(logits: &Tensor, labels: &Tensor) -> Result<f64> {
    let correct = count_correct(logits, labels)?;
    if labels.numel() == 0 {
        return Err(Error::empty("accuracy", "no rows; there is nothing to count"));
    }
    Ok(f64::from(correct.item::<i32>()?) / labels.numel() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_core::{Device, ErrorKind};

    #[test]
    fn bad_shapes_and_types() -> Result<()> {
        let cpu = Device::cpu();
        let logits = Tensor::zeros([3, 4], &cpu)?;
        let kind = |labels: Tensor| accuracy(&logits, &labels).err().map(|e| e.kind());
        assert_eq!(kind(Tensor::from_vec([0i32; 2], [2], &cpu)?), Some(ErrorKind::Shape));
        assert_eq!(kind(Tensor::from_vec([0i32; 3], [3, 1], &cpu)?), Some(ErrorKind::Shape));
        assert_eq!(kind(Tensor::zeros([3], &cpu)?), Some(ErrorKind::DType));
        let none =
            accuracy(&Tensor::zeros([0, 4], &cpu)?, &Tensor::from_vec([0i32; 0], [0], &cpu)?);
        assert_eq!(none.err().map(|e| e.kind()), Some(ErrorKind::Empty));
        Ok(())
    }
}
