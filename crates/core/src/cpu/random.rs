//! Random numbers from Philox, in f32; the logarithm and the waves in f64.

use super::operand::Out;
use crate::{
    Error, Result,
    ops::random::{Distribution, Random},
    philox::{philox4x32, unit},
};
use std::f64::consts::TAU;

/// Elements 4i to 4i+3 come from the counter plus i; afterwards the counter has moved past all of them.
pub(super) fn random(op: &Random, state: &mut Out<'_>, y: &mut Out<'_>) -> Result<()> {
    let (mut state, mut y) = (state.of::<u32>(), y.of::<f32>());
    let Ok([key0, key1, low, high]) = <&mut [u32; 4]>::try_from(state.elements_mut()) else {
        return Err(Error::internal("random", "the state has four numbers"));
    };
    let mut counter = u64::from(*low) | u64::from(*high) << 32;
    for block in y.elements_mut().chunks_mut(4) {
        let bits = philox4x32([counter as u32, (counter >> 32) as u32, 0, 0], [*key0, *key1]);
        counter = counter.wrapping_add(1);
        for (y, x) in block.iter_mut().zip(values(op.distribution, bits)) {
            *y = x;
        }
    }
    [*low, *high] = [counter as u32, (counter >> 32) as u32];
    Ok(())
}

fn values(distribution: Distribution, bits: [u32; 4]) -> [f32; 4] {
    match distribution {
        Distribution::Uniform { low, high } => bits.map(|bits| {
            let x = low + (high - low) * unit(bits);
            if x < high { x } else { low } // rounding may reach the bound, which is not in the range
        }),
        Distribution::Normal { mean, std } => {
            let [a, b, c, d] = bits;
            let ([a, b], [c, d]) = (normal_pair(a, b), normal_pair(c, d));
            let place = |z: f64| (f64::from(mean) + f64::from(std) * z) as f32;
            [a, b, c, d].map(|z| place(z).clamp(f32::MIN, f32::MAX))
        }
    }
}

/// Two independent normal numbers (Box and Muller 1958). `1 - unit` is never 0, so both are finite.
fn normal_pair(a: u32, b: u32) -> [f64; 2] {
    let radius = (-2.0 * f64::from(1.0 - unit(a)).ln()).sqrt();
    let (sin, cos) = (TAU * f64::from(unit(b))).sin_cos();
    [radius * cos, radius * sin]
}
