//! What follows a product: element-wise operations on the result, and what is computed beside it.

use super::RowSums;
use crate::{
    kernels::{
        chain::{self, Arg, Link},
        map::NAN,
        word,
    },
    launch::Slot,
};
use wgrad_core::{
    Layout, Op, Result,
    ops::{
        binary::{Binary, Scalar},
        unary::{Unary, UnaryBackward},
    },
};
use wgrad_shaders::Kernel;

/// What follows the product.
#[derive(Clone, Default)]
pub(super) struct Epilogue {
    /// In order. Operand 0 is the product; the bias and the extra operand, as far as they are there, follow.
    pub links: Vec<Link>,
    /// One value per column: where they lie. It is the third input.
    pub bias: Option<Layout>,
    /// An operand that lies as the result does but for this offset. It is the last input.
    pub extra: Option<usize>,
    /// The sums of A's rows, as the second output: its offset. Only `matmul_lanes` has them.
    pub row_sums: Option<(RowSums, usize)>,
}

impl Epilogue {
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    pub fn bias_slot(&self) -> Option<Slot> {
        self.bias.map(|_| Slot::In(2))
    }

    pub fn extra_slot(&self) -> Option<Slot> {
        self.extra.map(|_| Slot::In(2 + usize::from(self.bias.is_some())))
    }

    /// Offset and stride of the bias.
    pub fn bias_at(&self) -> [u32; 2] {
        self.bias.map_or([0, 0], |b| [b.offset, b.strides[0]].map(word))
    }

    pub fn extra_at(&self) -> u32 {
        self.extra.map_or(0, word)
    }

    /// Whether the extra operand can be read four at a time where the result is written so.
    pub fn by_four(&self) -> bool {
        self.extra.is_none_or(|offset| offset.is_multiple_of(4))
    }

    fn operands(&self) -> usize {
        1 + usize::from(self.bias.is_some()) + usize::from(self.extra.is_some())
    }
}

pub(super) const FOUR: &str = "alias elem = vec4<f32>; alias elem_a = elem; alias elem_b = elem; alias elem_y = elem; \
                    alias bits = vec4<u32>; alias mask = vec4<bool>; alias num = f32;";

/// A template's variables, and the text of the operations, for a kernel that is specialised by its epilogue; the result
/// is the end of the kernel's parameters: NaN, and the operations' numbers.
pub(super) fn specialise(kernel: &mut Kernel, epilogue: &Epilogue) -> Result<Vec<u32>> {
    let mut numbers = vec![NAN, 0];
    if !epilogue.is_empty() {
        let text = chain::text(&epilogue.links, epilogue.operands())?;
        kernel.parts.extend(text.parts);
        kernel.functions.push(FOUR);
        kernel.made = text.made;
        numbers.extend(text.numbers);
    }
    numbers.resize(2 + chain::MAX_NUMBERS, 0);
    kernel.values.extend([
        ("bias", u32::from(epilogue.bias.is_some())),
        ("extra", u32::from(epilogue.extra.is_some())),
        ("activation", u32::from(!epilogue.is_empty())),
    ]);
    kernel.parts.extend(["matmul_params", "batches"]);
    Ok(numbers)
}

/// What the one text of `matmul_lanes` does after a product, in this order, as numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Numbers {
    /// Factor of the product.
    pub factor: f32,
    /// What the extra operand does after the bias: 0 it is not there, 1 zero where it is not above 0, 2 it is added.
    pub joined: u32,
    /// Slope below zero: 0 for ReLU, 1 for none, or a leaky ReLU's.
    pub slope: f32,
    /// What a text of its own does at the end.
    pub activation: Option<Unary>,
}

/// The operations as numbers, where they can be.
pub(super) fn numbers(links: &[Link], bias: bool) -> Option<Numbers> {
    let mut all = Numbers { factor: 1.0, joined: 0, slope: 1.0, activation: None };
    let (bias_at, extra_at) = (Arg::In(1), Arg::In(1 + usize::from(bias)));
    // Once the sum has begun there is no factor any more, and after the last operation nothing.
    let (mut summed, mut biased, mut done) = (false, false, false);
    for (i, link) in links.iter().enumerate() {
        let before = if i == 0 { Arg::In(0) } else { Arg::Link(i - 1) };
        if done {
            return None;
        }
        match (&link.op, &link.args[..]) {
            (Op::Copy(_), [x]) if *x == before => {}
            (Op::Unary(Unary::Neg), [x]) if *x == before && !summed => all.factor = -all.factor,
            (Op::Scalar(op), [x]) if *x == before && !summed => all.factor *= factor(op)?,
            (Op::Unary(op), [x]) if *x == before => {
                done = true;
                match op {
                    Unary::Relu => all.slope = 0.0,
                    Unary::LeakyRelu(slope) if slope.is_finite() => all.slope = *slope,
                    Unary::Sigmoid | Unary::Tanh => all.activation = Some(*op),
                    _ => return None,
                }
            }
            (Op::UnaryBackward(UnaryBackward(Unary::Relu)), [e, x]) if *x == before => {
                if *e != extra_at || all.joined != 0 || summed {
                    return None;
                }
                (all.joined, done) = (1, true);
            }
            (Op::Binary(Binary::Add), [x, e] | [e, x]) if *x == before && e != x => {
                // Before or after the extra operand, the bias gives the same sum.
                if bias && *e == bias_at && !biased {
                    biased = true;
                } else if *e == extra_at && all.joined == 0 {
                    all.joined = 2;
                } else {
                    return None;
                }
                summed = true;
            }
            _ => return None,
        }
    }
    (biased == bias).then_some(all)
}

/// The factor that an operation with a number is.
fn factor(op: &Scalar) -> Option<f32> {
    let value = op.value as f32;
    let factor = match (op.op, op.left) {
        (Binary::Mul, _) => value,
        (Binary::Div, false) => 1.0 / value,
        _ => return None,
    };
    (factor.is_normal() && value.is_normal()).then_some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(op: impl Into<Op>, args: &[Arg]) -> Link {
        Link { op: op.into(), args: args.to_vec() }
    }

    fn times(value: f64) -> Scalar {
        Scalar { op: Binary::Mul, value, left: false }
    }

    #[test]
    fn what_one_text_does_and_what_it_does_not() {
        let (z, first, second) = (Arg::In(0), Arg::Link(0), Arg::Link(1));
        let none = Numbers { factor: 1.0, joined: 0, slope: 1.0, activation: None };
        let scaled = [link(times(3.0), &[z]), link(Binary::Add, &[Arg::In(1), first])];
        assert_eq!(numbers(&scaled, true), Some(Numbers { factor: 3.0, ..none }));
        assert_eq!(numbers(&scaled, false), Some(Numbers { factor: 3.0, joined: 2, ..none }));
        let layer = [
            link(Binary::Add, &[z, Arg::In(1)]),
            link(Binary::Add, &[Arg::In(2), first]),
            link(Unary::Relu, &[second]),
        ];
        assert_eq!(numbers(&layer, true), Some(Numbers { joined: 2, slope: 0.0, ..none }));
        // The bias twice would be the bias once; a factor after the sum is another number.
        assert_eq!(numbers(&layer, false), None);
        let later = [link(Binary::Add, &[z, Arg::In(1)]), link(times(3.0), &[first])];
        assert_eq!(numbers(&later, true), None);
        let after = [link(Unary::Relu, &[z]), link(Binary::Add, &[first, Arg::In(1)])];
        assert_eq!(numbers(&after, true), None);
        let twice = [link(Binary::Add, &[z, Arg::In(1)]), link(Binary::Add, &[first, Arg::In(1)])];
        assert_eq!(numbers(&twice, true), None);
        assert_eq!(numbers(&[link(times(0.0), &[z])], false), None);
        assert_eq!(numbers(&[link(Unary::Exp, &[z])], false), None);
    }
}
