//! Dropout: elements become 0 at random. The mask is not kept: backward draws the same numbers again.

use super::need_float;
use crate::{
    DType, Device, Error, Grad, Meta, Result, Role, Shape, Tensor,
    op::{Family, Saves},
};

/// The device's random state `[4]` (u32: key, counter) -> a copy of it `[4]`; the state itself moves on past
/// `blocks` counters, which are from then on the taker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakeRandom {
    /// Counters taken, of four numbers each.
    pub blocks: u64,
}

impl Family for TakeRandom {
    fn name(&self) -> &'static str {
        "take_random"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        Ok(vec![ins[0], ins[0]])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("made from random numbers")
    }
    fn in_place(&self) -> bool {
        true
    }
}

/// x and a random state `[4]` -> like x: 0 where the element's random number is at most `last`, else `scale·x`.
/// Elements 4i to 4i+3, in row-major order, get the numbers of counter i.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The largest random number that drops its element.
    pub last: u32,
    /// What kept elements are multiplied by.
    pub scale: f32,
}

impl Family for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let (x, state) = (&ins[0], &ins[1]);
        need_float("dropout", x)?;
        if *state.shape != [4] || state.dtype != DType::U32 {
            return Err(Error::internal("dropout", "a random state has four numbers of u32"));
        }
        Ok(vec![*x])
    }
    fn saves(&self) -> Saves {
        Saves::inputs(0b10)
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        g.each(|i| g.last(i, *self, &[g.cotangent()?, g.input(1)?]))
    }
}

impl Tensor {
    /// Sets each element to 0 with probability `p` and multiplies the others by `1/(1-p)`, so that the mean stays
    /// (Srivastava et al. 2014). The numbers come from the device's stream ([`Device::seed`]): the same
    /// elements are dropped on every device. Dropped elements are 0 also where x is infinite or NaN. With
    /// `p = 0` it is x itself and takes nothing from the stream; with `p = 1` all is 0. Another p is an error.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let x = Tensor::full_like(&Tensor::zeros([1000], &cpu)?, 3.0)?;
    /// let y = x.dropout(0.25)?.to_vec::<f32>()?;
    /// assert!(y.iter().all(|&y| y == 0.0 || y == 4.0));
    /// let dropped = y.iter().filter(|&&y| y == 0.0).count();
    /// assert!((200..300).contains(&dropped));
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn dropout(&self, p: f32) -> Result<Tensor> {
        if !(0.0..=1.0).contains(&p) {
            return Err(Error::argument(
                "dropout",
                format!("p {p}; a probability lies between 0 and 1"),
            ));
        }
        self.storage()?;
        need_float("dropout", &self.meta())?;
        // How many of the 2^32 random numbers drop their element.
        let dropping = (f64::from(p) * 4_294_967_296.0) as u64;
        let Some(last) = dropping.checked_sub(1) else { return Ok(self.clone()) };
        let last = u32::try_from(last).unwrap_or(u32::MAX);
        let scale = if p < 1.0 { (1.0 / (1.0 - f64::from(p))) as f32 } else { 0.0 };
        let state = taken(self.numel().div_ceil(4) as u64, self.device())?;
        Tensor::run(Dropout { last, scale }, &[self, &state])
    }
}

/// Takes so many counters of the device's stream: the state from which they start.
#[track_caller]
fn taken(blocks: u64, device: &Device) -> Result<Tensor> {
    let op = TakeRandom { blocks };
    let meta = Meta { shape: Shape::new("dropout", &[4])?, dtype: DType::U32 };
    let out = Tensor::empty("dropout", meta, device, Role::Activations)?;
    let at = std::panic::Location::caller();
    crate::backend::set_caller(at);
    let run = device.with_random(|device, state| {
        let state = Device::random_view(state);
        device.run(&op.into(), std::slice::from_ref(&state), &[out.view()?, state.clone()])
    });
    run.map_err(|e| e.at(at))?;
    Ok(out)
}
