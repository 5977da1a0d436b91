//! Recurrent layers: the same weights at every place of a sequence.

mod gru;
mod lstm;

pub use gru::{Gru, GruCell};
pub use lstm::{Lstm, LstmCell, LstmState};

use crate::{Init, Parameter, Visitor};
use wgrad_core::{Error, Result, Tensor};

/// The weights of one cell, with a block of rows for each of its gates.
#[derive(Debug)]
struct Gates {
    /// `[gates · hidden, inputs]`
    weight_ih: Parameter,
    /// `[gates · hidden, hidden]`
    weight_hh: Parameter,
    bias_ih: Parameter,
    bias_hh: Parameter,
}

impl Gates {
    /// All evenly spread over ±1/√hidden, PyTorch's default.
    #[track_caller]
    fn new(gates: usize, inputs: usize, hidden: usize, init: &mut Init) -> Result<Gates> {
        let rows = match gates.checked_mul(hidden) {
            Some(rows) if rows > 0 && inputs > 0 => rows,
            _ => {
                return Err(Error::argument(
                    "recurrent",
                    format!("{inputs} inputs and a state of {hidden}; both must be at least 1"),
                ));
            }
        };
        let bound = 1.0 / (hidden as f32).sqrt();
        Ok(Gates {
            weight_ih: init.uniform(&[rows, inputs], bound)?,
            weight_hh: init.uniform(&[rows, hidden], bound)?,
            bias_ih: init.uniform(&[rows], bound)?,
            bias_hh: init.uniform(&[rows], bound)?,
        })
    }

    /// Shows the parameters under PyTorch's names, which end in the layer's number (`_l0`) in a stack.
    fn visit(&self, v: &mut Visitor, ending: &str) {
        v.field(format!("weight_ih{ending}"), &self.weight_ih);
        v.field(format!("weight_hh{ending}"), &self.weight_hh);
        v.field(format!("bias_ih{ending}"), &self.bias_ih);
        v.field(format!("bias_hh{ending}"), &self.bias_hh);
    }

    fn hidden(&self) -> usize {
        self.weight_hh.shape().get(1).copied().unwrap_or_default()
    }

    /// What inputs `[.., inputs]` give to the gates.
    #[track_caller]
    fn input_part(&self, x: &Tensor) -> Result<Tensor> {
        x.linear(self.weight_ih.tensor()?, Some(self.bias_ih.tensor()?), None)
    }

    /// What the state `[b, hidden]` gives to the gates.
    #[track_caller]
    fn state_part(&self, h: &Tensor) -> Result<Tensor> {
        h.linear(self.weight_hh.tensor()?, Some(self.bias_hh.tensor()?), None)
    }
}

/// An error unless a state is `[layers, b, hidden]`.
#[track_caller]
fn check_state(op: &'static str, state: &Tensor, want: [usize; 3]) -> Result<()> {
    if state.shape() == want {
        return Ok(());
    }
    Err(Error::shape(
        op,
        format!("a state {:?} where [layers, batch, hidden] is {want:?}", state.shape()),
    ))
}

/// How long a sequence is and how many there are, of `[t, b, inputs]` or `[b, t, inputs]`.
#[track_caller]
fn sizes(op: &'static str, x: &Tensor, batch_first: bool) -> Result<[usize; 2]> {
    let &[first, second, _] = x.shape() else {
        let order = if batch_first { "[batch, t, inputs]" } else { "[t, batch, inputs]" };
        return Err(Error::rank(op, format!("needs {order}, got {:?}", x.shape())));
    };
    let [t, b] = if batch_first { [second, first] } else { [first, second] };
    if t == 0 {
        return Err(Error::empty(op, format!("a sequence of no places, {:?}", x.shape())));
    }
    Ok([t, b])
}
