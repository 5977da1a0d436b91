//! Long short-term memory.

use super::{Gates, check_state, sizes};
use crate::{Init, Layer, Module, Visitor};
use wgrad_core::{Error, Result, Tensor};

/// State of an [`Lstm`] (`[layers, b, hidden]` each) or of one [`LstmCell`] (`[b, hidden]` each).
#[derive(Clone, Debug)]
pub struct LstmState {
    /// What the next layer sees.
    pub h: Tensor,
    /// What the cell keeps for itself.
    pub c: Tensor,
}

/// One step of long short-term memory (Hochreiter and Schmidhuber 1997), as PyTorch computes it: input, forget, cell
/// and output gate in that order; `c = f·c + i·g`, `h = o·tanh(c)`.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Init, LstmCell, Module};
/// let cpu = Device::cpu();
/// let cell = LstmCell::new(3, 8, &mut Init::new(1))?.on(&cpu)?;
/// let x = Tensor::ones([2, 3], &cpu)?;
/// let state = cell.step(&x, None)?;
/// let state = cell.step(&x, Some(&state))?;
/// assert_eq!(state.h.shape(), [2, 8]);
/// assert_eq!(cell.names(), ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct LstmCell(Gates);

impl Module for LstmCell {
    fn visit(&self, v: &mut Visitor) {
        self.0.visit(v, "");
    }
}

impl LstmCell {
    /// A cell for inputs and a state of these sizes, neither 0.
    #[track_caller]
    pub fn new(inputs: usize, hidden: usize, init: &mut Init) -> Result<Self> {
        Ok(Self(Gates::new(4, inputs, hidden, init)?))
    }

    /// The state after x `[b, inputs]`; without a state before it, that is 0.
    #[track_caller]
    pub fn step(&self, x: &Tensor, before: Option<&LstmState>) -> Result<LstmState> {
        let &[b, _] = x.shape() else {
            return Err(Error::rank("lstm", format!("needs [batch, inputs], got {:?}", x.shape())));
        };
        let from_input = self.0.input_part(x)?;
        match before {
            Some(before) => self.after(&from_input, before),
            None => {
                let zero = Tensor::zeros([b, self.0.hidden()], x.device())?;
                self.after(&from_input, &LstmState { h: zero.clone(), c: zero })
            }
        }
    }

    #[track_caller]
    fn after(&self, from_input: &Tensor, before: &LstmState) -> Result<LstmState> {
        let gates = from_input.try_add(&self.0.state_part(&before.h)?)?;
        let [i, f, g, o] = &gates.split(1, self.0.hidden())?[..] else {
            return Err(Error::internal("lstm", "no four gates"));
        };
        let kept = f.sigmoid()?.try_mul(&before.c)?;
        let c = kept.try_add(&i.sigmoid()?.try_mul(&g.tanh()?)?)?;
        Ok(LstmState { h: o.sigmoid()?.try_mul(&c.tanh()?)?, c })
    }
}

/// Layers of long short-term memory over sequences `[t, b, inputs]`, or `[b, t, inputs]` if made so. Parameters have
/// PyTorch's names, layouts and order (`weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `weight_ih_l1`, ..).
/// What the inputs of a layer give to its gates is one product for all places.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Init, Lstm, Module};
/// let cpu = Device::cpu();
/// let lstm = Lstm::new(3, 8, 2, &mut Init::new(1))?.on(&cpu)?;
/// let x = Tensor::ones([5, 4, 3], &cpu)?;
/// let (y, state) = lstm.run(&x, None)?;
/// assert_eq!((y.shape(), state.h.shape()), (&[5, 4, 8][..], &[2, 4, 8][..]));
/// let (_, state) = lstm.run(&x, Some(&state))?; // goes on where it was
/// assert_eq!(state.c.shape(), [2, 4, 8]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Lstm {
    layers: Vec<LstmCell>,
    batch_first: bool,
}

impl Module for Lstm {
    fn visit(&self, v: &mut Visitor) {
        for (i, layer) in self.layers.iter().enumerate() {
            layer.0.visit(v, &format!("_l{i}"));
        }
    }
}

impl Lstm {
    /// `layers` layers, at least one, the first for `inputs` and each with a state of `hidden`.
    #[track_caller]
    pub fn new(inputs: usize, hidden: usize, layers: usize, init: &mut Init) -> Result<Self> {
        if layers == 0 {
            return Err(Error::argument("lstm", "0 layers; at least one is needed"));
        }
        let mut cells = vec![LstmCell::new(inputs, hidden, init)?];
        for _ in 1..layers {
            cells.push(LstmCell::new(hidden, hidden, init)?);
        }
        Ok(Self { layers: cells, batch_first: false })
    }

    /// The same for sequences `[b, t, inputs]`; states stay `[layers, b, hidden]`.
    #[must_use]
    pub fn batch_first(mut self) -> Self {
        self.batch_first = true;
        self
    }

    /// The outputs of the last layer at all places, and the state after the last place; without a state before,
    /// that is 0. To carry a state from batch to batch without gradients through it, detach its tensors.
    #[track_caller]
    pub fn run(&self, x: &Tensor, before: Option<&LstmState>) -> Result<(Tensor, LstmState)> {
        let [_, b] = sizes("lstm", x, self.batch_first)?;
        let hidden = self.layers.first().map_or(0, |layer| layer.0.hidden());
        let want = [self.layers.len(), b, hidden];
        let (h, c) = match before {
            Some(before) => {
                check_state("lstm", &before.h, want)?;
                check_state("lstm", &before.c, want)?;
                (before.h.unbind(0)?, before.c.unbind(0)?)
            }
            None => {
                let zero = Tensor::zeros([b, hidden], x.device())?;
                (vec![zero.clone(); want[0]], vec![zero; want[0]])
            }
        };
        let time = isize::from(self.batch_first);
        let mut y = x.clone();
        let (mut last_h, mut last_c) = (Vec::new(), Vec::new());
        for (layer, (h, c)) in self.layers.iter().zip(h.into_iter().zip(c)) {
            let mut state = LstmState { h, c };
            let mut outputs = Vec::new();
            for from_input in layer.0.input_part(&y)?.unbind(time)? {
                state = layer.after(&from_input, &state)?;
                outputs.push(state.h.clone());
            }
            y = Tensor::stack(&outputs.iter().collect::<Vec<_>>(), time)?;
            last_h.push(state.h);
            last_c.push(state.c);
        }
        let stack = |parts: &[Tensor]| Tensor::stack(&parts.iter().collect::<Vec<_>>(), 0);
        Ok((y, LstmState { h: stack(&last_h)?, c: stack(&last_c)? }))
    }
}

impl Layer for Lstm {
    /// The outputs alone, from a state of 0.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.run(x, None)?.0)
    }
}
