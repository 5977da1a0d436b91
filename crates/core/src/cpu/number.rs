//! Element types as the kernels see them: a number, or a float with its functions.

use crate::DType;
use bytemuck::Pod;
use std::ops::{Add, Div, DivAssign, Mul, Neg, Sub};

/// f32, f64, i32 or u32. Integers wrap.
pub(super) trait Number: Pod + PartialOrd + Send + Sync {
    /// What sums are kept in: f64 for floats, so that long sums of f32 keep their digits.
    type Sum: Copy;
    const ZERO: Self;
    /// At most every number: −∞, or the smallest integer.
    const LOWEST: Self;
    /// At least every number: ∞, or the largest integer.
    const HIGHEST: Self;
    const NO_SUM: Self::Sum;
    /// By the rules of a cast: integers are cut off and clamped, NaN gives 0.
    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// Integers: towards zero, and the dividend where the divisor is 0.
    fn over(self, other: Self) -> Self;
    fn negated(self) -> Self;
    fn magnitude(self) -> Self;
    fn is_nan(self) -> bool;
    fn sum(sum: Self::Sum, x: Self) -> Self::Sum;
    fn join(a: Self::Sum, b: Self::Sum) -> Self::Sum;
    fn total(sum: Self::Sum) -> Self;

    /// The larger; NaN if either is; of equals the first.
    fn larger(self, other: Self) -> Self {
        if other > self || other.is_nan() { other } else { self }
    }

    /// The smaller; NaN if either is; of equals the first.
    fn smaller(self, other: Self) -> Self {
        if other < self || other.is_nan() { other } else { self }
    }
}

/// f32 or f64.
pub(super) trait Float:
    Number
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + DivAssign
    + Neg<Output = Self>
{
    const ONE: Self;
    /// `self · factor + term`, rounded once.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn ln_1p(self) -> Self;
    fn sqrt(self) -> Self;
    fn tanh(self) -> Self;
    fn powf(self, exponent: Self) -> Self;

    /// Rows as columns.
    #[inline(always)]
    fn transpose4(rows: [[Self; 4]; 4]) -> [[Self; 4]; 4] {
        std::array::from_fn(|j| std::array::from_fn(|i| rows[i][j]))
    }

    /// A small whole power, by repeated squaring.
    fn powi(self, mut exponent: u32) -> Self {
        let (mut base, mut power) = (self, Self::ONE);
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = power * base;
            }
            base = base * base;
            exponent >>= 1;
        }
        power
    }
}

macro_rules! floats {
    ($($t:ty, $exp:path { $($own:item)* })*) => {$(
        impl Number for $t {
            type Sum = f64;
            const ZERO: Self = 0.0;
            const LOWEST: Self = <$t>::NEG_INFINITY;
            const HIGHEST: Self = <$t>::INFINITY;
            const NO_SUM: f64 = 0.0;
            fn from_f64(x: f64) -> Self { x as $t }
            fn to_f64(self) -> f64 { self.into() }
            fn plus(self, other: Self) -> Self { self + other }
            fn minus(self, other: Self) -> Self { self - other }
            fn times(self, other: Self) -> Self { self * other }
            fn over(self, other: Self) -> Self { self / other }
            fn negated(self) -> Self { -self }
            fn magnitude(self) -> Self { self.abs() }
            fn is_nan(self) -> bool { <$t>::is_nan(self) }
            fn sum(sum: f64, x: Self) -> f64 { sum + f64::from(x) }
            fn join(a: f64, b: f64) -> f64 { a + b }
            fn total(sum: f64) -> Self { sum as $t }
        }
        impl Float for $t {
            const ONE: Self = 1.0;
            #[inline(always)]
            fn mul_add(self, factor: Self, term: Self) -> Self { <$t>::mul_add(self, factor, term) }
            #[inline(always)]
            fn exp(self) -> Self { $exp(self) }
            fn ln(self) -> Self { <$t>::ln(self) }
            fn ln_1p(self) -> Self { <$t>::ln_1p(self) }
            fn sqrt(self) -> Self { <$t>::sqrt(self) }
            fn tanh(self) -> Self { <$t>::tanh(self) }
            fn powf(self, exponent: Self) -> Self { <$t>::powf(self, exponent) }
            $($own)*
        }
    )*};
}
floats! {
    f32, super::exp::exp {
        #[cfg(target_arch = "x86_64")]
        #[inline(always)]
        fn transpose4(rows: [[f32; 4]; 4]) -> [[f32; 4]; 4] {
            use std::arch::x86_64::{__m128, _mm_movehl_ps, _mm_movelh_ps, _mm_unpackhi_ps, _mm_unpacklo_ps};
            let [a, b, c, d] = rows.map(bytemuck::cast::<_, __m128>);
            // SAFETY: every x86_64 has SSE.
            let columns = unsafe {
                let (ab, cd) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d));
                let (after_ab, after_cd) = (_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d));
                [
                    _mm_movelh_ps(ab, cd),
                    _mm_movehl_ps(cd, ab),
                    _mm_movelh_ps(after_ab, after_cd),
                    _mm_movehl_ps(after_cd, after_ab),
                ]
            };
            columns.map(bytemuck::cast)
        }
    }
    f64, f64::exp {}
}

macro_rules! integers {
    ($($t:ident $magnitude:expr;)*) => {$(
        impl Number for $t {
            type Sum = $t;
            const ZERO: Self = 0;
            const LOWEST: Self = $t::MIN;
            const HIGHEST: Self = $t::MAX;
            const NO_SUM: $t = 0;
            fn from_f64(x: f64) -> Self { x as $t }
            fn to_f64(self) -> f64 { self.into() }
            fn plus(self, other: Self) -> Self { self.wrapping_add(other) }
            fn minus(self, other: Self) -> Self { self.wrapping_sub(other) }
            fn times(self, other: Self) -> Self { self.wrapping_mul(other) }
            fn over(self, other: Self) -> Self {
                if other == 0 { self } else { self.wrapping_div(other) }
            }
            fn negated(self) -> Self { self.wrapping_neg() }
            fn magnitude(self) -> Self { $magnitude(self) }
            fn is_nan(self) -> bool { false }
            fn sum(sum: $t, x: Self) -> $t { sum.wrapping_add(x) }
            fn join(a: $t, b: $t) -> $t { a.wrapping_add(b) }
            fn total(sum: $t) -> Self { sum }
        }
    )*};
}
integers! {
    i32 i32::wrapping_abs;
    u32 std::convert::identity;
}

/// The type to compute in where u32 and i32 give the same bits: sums, differences, products, equality. Less is compiled.
pub(super) fn wrapping(dtype: DType) -> DType {
    if dtype == DType::U32 { DType::I32 } else { dtype }
}

/// Runs a body with `$t` as the float type of a tensor.
macro_rules! for_float {
    ($dtype:expr, $op:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::DType::F64 => {
                type $t = f64;
                $body
            }
            other => return Err($crate::cpu::unsupported($op, other)),
        }
    };
}

/// Runs a body with `$t` as the number type of a tensor.
macro_rules! for_number {
    ($dtype:expr, $op:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::DType::I32 => {
                type $t = i32;
                $body
            }
            $crate::DType::U32 => {
                type $t = u32;
                $body
            }
            float => $crate::cpu::number::for_float!(float, $op, $t => $body),
        }
    };
}

/// Runs a body with `$t` as a word of an element's size, for operations that only move elements.
macro_rules! for_word {
    ($dtype:expr, $op:expr, $t:ident => $body:expr) => {
        match $crate::DType::size($dtype) {
            4 => {
                type $t = u32;
                $body
            }
            8 => {
                type $t = u64;
                $body
            }
            _ => return Err($crate::cpu::unsupported($op, $dtype)),
        }
    };
}

pub(super) use {for_float, for_number, for_word};
