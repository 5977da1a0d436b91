//! Gated recurrent unit.

use super::{Gates, check_state, sizes};
use crate::{Init, Layer, Module, Visitor};
use wgrad_core::{Error, Result, Tensor};

/// One step of a gated recurrent unit (Cho et al. 2014), as PyTorch computes it: reset, update and new gate in that
/// order; `n = tanh(x_n + r·h_n)`, `h = (1 - z)·n + z·h`.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{GruCell, Init, Module};
/// let cpu = Device::cpu();
/// let cell = GruCell::new(3, 8, &mut Init::new(1))?.on(&cpu)?;
/// let x = Tensor::ones([2, 3], &cpu)?;
/// let h = cell.step(&x, None)?;
/// assert_eq!(cell.step(&x, Some(&h))?.shape(), [2, 8]);
/// assert_eq!(cell.names(), ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct GruCell(Gates);

impl Module for GruCell {
    fn visit(&self, v: &mut Visitor) {
        self.0.visit(v, "");
    }
}

impl GruCell {
    /// A cell for inputs and a state of these sizes, neither 0.
    #[track_caller]
    pub fn new(inputs: usize, hidden: usize, init: &mut Init) -> Result<Self> {
        Ok(Self(Gates::new(3, inputs, hidden, init)?))
    }

    /// The state `[b, hidden]` after x `[b, inputs]`; without a state before it, that is 0.
    #[track_caller]
    pub fn step(&self, x: &Tensor, before: Option<&Tensor>) -> Result<Tensor> {
        let &[b, _] = x.shape() else {
            return Err(Error::rank("gru", format!("needs [batch, inputs], got {:?}", x.shape())));
        };
        let from_input = self.0.input_part(x)?;
        match before {
            Some(before) => self.after(&from_input, before),
            None => self.after(&from_input, &Tensor::zeros([b, self.0.hidden()], x.device())?),
        }
    }

    #[track_caller]
    fn after(&self, from_input: &Tensor, h: &Tensor) -> Result<Tensor> {
        let hidden = self.0.hidden();
        let (x, s) = (from_input.split(1, hidden)?, self.0.state_part(h)?.split(1, hidden)?);
        let ([xr, xz, xn], [sr, sz, sn]) = (&x[..], &s[..]) else {
            return Err(Error::internal("gru", "no three gates"));
        };
        let reset = xr.try_add(sr)?.sigmoid()?;
        let update = xz.try_add(sz)?.sigmoid()?;
        let new = xn.try_add(&reset.try_mul(sn)?)?.tanh()?;
        new.try_add(&update.try_mul(&h.try_sub(&new)?)?)
    }
}

/// Layers of gated recurrent units over sequences `[t, b, inputs]`, or `[b, t, inputs]` if made so. Parameters have
/// PyTorch's names, layouts and order (`weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `weight_ih_l1`, ..).
/// What the inputs of a layer give to its gates is one product for all places.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Gru, Init, Module};
/// let cpu = Device::cpu();
/// let gru = Gru::new(3, 8, 2, &mut Init::new(1))?.batch_first().on(&cpu)?;
/// let (y, h) = gru.run(&Tensor::ones([4, 5, 3], &cpu)?, None)?;
/// assert_eq!((y.shape(), h.shape()), (&[4, 5, 8][..], &[2, 4, 8][..]));
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Gru {
    layers: Vec<GruCell>,
    batch_first: bool,
}

impl Module for Gru {
    fn visit(&self, v: &mut Visitor) {
        for (i, layer) in self.layers.iter().enumerate() {
            layer.0.visit(v, &format!("_l{i}"));
        }
    }
}

impl Gru {
    /// `layers` layers, at least one, the first for `inputs` and each with a state of `hidden`.
    #[track_caller]
    pub fn new(inputs: usize, hidden: usize, layers: usize, init: &mut Init) -> Result<Self> {
        if layers == 0 {
            return Err(Error::argument("gru", "0 layers; at least one is needed"));
        }
        let mut cells = vec![GruCell::new(inputs, hidden, init)?];
        for _ in 1..layers {
            cells.push(GruCell::new(hidden, hidden, init)?);
        }
        Ok(Self { layers: cells, batch_first: false })
    }

    /// The same for sequences `[b, t, inputs]`; states stay `[layers, b, hidden]`.
    #[must_use]
    pub fn batch_first(mut self) -> Self {
        self.batch_first = true;
        self
    }

    /// The outputs of the last layer at all places, and the state `[layers, b, hidden]` after the last place;
    /// without a state before, that is 0. To carry a state from batch to batch without gradients through it,
    /// detach it.
    #[track_caller]
    pub fn run(&self, x: &Tensor, before: Option<&Tensor>) -> Result<(Tensor, Tensor)> {
        let [_, b] = sizes("gru", x, self.batch_first)?;
        let hidden = self.layers.first().map_or(0, |layer| layer.0.hidden());
        let want = [self.layers.len(), b, hidden];
        let states = match before {
            Some(before) => {
                check_state("gru", before, want)?;
                before.unbind(0)?
            }
            None => vec![Tensor::zeros([b, hidden], x.device())?; want[0]],
        };
        let time = isize::from(self.batch_first);
        let mut y = x.clone();
        let mut last = Vec::new();
        for (layer, mut h) in self.layers.iter().zip(states) {
            let mut outputs = Vec::new();
            for from_input in layer.0.input_part(&y)?.unbind(time)? {
                h = layer.after(&from_input, &h)?;
                outputs.push(h.clone());
            }
            y = Tensor::stack(&outputs.iter().collect::<Vec<_>>(), time)?;
            last.push(h);
        }
        Ok((y, Tensor::stack(&last.iter().collect::<Vec<_>>(), 0)?))
    }
}

impl Layer for Gru {
    /// The outputs alone, from a state of 0.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.run(x, None)?.0)
    }
}
