//! Element-wise operations on one tensor, and their derivatives.

use super::{
    number::{Float, Number, for_float, for_number, wrapping},
    operand::{In, Out, map1, map2},
};
use crate::{Result, ops::unary::Unary};

pub(super) fn forward(op: Unary, x: &In<'_>, y: &mut Out<'_>) -> Result<()> {
    if let Unary::Neg | Unary::Abs | Unary::Square = op {
        let dtype = if op == Unary::Abs { x.dtype } else { wrapping(x.dtype) };
        for_number!(dtype, op.label(), T => match op {
            Unary::Neg => map1(x.of(), y.of(), T::negated),
            Unary::Abs => map1(x.of(), y.of(), T::magnitude),
            _ => map1(x.of(), y.of(), |x: T| x.times(x)),
        });
        return Ok(());
    }
    for_float!(x.dtype, op.label(), T => floats::<T>(op, x, y));
    Ok(())
}

fn floats<T: Float>(op: Unary, x: &In<'_>, y: &mut Out<'_>) {
    let (x, y) = (x.of::<T>(), y.of::<T>());
    match op {
        Unary::Neg | Unary::Abs | Unary::Square => {} // numbers, above
        Unary::Exp => map1(x, y, T::exp),
        Unary::Log => map1(x, y, T::ln),
        Unary::Sqrt => map1(x, y, T::sqrt),
        Unary::Reciprocal => map1(x, y, |x| T::ONE / x),
        Unary::Relu => map1(x, y, relu),
        Unary::LeakyRelu(slope) => {
            let slope = T::from_f64(slope.into());
            map1(x, y, move |x| if x > T::ZERO { x } else { slope * x });
        }
        Unary::Sigmoid => map1(x, y, sigmoid),
        Unary::Tanh => map1(x, y, T::tanh),
        Unary::Gelu => map1(x, y, |x| T::from_f64(gelu(x.to_f64()))),
        Unary::GeluTanh => map1(x, y, |x| T::from_f64(gelu_tanh(x.to_f64()))),
        Unary::Silu => map1(x, y, silu),
        Unary::Softplus => map1(x, y, softplus),
    }
}

/// `dy · f'`, where `s` is the saved input or, for some, output. Where a derivative is 0 by definition
/// it is chosen rather than multiplied, so that 0·∞ cannot arise.
pub(super) fn backward(op: Unary, s: &In<'_>, dy: &In<'_>, dx: &mut Out<'_>) -> Result<()> {
    for_float!(s.dtype, op.label(), T => derivatives::<T>(op, s, dy, dx));
    Ok(())
}

fn derivatives<T: Float>(op: Unary, s: &In<'_>, dy: &In<'_>, dx: &mut Out<'_>) {
    let (s, dy, dx) = (s.of::<T>(), dy.of::<T>(), dx.of::<T>());
    let two = T::ONE + T::ONE;
    match op {
        Unary::Neg => map2(s, dy, dx, |_, dy| -dy),
        Unary::Exp => map2(s, dy, dx, |y, dy| dy * y),
        Unary::Log => map2(s, dy, dx, |x, dy| dy / x),
        Unary::Sqrt => map2(s, dy, dx, move |y, dy| if y == T::ZERO { y } else { dy / (two * y) }),
        Unary::Abs => map2(s, dy, dx, |x, dy| {
            if x > T::ZERO {
                dy
            } else if x < T::ZERO {
                -dy
            } else {
                x.magnitude() // 0, or NaN
            }
        }),
        Unary::Square => map2(s, dy, dx, move |x, dy| two * (x * dy)),
        Unary::Reciprocal => map2(s, dy, dx, |y, dy| -(y * dy) * y),
        Unary::Relu => map2(s, dy, dx, |y, dy| if y <= T::ZERO { T::ZERO } else { dy }),
        Unary::LeakyRelu(slope) => {
            let slope = T::from_f64(slope.into());
            map2(s, dy, dx, move |x, dy| if x > T::ZERO { dy } else { slope * dy });
        }
        Unary::Sigmoid => map2(s, dy, dx, |y, dy| dy * (y * (T::ONE - y))),
        Unary::Tanh => map2(s, dy, dx, |y, dy| dy * ((T::ONE - y) * (T::ONE + y))),
        Unary::Gelu => map2(s, dy, dx, |x, dy| dy * T::from_f64(gelu_slope(x.to_f64()))),
        Unary::GeluTanh => map2(s, dy, dx, |x, dy| dy * T::from_f64(gelu_tanh_slope(x.to_f64()))),
        Unary::Silu => map2(s, dy, dx, |x, dy| dy * silu_slope(x)),
        Unary::Softplus => map2(s, dy, dx, |x, dy| dy * sigmoid(x)),
    }
}

/// `max(x, 0)`, and NaN of NaN.
pub(super) fn relu<T: Float>(x: T) -> T {
    if x <= T::ZERO { T::ZERO } else { x }
}

/// `1/(1+e⁻ˣ)`; the exponential is never of a positive number, so it cannot overflow.
pub(super) fn sigmoid<T: Float>(x: T) -> T {
    if x >= T::ZERO {
        T::ONE / (T::ONE + (-x).exp())
    } else {
        let e = x.exp();
        e / (T::ONE + e)
    }
}

/// `x·weight`, and 0 where the weight is: at −∞ too.
fn weighted<T: Float>(x: T, weight: T) -> T {
    if weight == T::ZERO { T::ZERO } else { x * weight }
}

fn silu<T: Float>(x: T) -> T {
    weighted(x, sigmoid(x))
}

fn silu_slope<T: Float>(x: T) -> T {
    let s = sigmoid(x);
    s + weighted(x, s * sigmoid(-x))
}

fn softplus<T: Float>(x: T) -> T {
    relu(x) + (-x.magnitude()).exp().ln_1p()
}

fn gelu(x: f64) -> f64 {
    weighted(x, normal_cdf(x))
}

fn gelu_slope(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    normal_cdf(x) + weighted(x, density)
}

/// `√(2/π)`, and the cube's share in the tanh form of GELU (Hendrycks and Gimpel 2016).
const GELU: f64 = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
const CUBE: f64 = 0.044715;

/// `½x(1 + tanh u) = x·sigmoid(2u)`: the second form loses no digits in the left tail.
fn gelu_tanh(x: f64) -> f64 {
    weighted(x, sigmoid(2.0 * GELU * (x + CUBE * x * x * x)))
}

fn gelu_tanh_slope(x: f64) -> f64 {
    let u = GELU * (x + CUBE * x * x * x);
    let bend = sigmoid(2.0 * u) * sigmoid(-2.0 * u);
    sigmoid(2.0 * u) + weighted(2.0 * x * GELU * (1.0 + 3.0 * CUBE * x * x), bend)
}

/// The normal distribution's Φ(x).
fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// `num/den`, both by Horner's rule, highest power first; `den` begins with an unwritten 1.
fn ratio(x: f64, num: &[f64], den: &[f64]) -> f64 {
    let horner = |start: f64, rest: &[f64]| rest.iter().fold(start, |sum, c| sum * x + c);
    horner(0.0, num) / horner(1.0, den)
}

/// The complementary error function, to 1e-15 relative. Source: W. J. Cody, "Rational Chebyshev
/// approximations for the error function", Math. Comp. 23 (1969), with the coefficients of CALERF.
#[allow(clippy::excessive_precision, reason = "as published")]
fn erfc(x: f64) -> f64 {
    const FRAC_1_SQRT_PI: f64 = 0.564_189_583_547_756_286_95;
    let y = x.abs();
    if y <= 0.46875 {
        let num = [
            1.857_777_061_846_031_53e-1,
            3.161_123_743_870_565_60,
            1.138_641_541_510_501_56e2,
            3.774_852_376_853_020_21e2,
            3.209_377_589_138_469_47e3,
        ];
        let den = [
            2.360_129_095_234_412_09e1,
            2.440_246_379_344_441_73e2,
            1.282_616_526_077_372_28e3,
            2.844_236_833_439_170_62e3,
        ];
        return 1.0 - x * ratio(y * y, &num, &den);
    }
    let tail = if y <= 4.0 {
        let num = [
            2.153_115_354_744_038_46e-8,
            5.641_884_969_886_700_89e-1,
            8.883_149_794_388_375_94,
            6.611_919_063_714_162_95e1,
            2.986_351_381_974_001_31e2,
            8.819_522_212_417_690_90e2,
            1.712_047_612_634_070_58e3,
            2.051_078_377_826_071_47e3,
            1.230_339_354_797_997_25e3,
        ];
        let den = [
            1.574_492_611_070_983_47e1,
            1.176_939_508_913_124_99e2,
            5.371_811_018_620_098_58e2,
            1.621_389_574_566_690_19e3,
            3.290_799_235_733_459_63e3,
            4.362_619_090_143_247_16e3,
            3.439_367_674_143_721_64e3,
            1.230_339_354_803_749_42e3,
        ];
        ratio(y, &num, &den)
    } else {
        let num = [
            1.631_538_713_730_209_78e-2,
            3.053_266_349_612_323_44e-1,
            3.603_448_999_498_044_39e-1,
            1.257_817_261_112_292_46e-1,
            1.608_378_514_874_227_66e-2,
            6.587_491_615_298_378_03e-4,
        ];
        let den = [
            2.568_520_192_289_822_42,
            1.872_952_849_923_467_25,
            5.279_051_029_514_284_12e-1,
            6.051_834_131_244_131_91e-2,
            2.335_204_976_268_691_85e-3,
        ];
        let z = 1.0 / (y * y);
        (FRAC_1_SQRT_PI - z * ratio(z, &num, &den)) / y
    };
    // e^(-y²) in two factors: y² alone would be rounded, and the exponential multiplies that error.
    let short = (y * 16.0).trunc() / 16.0;
    let upper = tail * (-short * short).exp() * (-(y - short) * (y + short)).exp();
    let upper = if y > 27.0 { 0.0 } else { upper }; // underflows; ∞ has no difference from itself
    if x < 0.0 { 2.0 - upper } else { upper }
}

#[cfg(test)]
mod tests {
    use super::erfc;

    /// To a few units in the last place, from mpmath with 40 digits.
    #[test]
    fn erfc_is_right_in_each_range() {
        for (x, want) in ERFC {
            let got = erfc(x);
            assert!(
                (got - want).abs() <= 4.0 * f64::EPSILON * want,
                "erfc({x}) = {got}, not {want}"
            );
        }
        assert_eq!(
            [erfc(f64::INFINITY), erfc(f64::NEG_INFINITY), erfc(f64::MAX), erfc(0.0)],
            [0.0, 2.0, 0.0, 1.0]
        );
        assert!(erfc(f64::NAN).is_nan());
    }

    const ERFC: [(f64, f64); 13] = [
        (-5.0, 1.9999999999984626),
        (-1.0, 1.8427007929497148),
        (-0.25, 1.276326390168237),
        (0.1, 0.887537083981715),
        (0.46875, 0.507386526782062),
        (0.5, 0.4795001221869535),
        (1.0, 0.15729920705028513),
        (2.0, 0.004677734981047266),
        (3.5, 7.430983723414128e-07),
        (4.0, 1.541725790028002e-08),
        (4.5, 1.9661604415428876e-10),
        (8.0, 1.1224297172982926e-29),
        (20.0, 5.395865611607901e-176),
    ];
}
