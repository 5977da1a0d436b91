//! One step of an optimizer over a whole flat parameter buffer, in place. What changes between
//! steps (learning rate, step count) lies in a small tensor on the device.

use crate::{
    DType, Error, FlatParameters, Gradients, Meta, Result, Role, Shape, Tensor, op::Family,
};

/// Which variant of gradient descent; p parameters, g gradients, v velocity, hyper numbers.
///
/// `hyper = [rate, momentum, weight decay]`: g ← g + decay·p; v ← momentum·v + g; p ← p − rate·v
/// (with Nesterov: p ← p − rate·(g + momentum·v)). As PyTorch's SGD without dampening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sgd {
    /// Whether there is a velocity: ins p, g, hyper, v, else p, g, hyper.
    pub momentum: bool,
    /// Nesterov's look ahead.
    pub nesterov: bool,
}

/// Adam (Kingma and Ba 2015), or AdamW (Loshchilov and Hutter 2019) with `decoupled`.
///
/// ins p, g, hyper, m, v; `hyper = [rate, β₁, β₂, ε, decay, t, 1−β₁, 1−β₂, ln β₁, ln β₂]`, of which the
/// step count t advances on the device. The differences and logarithms are given since f32 would
/// lose their digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adam {
    /// Whether weight decay acts on the parameters and not on the gradients.
    pub decoupled: bool,
}

fn check(op: &'static str, ins: &[Meta], hyper: usize) -> Result<()> {
    let p = &ins[0];
    for (i, x) in ins.iter().enumerate() {
        let want = if i == 2 { Meta { shape: Shape::from_checked(&[hyper]), ..*p } } else { *p };
        if *x != want || x.dtype != DType::F32 {
            return Err(Error::shape(
                op,
                format!("operand {i} is {:?} {}, expected {:?} f32", x.shape, x.dtype, want.shape),
            ));
        }
    }
    Ok(())
}

impl Family for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        check("sgd", ins, 3)?;
        Ok(ins.iter().enumerate().filter(|(i, _)| *i == 0 || *i == 3).map(|(_, x)| *x).collect())
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("changes memory in place")
    }
    fn in_place(&self) -> bool {
        true
    }
}

impl Family for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        check("adam", ins, 10)?;
        Ok(vec![ins[0], ins[2], ins[3], ins[4]])
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("changes memory in place")
    }
    fn in_place(&self) -> bool {
        true
    }
}

impl FlatParameters {
    /// The numbers an optimizer needs each step, on the parameters' device.
    #[track_caller]
    pub fn hyper(&self, numbers: &[f32]) -> Result<Tensor> {
        let like = self.values();
        let shape = Shape::new("hyper", &[numbers.len()])?;
        let meta = Meta { shape, dtype: DType::F32 };
        let hyper = Tensor::empty("hyper", meta, like.device(), Role::Optimizer)?;
        self.set_hyper(&hyper, 0, numbers)?;
        Ok(hyper)
    }

    /// Overwrites some of the numbers, from position `at` on; ordered after all steps already taken.
    #[track_caller]
    pub fn set_hyper(&self, hyper: &Tensor, at: usize, numbers: &[f32]) -> Result<()> {
        let layout = hyper.layout();
        if hyper.dtype() != DType::F32 || layout.offset != 0 || !layout.is_contiguous() {
            return Err(Error::argument("hyper", "not a tensor made by `hyper`"));
        }
        if at.saturating_add(numbers.len()) > hyper.numel() {
            return Err(Error::range("hyper", "more numbers than the optimizer has"));
        }
        let buf = hyper.storage()?.buf();
        hyper.device().upload("hyper", buf, at * 4, bytemuck::cast_slice(numbers))
    }

    #[track_caller]
    fn gradients<'g>(
        &self,
        op: &'static str,
        gradients: &'g Gradients,
    ) -> Result<Option<&'g Tensor>> {
        match gradients.flat(self.id()) {
            Some(flat) => Ok(Some(flat.values())),
            None if self.values().numel() == 0 => Ok(None),
            None => Err(Error::graph(
                op,
                "the loss depends on none of these parameters; call backward on a loss of this model",
            )),
        }
    }

    /// One step of gradient descent; see [`Sgd`] for the numbers.
    #[track_caller]
    pub fn sgd(
        &self,
        gradients: &Gradients,
        hyper: &Tensor,
        velocity: Option<&Tensor>,
        nesterov: bool,
    ) -> Result<()> {
        let Some(g) = self.gradients("sgd", gradients)? else { return Ok(()) };
        let (p, op) = (self.values(), Sgd { momentum: velocity.is_some(), nesterov });
        match velocity {
            Some(v) => Tensor::run_in_place(op, &[p, g, hyper, v], &[p, v]),
            None => Tensor::run_in_place(op, &[p, g, hyper], &[p]),
        }
    }

    /// One step of Adam; see [`Adam`] for the numbers.
    #[track_caller]
    pub fn adam(
        &self,
        gradients: &Gradients,
        hyper: &Tensor,
        (m, v): (&Tensor, &Tensor),
        decoupled: bool,
    ) -> Result<()> {
        let Some(g) = self.gradients("adam", gradients)? else { return Ok(()) };
        let p = self.values();
        Tensor::run_in_place(Adam { decoupled }, &[p, g, hyper, m, v], &[p, hyper, m, v])
    }
}
