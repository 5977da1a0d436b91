//! One step of an optimizer over a whole flat parameter buffer, in place. What changes between
//! steps (learning rate, step count) lies in small tensors on the device.

use crate::{
    DType, Error, FlatParameters, Gradients, Meta, Result, Role, Shape, Tensor, op::Family,
};

/// How parameters p follow their gradients g, with the numbers that `hyper` begins with. The rate of a step is the
/// first of them times the factor of the parameter's range, and `decay` is that of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `[rate, μ]`: g ← g + decay·p; v ← μ·v + g; p ← p − rate·v, or with Nesterov's look ahead
    /// p ← p − rate·(g + μ·v). PyTorch's SGD without dampening. One moment, v, if there is momentum.
    Sgd {
        /// Whether there is a velocity.
        momentum: bool,
        /// Nesterov's look ahead.
        nesterov: bool,
    },
    /// `[rate, β₁, β₂, ε, 1−β₁, 1−β₂, ln β₁, ln β₂]`: Kingma and Ba 2015. Two moments and step counters. The
    /// differences and logarithms are given since f32 would lose their digits.
    Adam {
        /// Whether weight decay acts on the parameters and not on the gradients: Loshchilov and Hutter 2019.
        decoupled: bool,
    },
    /// `[rate, α, 1−α, ε, μ]`: s ← α·s + (1−α)·g²; d = g / (√s + ε); v ← μ·v + d; p ← p − rate·v. As PyTorch's. The
    /// moments are s, then the mean gradient a if centered (√(s − a²) takes the place of √s), then v if there is
    /// momentum.
    RmsProp {
        /// Whether the variance of the gradient takes the place of its square.
        centered: bool,
        /// Whether there is a velocity.
        momentum: bool,
    },
    /// `[rate, ε]`: s ← s + g²; p ← p − rate·g / (√s + ε). Duchi, Hazan and Singer 2011. One moment.
    Adagrad,
    /// `[rate, β₁, β₂, 1−β₁, 1−β₂]`: p ← p − rate·(sign(β₁·m + (1−β₁)·g) + decay·p); m ← β₂·m + (1−β₂)·g. Chen and
    /// others 2023. One moment.
    Lion,
}

/// Numbers that `hyper` begins with.
pub const NUMBERS: usize = 8;
/// Numbers of each range of parameters after them.
pub const RANGE: usize = 4;

impl Rule {
    /// The name in errors, logs and tables.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Sgd { .. } => "sgd",
            Rule::Adam { decoupled: false } => "adam",
            Rule::Adam { decoupled: true } => "adamw",
            Rule::RmsProp { .. } => "rmsprop",
            Rule::Adagrad => "adagrad",
            Rule::Lion => "lion",
        }
    }

    /// How many buffers of the parameters' size it keeps.
    pub fn moments(self) -> usize {
        match self {
            Rule::Sgd { momentum, .. } => usize::from(momentum),
            Rule::Adam { .. } => 2,
            Rule::RmsProp { centered, momentum } => {
                1 + usize::from(centered) + usize::from(momentum)
            }
            Rule::Adagrad | Rule::Lion => 1,
        }
    }

    /// Whether it counts its steps.
    pub fn counts(self) -> bool {
        matches!(self, Rule::Adam { .. })
    }

    /// How many step counters there are for so many parameters. All are equal. Each workgroup reads and advances one of
    /// its own, since no workgroup may write what another one reads.
    pub fn counters(parameters: usize) -> usize {
        parameters.div_ceil(256).clamp(1, 4096)
    }
}

/// The numbers in `hyper` of a range of parameters that begins at element `start` of the flat buffer: factor of the
/// rate, and weight decay. The start is split, since f32 counts to 2²⁴ only.
pub fn range(start: usize, factor: f32, decay: f32) -> [f32; RANGE] {
    [(start >> 16) as f32, (start & 0xffff) as f32, factor, decay]
}

/// One step of an optimizer, in place.
///
/// ins p, g, hyper, the rule's moments, its step counters, and where steps may be skipped the flags of which the first
/// word says so; outs p, moments, counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Update {
    /// The rule.
    pub rule: Rule,
    /// Whether the last operand says if the step is skipped.
    pub skips: bool,
    /// Whether all ranges begin at multiples of 4.
    pub fours: bool,
}

impl Update {
    /// Position of the flags among the operands.
    pub fn flags(&self) -> Option<usize> {
        self.skips.then(|| 3 + self.rule.moments() + usize::from(self.rule.counts()))
    }
}

impl Family for Update {
    fn name(&self) -> &'static str {
        self.rule.name()
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let (op, rule) = (self.name(), self.rule);
        let state = 3 + rule.moments() + usize::from(rule.counts());
        let (Some(p), true) = (ins.first(), ins.len() == state + usize::from(self.skips)) else {
            return Err(Error::argument(
                op,
                format!(
                    "{} moments and counters given, the rule keeps {}",
                    ins.len().saturating_sub(3),
                    state - 3
                ),
            ));
        };
        let list = |n: usize, dtype| Meta { shape: Shape::from_checked(&[n]), dtype };
        for (i, x) in ins.iter().enumerate() {
            let want = match i {
                2 => {
                    let rows = x.shape.numel().saturating_sub(NUMBERS);
                    list(NUMBERS + rows.next_multiple_of(RANGE).max(RANGE), DType::F32)
                }
                _ if self.flags() == Some(i) => list(4, DType::U32),
                _ if i == 3 + rule.moments() => list(Rule::counters(p.shape.numel()), DType::F32),
                _ => Meta { dtype: DType::F32, ..*p },
            };
            if *x != want {
                return Err(Error::shape(
                    op,
                    format!(
                        "operand {i} is {:?} {}, expected {:?} {}",
                        x.shape, x.dtype, want.shape, want.dtype
                    ),
                ));
            }
        }
        Ok(ins
            .iter()
            .enumerate()
            .filter(|(i, _)| *i == 0 || (3..state).contains(i))
            .map(|(_, x)| *x)
            .collect())
    }
    fn no_gradient(&self) -> Option<&'static str> {
        Some("changes memory in place")
    }
    fn in_place(&self) -> bool {
        true
    }
}

/// Whether two tensors have elements in the same memory, or between each other's.
fn overlap(x: &Tensor, y: &Tensor) -> Result<bool> {
    let span = |x: &Tensor| {
        let layout = x.layout();
        let sides = layout.shape.iter().zip(layout.strides.iter());
        let length: usize = sides.map(|(&n, &step)| n.saturating_sub(1) * step).sum();
        (layout.offset, layout.offset + length)
    };
    let ((x1, x2), (y1, y2)) = (span(x), span(y));
    Ok(std::sync::Arc::ptr_eq(x.storage()?, y.storage()?) && x1 <= y2 && y1 <= x2)
}

/// An error if what a step changes shares memory with another operand.
#[track_caller]
fn apart(op: Update, ins: &[&Tensor]) -> Result<()> {
    let changed = |i: usize| i != 1 && i != 2 && op.flags() != Some(i);
    let name = |i: usize| match i {
        0 => "the parameters".to_owned(),
        1 => "the gradients".to_owned(),
        2 => "the numbers".to_owned(),
        i if op.flags() == Some(i) => "the flags".to_owned(),
        i => format!("moment {}", i - 3),
    };
    for (j, y) in ins.iter().enumerate() {
        for (i, x) in ins.iter().enumerate().take(j) {
            if (changed(i) || changed(j)) && overlap(x, y)? {
                return Err(Error::argument(
                    op.name(),
                    format!(
                        "{} and {} lie in the same memory, which a step changes while it reads it; give a copy",
                        name(i),
                        name(j)
                    ),
                ));
            }
        }
    }
    Ok(())
}

impl FlatParameters {
    /// The numbers an optimizer needs each step, on the parameters' device: those of its [`Rule`], and for each range
    /// of parameters what [`range`] gives, in order and from 0 on.
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

    /// The moments that a rule keeps, all zero, and its step counters if it has any.
    #[track_caller]
    pub fn moments(&self, rule: Rule) -> Result<Vec<Tensor>> {
        let mut all = (0..rule.moments()).map(|_| self.zeros_like()).collect::<Result<Vec<_>>>()?;
        if rule.counts() {
            let like = self.values();
            let shape = Shape::from_checked(&[Rule::counters(like.numel())]);
            let meta = Meta { shape, dtype: DType::F32 };
            let steps = Tensor::empty("moments", meta, like.device(), Role::Optimizer)?;
            steps.fill_in_place(0.0)?;
            all.push(steps);
        }
        Ok(all)
    }

    /// One step of an optimizer over all parameters, in place. `hyper` and `moments` are what [`hyper`](Self::hyper)
    /// and [`moments`](Self::moments) made for this rule. Nothing changes if the gradients' loss scale overflowed.
    ///
    /// # Errors
    /// `Argument` if parameters, gradients and moments overlap in memory, `Shape` for those of another
    /// rule or model, `Graph` if the loss depends on none of these parameters.
    #[track_caller]
    pub fn update(
        &self,
        rule: Rule,
        gradients: &Gradients,
        hyper: &Tensor,
        moments: &[Tensor],
    ) -> Result<()> {
        let p = self.values();
        let g = match gradients.flat(self.id()) {
            Some(flat) => flat.values(),
            None if p.numel() == 0 => return Ok(()),
            None => {
                return Err(Error::graph(
                    rule.name(),
                    "the loss depends on none of these parameters; call backward on a loss of this model",
                ));
            }
        };
        if p.numel() == 0 {
            return Ok(());
        }
        let one_range = hyper.numel() <= NUMBERS + RANGE;
        let whole = |(_, x): (&str, &Tensor)| x.layout().offset.is_multiple_of(4);
        let fours = one_range || self.iter().all(whole);
        let op = Update { rule, skips: gradients.skip().is_some(), fours };
        let mut ins = vec![p, g, hyper];
        ins.extend(moments);
        ins.extend(gradients.skip());
        let outs: Vec<&Tensor> = std::iter::once(p).chain(moments).collect();
        apart(op, &ins)?;
        Tensor::run_in_place(op, &ins, &outs)
    }
}
