//! What random cases are drawn with: the same each time, and told when one fails.

use crate::support::inputs::{Input, Lie, floats};
use wgrad_core::{DType, Device, Tensor, philox::Stream};

pub struct Dice(Stream);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(Stream::new(seed, 4))
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.below(from.len() as u32) as usize]
    }

    /// A number from `low` to `high`, both included.
    pub fn number(&mut self, low: usize, high: usize) -> usize {
        low + self.0.below((high - low + 1) as u32) as usize
    }

    /// Two of them.
    pub fn pair(&mut self, low: usize, high: usize) -> [usize; 2] {
        [self.number(low, high), self.number(low, high)]
    }

    /// Numbers from [-1, 1) that lie in any way.
    pub fn view(&mut self, shape: &[usize], device: &Device) -> Tensor {
        const LIES: [Lie; 8] = [
            Lie::Plain,
            Lie::Transposed,
            Lie::Permuted,
            Lie::Offset,
            Lie::Rows,
            Lie::Stepped,
            Lie::Spread,
            Lie::SpreadInner,
        ];
        let lie = match shape.len() {
            0 => Lie::Plain,
            1 => self.pick(&[Lie::Plain, Lie::Offset, Lie::Stepped, Lie::Spread]),
            _ => self.pick(&LIES),
        };
        let input: Input = floats(shape, -1.0, 1.0).lie(lie);
        let values = input.values(u64::from(self.0.next_u32()), false);
        input.tensor(&values, DType::F32, device).unwrap()
    }
}

/// Says which case was under test if it fails.
pub struct Case(pub String);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with {}", self.0);
        }
    }
}

/// A case, by its seed and number, with the options that were drawn.
macro_rules! case {
    ($seed:expr, $number:expr, $($value:expr),+ $(,)?) => {
        $crate::dice::Case({
            let mut text = format!("seed {} case {}", $seed, $number);
            $(text.push_str(&format!(", {} = {:?}", stringify!($value), $value));)+
            text
        })
    };
}
pub(crate) use case;
