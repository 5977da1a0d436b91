//! Where in a sequence something stands: tables that are added, and rotations.

use crate::{Buffer, Init, Layer, Module, Parameter, Visitor};
use wgrad_core::{Error, Result, Tensor};

/// Adds to each place of a sequence a vector of its own: x `[.., t, size]` stays that shape.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Init, Layer, Module, Positions};
/// let cpu = Device::cpu();
/// let learned = Positions::learned(32, 8, &mut Init::new(0))?.on(&cpu)?;
/// assert_eq!(learned.forward(&Tensor::zeros([2, 5, 8], &cpu)?)?.shape(), [2, 5, 8]);
/// let waves = Positions::sinusoidal(32, 4)?.on(&cpu)?;
/// assert_eq!(waves.forward(&Tensor::zeros([1, 4], &cpu)?)?.to_vec::<f32>()?, [0.0, 1.0, 0.0, 1.0]);
/// assert_eq!(waves.count_parameters(), 0);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Positions(Table);

#[derive(Debug)]
enum Table {
    /// `[length, size]`
    Learned(Parameter),
    Fixed(Buffer),
}

impl Positions {
    /// A table that is learned (`weight`), for sequences up to `length`; it starts as an
    /// [`Embedding`](crate::Embedding) does.
    #[track_caller]
    pub fn learned(length: usize, size: usize, init: &mut Init) -> Result<Self> {
        Ok(Self(Table::Learned(init.normal(&[length, size], 0.0, 1.0)?)))
    }

    /// The table of Vaswani et al. 2017 (`table`): sines and cosines by turns, of wavelengths from 2π to 10000·2π.
    /// `size` is even.
    #[track_caller]
    pub fn sinusoidal(length: usize, size: usize) -> Result<Self> {
        let angles = angles("positions", length, size, 10_000.0)?;
        let values = angles.iter().flat_map(|a| [a.sin() as f32, a.cos() as f32]).collect();
        Ok(Self(Table::Fixed(Buffer::new(&[length, size], values)?)))
    }
}

impl Module for Positions {
    fn visit(&self, v: &mut Visitor) {
        match &self.0 {
            Table::Learned(weight) => v.field("weight", weight),
            Table::Fixed(table) => v.field("table", table),
        }
    }
}

impl Layer for Positions {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let table = match &self.0 {
            Table::Learned(weight) => weight.tensor()?,
            Table::Fixed(table) => table.tensor()?,
        };
        x.try_add(&rows("positions", table, x)?)
    }
}

/// Rotary positions (Su et al. 2021): in queries and keys `[.., t, size]`, the numbers i and i + size/2 are turned
/// together by an angle that grows with the place, so that products of queries and keys depend on distances
/// alone. This pairing is that of GPT-NeoX and of the usual LLaMA code.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Layer, Module, Rotary};
/// let cpu = Device::cpu();
/// let rotary = Rotary::new(16, 2)?.on(&cpu)?;
/// let x = Tensor::from_vec([1.0f32, 0.0, 1.0, 0.0], [2, 2], &cpu)?;
/// let y = rotary.forward(&x)?.to_vec::<f32>()?;
/// assert_eq!(y[..2], [1.0, 0.0]);
/// assert!((y[2] - 1f32.cos()).abs() < 1e-6 && (y[3] - 1f32.sin()).abs() < 1e-6);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Rotary {
    /// `[length, size / 2]`
    cos: Buffer,
    sin: Buffer,
}
crate::module!(Rotary { cos, sin });

impl Rotary {
    /// For sequences up to `length` of heads with `size` numbers, an even number; wavelengths go up to 10000·2π.
    #[track_caller]
    pub fn new(length: usize, size: usize) -> Result<Self> {
        let angles = angles("rotary", length, size, 10_000.0)?;
        let table = |f: fn(f64) -> f64| {
            let values = angles.iter().map(|&a| f(a) as f32).collect();
            Buffer::new(&[length, size / 2], values)
        };
        Ok(Self { cos: table(f64::cos)?, sin: table(f64::sin)? })
    }

    /// The size of a head.
    pub fn size(&self) -> usize {
        2 * self.cos.shape().get(1).copied().unwrap_or_default()
    }
}

impl Layer for Rotary {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let size = self.size();
        if x.shape().last() != Some(&size) {
            return Err(Error::shape(
                "rotary",
                format!("made for a last size of {size}, the shape is {:?}", x.shape()),
            ));
        }
        let cos = rows("rotary", self.cos.tensor()?, x)?;
        let sin = rows("rotary", self.sin.tensor()?, x)?;
        let halves = x.split(-1, size / 2)?;
        let [a, b] = &halves[..] else {
            return Err(Error::internal("rotary", "no two halves"));
        };
        let left = a.try_mul(&cos)?.try_sub(&b.try_mul(&sin)?)?;
        let right = b.try_mul(&cos)?.try_add(&a.try_mul(&sin)?)?;
        Tensor::concat(&[&left, &right], -1)
    }
}

/// The first rows of a table, as many as x has places.
#[track_caller]
fn rows(op: &'static str, table: &Tensor, x: &Tensor) -> Result<Tensor> {
    let &[.., t, _] = x.shape() else {
        return Err(Error::rank(op, format!("needs [.., t, size], got {:?}", x.shape())));
    };
    let length = table.shape().first().copied().unwrap_or_default();
    if t > length {
        return Err(Error::range(
            op,
            format!("a sequence of {t}, the table has {length} places; make it with more"),
        ));
    }
    table.slice(0, 0..t)
}

/// Place times frequency, `[length, size / 2]`: on the host and in f64, since a GPU's sine knows only small angles.
#[track_caller]
fn angles(op: &'static str, length: usize, size: usize, base: f64) -> Result<Vec<f64>> {
    if size == 0 || !size.is_multiple_of(2) {
        return Err(Error::argument(op, format!("size {size}; it must be even and not 0")));
    }
    wgrad_core::Shape::new(op, &[length, size])?;
    let mut all = Vec::new();
    if all.try_reserve_exact(length * (size / 2)).is_err() {
        return Err(Error::memory(op, format!("no memory for a table of {length} by {size}")));
    }
    for place in 0..length {
        let angle = |i: usize| place as f64 * base.powf(-2.0 * i as f64 / size as f64);
        all.extend((0..size / 2).map(angle));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_core::{Device, ErrorKind};

    #[test]
    fn rotated_products_depend_on_the_distance_alone() -> Result<()> {
        let cpu = Device::cpu();
        let rotary = Rotary::new(300, 8)?.on(&cpu)?;
        let one = Tensor::from_vec([0.5f32, -1.0, 0.25, 2.0, 1.0, 0.75, -0.5, 1.5], [1, 8], &cpu)?;
        let all = rotary.forward(&one.broadcast_to([300, 8])?)?;
        let products = all.matmul(&all.t()?)?.to_vec::<f32>()?;
        for distance in [0, 1, 7, 100] {
            let want = products[distance];
            for place in [0, 50, 199] {
                let got = products[place * 300 + place + distance];
                assert!((got - want).abs() < 1e-4, "{distance} from {place}: {got} {want}");
            }
        }
        Ok(())
    }

    #[test]
    fn bad_arguments() -> Result<()> {
        let cpu = Device::cpu();
        assert_eq!(Positions::sinusoidal(4, 3).err().map(|e| e.kind()), Some(ErrorKind::Argument));
        assert_eq!(Rotary::new(4, 0).err().map(|e| e.kind()), Some(ErrorKind::Argument));
        let positions = Positions::sinusoidal(4, 2)?.on(&cpu)?;
        let error = |shape: &[usize]| -> Result<Option<ErrorKind>> {
            Ok(positions.forward(&Tensor::zeros(shape, &cpu)?).err().map(|e| e.kind()))
        };
        assert_eq!(error(&[5, 2])?, Some(ErrorKind::Range));
        assert_eq!(error(&[2])?, Some(ErrorKind::Rank));
        assert_eq!(error(&[4, 3])?, Some(ErrorKind::Shape));
        let rotary = Rotary::new(4, 4)?.on(&cpu)?;
        let wrong = rotary.forward(&Tensor::zeros([4, 6], &cpu)?);
        assert_eq!(wrong.err().map(|e| e.kind()), Some(ErrorKind::Shape));
        Ok(())
    }
}
