//! Inputs: drawn from Philox, rounded so that f64 and f32 see the same numbers, and laid into memory
//! in every way a view can lie.

use wgrad_core::{DType, Device, Result, Tensor, philox::Stream};

/// What an input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Floating-point, in the type the row is run in.
    Float,
    I32,
    U32,
    Bool,
}

/// How values are drawn.
#[derive(Clone, Debug)]
pub enum Draw {
    /// Evenly from a range.
    Uniform(f64, f64),
    /// Of either sign, at least the first number away from zero and at most the second: away from kinks.
    Away(f64, f64),
    /// Whole numbers from a range, the end not included.
    Whole(i64, i64),
    /// These, repeated as needed.
    Given(Vec<f64>),
}

/// How a tensor lies in its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// One element after the other.
    Plain,
    /// The last two axes exchanged.
    Transposed,
    /// All axes in reverse order.
    Permuted,
    /// A slice of a larger tensor along the last axis, from element 1 on.
    Offset,
    /// A slice along the first axis, from row 2 on, so that rows stay whole.
    Rows,
    /// Every second element along the last axis.
    Stepped,
    /// Repeated along the first axis, with stride 0.
    Spread,
    /// Repeated along the last axis, with stride 0.
    SpreadInner,
}

/// One input of a case.
#[derive(Clone, Debug)]
pub struct Input {
    pub shape: Vec<usize>,
    pub kind: Kind,
    pub draw: Draw,
    pub lie: Lie,
    /// Whether gradients are asked for.
    pub grad: bool,
}

/// Floating-point numbers of a shape, from a range, differentiated.
pub fn floats(shape: &[usize], low: f64, high: f64) -> Input {
    Input::new(shape, Kind::Float, Draw::Uniform(low, high))
}

/// Floating-point numbers of either sign, away from zero.
pub fn away(shape: &[usize], gap: f64, high: f64) -> Input {
    Input::new(shape, Kind::Float, Draw::Away(gap, high))
}

/// Given floating-point numbers, without gradient.
pub fn given(shape: &[usize], values: &[f64]) -> Input {
    Input::new(shape, Kind::Float, Draw::Given(values.to_vec())).fixed()
}

/// Whole numbers (i32) from a range.
pub fn whole(shape: &[usize], low: i64, end: i64) -> Input {
    Input::new(shape, Kind::I32, Draw::Whole(low, end)).fixed()
}

/// Truth values.
pub fn truth(shape: &[usize]) -> Input {
    Input::new(shape, Kind::Bool, Draw::Whole(0, 2)).fixed()
}

impl Input {
    fn new(shape: &[usize], kind: Kind, draw: Draw) -> Input {
        Input { shape: shape.to_vec(), kind, draw, lie: Lie::Plain, grad: true }
    }

    /// Laid out otherwise.
    pub fn lie(mut self, lie: Lie) -> Input {
        self.lie = lie;
        self
    }

    /// No gradient is asked for.
    pub fn fixed(mut self) -> Input {
        self.grad = false;
        self
    }

    /// As another type.
    pub fn kind(mut self, kind: Kind) -> Input {
        self.kind = kind;
        self.grad &= kind == Kind::Float;
        self
    }

    pub fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// The elements in row-major order, rounded to what `half` or f32 can hold.
    pub fn values(&self, seed: u64, half: bool) -> Vec<f64> {
        let mut stream = Stream::new(seed, 0);
        let mut unit = || f64::from(stream.next_u32()) / 4_294_967_296.0;
        let mut values: Vec<f64> = (0..self.numel())
            .map(|i| match &self.draw {
                Draw::Uniform(low, high) => low + (high - low) * unit(),
                Draw::Away(gap, high) => {
                    let size = gap + (high - gap) * unit();
                    if unit() < 0.5 { -size } else { size }
                }
                Draw::Whole(low, end) => (*low as f64 + (end - low) as f64 * unit()).floor(),
                Draw::Given(values) => values[i % values.len()],
            })
            .collect();
        if self.kind == Kind::Float {
            for x in &mut values {
                *x = if half { f64::from(half::f16::from_f64(*x)) } else { f64::from(*x as f32) };
            }
        }
        // A view with stride 0 shows the same elements again and again.
        let inner = self.shape.last().copied().unwrap_or(1).max(1);
        let first = self.numel() / self.shape.first().copied().unwrap_or(1).max(1);
        match self.lie {
            Lie::Spread => (0..values.len()).map(|i| values[i % first]).collect(),
            Lie::SpreadInner => (0..values.len()).map(|i| values[i / inner * inner]).collect(),
            _ => values,
        }
    }

    /// The tensor of these values, which lies as asked; `float` is the type of floating-point inputs.
    pub fn tensor(&self, values: &[f64], float: DType, device: &Device) -> Result<Tensor> {
        let n = self.shape.len();
        let last = n as isize - 1;
        match self.lie {
            Lie::Plain => self.make(values, &self.shape, float, device),
            Lie::Transposed | Lie::Permuted => {
                let mut axes: Vec<usize> = (0..n).collect();
                if self.lie == Lie::Permuted {
                    axes.reverse();
                } else {
                    axes.swap(n - 2, n - 1);
                }
                let shape: Vec<usize> = axes.iter().map(|&axis| self.shape[axis]).collect();
                let data = place(
                    &shape,
                    |at| {
                        let mut here = vec![0; n];
                        for (i, &axis) in axes.iter().enumerate() {
                            here[axis] = at[i];
                        }
                        Some(here)
                    },
                    self,
                    values,
                );
                let axes: Vec<isize> = axes.iter().map(|&axis| axis as isize).collect();
                // Both orders are their own inverse.
                self.make(&data, &shape, float, device)?.permute(axes)
            }
            Lie::Offset => self.cut(values, n - 1, 1, 1, 2, float, device),
            Lie::Rows => self.cut(values, 0, 2, 1, 1, float, device),
            Lie::Stepped => self.cut(values, n - 1, 0, 2, 0, float, device),
            Lie::Spread | Lie::SpreadInner => {
                let axis = if self.lie == Lie::Spread { 0 } else { last as usize };
                let mut shape = self.shape.clone();
                shape[axis] = shape[axis].min(1);
                let data = place(&shape, |at| Some(at.to_vec()), self, values);
                self.make(&data, &shape, float, device)?.broadcast_to(&self.shape)
            }
        }
    }

    /// A slice along `axis` of a larger tensor that holds other numbers around it.
    #[allow(clippy::too_many_arguments, reason = "one slice has this many numbers")]
    fn cut(
        &self,
        values: &[f64],
        axis: usize,
        before: usize,
        step: usize,
        after: usize,
        float: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let mut shape = self.shape.clone();
        let end = before + self.shape[axis] * step;
        shape[axis] = end + after;
        let data = place(
            &shape,
            |at| {
                let mut here = at.to_vec();
                let inside = here[axis].checked_sub(before)?;
                here[axis] = inside / step;
                (inside % step == 0 && here[axis] < self.shape[axis]).then_some(here)
            },
            self,
            values,
        );
        self.make(&data, &shape, float, device)?.slice_step(axis as isize, before..end, step)
    }

    fn make(&self, data: &[f64], shape: &[usize], float: DType, device: &Device) -> Result<Tensor> {
        match (self.kind, float) {
            (Kind::Float, DType::F64) => Tensor::from_vec(data, shape, device),
            (Kind::Float, DType::F16) => {
                let data: Vec<half::f16> = data.iter().map(|&x| half::f16::from_f64(x)).collect();
                Tensor::from_vec(data, shape, device)
            }
            (Kind::Float, _) => {
                Tensor::from_vec(data.iter().map(|&x| x as f32).collect::<Vec<_>>(), shape, device)
            }
            (Kind::I32, _) => {
                Tensor::from_vec(data.iter().map(|&x| x as i32).collect::<Vec<_>>(), shape, device)
            }
            (Kind::U32, _) => {
                Tensor::from_vec(data.iter().map(|&x| x as u32).collect::<Vec<_>>(), shape, device)
            }
            (Kind::Bool, _) => {
                Tensor::from_vec(data.iter().map(|&x| x != 0.0).collect::<Vec<_>>(), shape, device)
            }
        }
    }
}

/// Elements for a storage of `shape`: `at` says which element of the input belongs where; what belongs
/// to none holds a number that no result may contain (and as an index would be a fault).
fn place(
    shape: &[usize],
    at: impl Fn(&[usize]) -> Option<Vec<usize>>,
    input: &Input,
    values: &[f64],
) -> Vec<f64> {
    let foreign = 777.0;
    let mut here = vec![0; shape.len()];
    (0..shape.iter().product())
        .map(|flat: usize| {
            let mut rest = flat;
            for (i, &size) in shape.iter().enumerate().rev() {
                here[i] = rest % size;
                rest /= size;
            }
            at(&here).map_or(foreign, |index| {
                let flat =
                    index.iter().zip(&input.shape).fold(0, |flat, (i, size)| flat * size + i);
                values[flat]
            })
        })
        .collect()
}

/// All elements as f64, whatever the type.
pub fn read(x: &Tensor) -> Result<Vec<f64>> {
    Ok(match x.dtype() {
        DType::F64 => x.to_vec::<f64>()?,
        DType::F32 => x.to_vec::<f32>()?.into_iter().map(f64::from).collect(),
        DType::F16 => x.to_vec::<half::f16>()?.into_iter().map(f64::from).collect(),
        DType::I32 => x.to_vec::<i32>()?.into_iter().map(f64::from).collect(),
        DType::U32 => x.to_vec::<u32>()?.into_iter().map(f64::from).collect(),
        DType::Bool => x.to_vec::<bool>()?.into_iter().map(f64::from).collect(),
    })
}
