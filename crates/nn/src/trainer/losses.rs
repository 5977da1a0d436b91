//! `Losses`: losses read some steps later, so that nobody waits while the device works.

use wgrad_core::{Error, READ_TIMEOUT, Read, Result, Tensor};

/// Losses on their way from the device. They are asked for a few at a time, and waited for when the next few are
/// asked for: by then they are there, and the device never stands still.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::Losses;
/// let mut losses = Losses::new(2);
/// for i in 0..5 {
///     losses.push(Tensor::scalar(i as f32, &Device::cpu())?, 32)?;
/// }
/// assert_eq!(losses.arrived(), [(0.0, 32), (1.0, 32)]);
/// losses.finish()?;
/// assert_eq!(losses.arrived().len(), 3);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub struct Losses {
    every: usize,
    waiting: Vec<(Tensor, usize)>,
    asked: Vec<(Read<f32>, usize)>,
    arrived: Vec<(f32, usize)>,
}

impl Losses {
    /// Asked for `every` so many steps, at least 1.
    pub fn new(every: usize) -> Self {
        Self { every: every.max(1), waiting: Vec::new(), asked: Vec::new(), arrived: Vec::new() }
    }

    /// Takes a step's loss (f32, one number: `[]`, `[1]` and so on) and the number of samples it is the mean of.
    ///
    /// # Errors
    /// `Shape` for a loss of several numbers or none, which `mean_all()` makes one; what reading gives.
    #[track_caller]
    pub fn push(&mut self, loss: Tensor, samples: usize) -> Result<()> {
        let count = loss.numel();
        if count != 1 {
            return Err(Error::shape(
                "losses",
                format!(
                    "a loss of the shape {:?} has {count} numbers, and a step's loss is one number; \
                     its mean is loss.mean_all()",
                    loss.shape()
                ),
            ));
        }
        self.waiting.push((loss, samples));
        if self.waiting.len() < self.every {
            return Ok(());
        }
        self.turn()
    }

    /// Waits for those that were asked for, and asks for the others.
    #[track_caller]
    pub(super) fn turn(&mut self) -> Result<()> {
        self.wait()?;
        self.ask()
    }

    /// Waits for all that are left.
    #[track_caller]
    pub fn finish(&mut self) -> Result<()> {
        self.turn()?;
        self.wait()
    }

    /// The losses that have come since this was last called, in their order.
    pub fn arrived(&mut self) -> Vec<(f32, usize)> {
        std::mem::take(&mut self.arrived)
    }

    #[track_caller]
    fn ask(&mut self) -> Result<()> {
        for (loss, samples) in self.waiting.drain(..) {
            self.asked.push((loss.read()?, samples));
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        for (read, samples) in self.asked.drain(..) {
            self.arrived.extend(read.wait(READ_TIMEOUT)?.into_iter().map(|loss| (loss, samples)));
        }
        Ok(())
    }
}
