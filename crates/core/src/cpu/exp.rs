//! e to a power in f32, without branches or calls, so that whole rows go through vector registers.

/// `eˣ` to within 2 units of the last place; 0, ∞ and NaN as IEEE arithmetic has them.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`, and `eʳ` by the polynomial of Cephes' `expf` (S. L. Moshier).
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Results beyond these bounds are 0 and ∞; comparisons let NaN pass.
    const LOW: f32 = -104.0;
    const HIGH: f32 = 89.0;
    /// Added to a small number, it leaves the nearest integer in the last bits.
    const SHIFT: f32 = 12_582_912.0;
    /// ln 2 in two parts; a product of the first with n is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = if x < LOW { LOW } else { x };
    let x = if x > HIGH { HIGH } else { x };
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5e-1;
    let y = p * (r * r) + r + 1.0;
    // 2ⁿ in two factors, since n goes from -150 to 128 and an exponent does not.
    let n = shifted.to_bits().wrapping_sub(SHIFT.to_bits()).cast_signed();
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) << 23).cast_unsigned());
    y * power(n >> 1) * power(n.wrapping_sub(n >> 1))
}

#[cfg(test)]
mod tests {
    use super::exp;

    /// Every 997th of all numbers, the bounds, and what is no number.
    #[test]
    fn exp_is_within_two_units_of_the_last_place() {
        let some = (0..u32::MAX / 997).map(|i| f32::from_bits(i * 997));
        for x in some.chain([0.0, -0.0, 88.722_84, 88.722_83, -103.972_08, -103.972_07, -87.33655])
        {
            let (got, want) = (exp(x), f64::from(x).exp());
            if x.is_nan() {
                assert!(got.is_nan(), "exp({x}) = {got}");
                continue;
            }
            let rounded = want as f32;
            let unit = f64::from(rounded.next_up()) - f64::from(rounded);
            let near = (f64::from(got) - want).abs() <= 2.0 * unit;
            assert!(got == rounded || near, "exp({x}) = {got}, not {want}");
        }
        assert_eq!(
            [exp(0.0), exp(f32::INFINITY), exp(f32::NEG_INFINITY)],
            [1.0, f32::INFINITY, 0.0]
        );
        assert_eq!(
            [exp(-104.0), exp(-1e30), exp(89.0), exp(1e30)],
            [0.0, 0.0, f32::INFINITY, f32::INFINITY]
        );
    }
}
