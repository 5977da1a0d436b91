//! Writing into existing memory: the parameters of a model, an optimizer's state.

use super::need_same;
use crate::{Error, Meta, Result, Tensor, op::Family, ops::create::Fill};

/// Copies into existing memory. Does nothing while a fault is pending on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assign;

impl Family for Assign {
    fn name(&self) -> &'static str {
        "assign"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let (to, from) = (&ins[0], &ins[1]);
        need_same("assign", to, from)?;
        if to.shape != from.shape {
            return Err(Error::shape(
                "assign",
                format!(
                    "{:?} cannot be written into {:?}; shapes must be equal",
                    from.shape, to.shape
                ),
            ));
        }
        Ok(vec![*to])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("changes memory in place")
    }
    fn in_place(&self) -> bool {
        true
    }
}

impl Tensor {
    /// Overwrites this tensor's elements in place; all views of the memory see it. Backward over a
    /// value changed like this is an error.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::zeros([2], &cpu)?;
    /// x.assign(&Tensor::from_vec([1.0f32, 2.0], [2], &cpu)?)?;
    /// assert_eq!(x.to_vec::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn assign(&self, values: &Tensor) -> Result<()> {
        if self.is_computed() {
            return Err(Error::graph(
                "assign",
                "this tensor was computed in a gradient graph, which would not see the change; \
                 assign to detach() of it",
            ));
        }
        let layout = self.layout();
        if layout.shape.iter().zip(layout.strides.iter()).any(|(&n, &step)| n > 1 && step == 0) {
            return Err(Error::argument(
                "assign",
                format!(
                    "a broadcast view {:?} shows one element many times; assign to its base",
                    self.shape()
                ),
            ));
        }
        Tensor::run_in_place(Assign, &[self, values], &[self])
    }

    /// Sets every element in place.
    #[track_caller]
    pub(crate) fn fill_in_place(&self, value: f64) -> Result<()> {
        let op = Fill { shape: self.shape_inline(), dtype: self.dtype(), value };
        Tensor::run_in_place(op, &[self], &[self])
    }
}
