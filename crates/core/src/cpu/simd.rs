//! Which vector instructions this machine has, asked at run time: the same binary serves all.

/// Sets of instructions that kernels are compiled for, each containing the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// What the target always has.
    Base,
    /// 256 bits at once, with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits at once, with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// The widest set that this machine has.
pub(super) fn level() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return Level::Avx512;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Level::Avx2;
        }
    }
    Level::Base
}

/// Runs `f` with 256-bit instructions where there are any. It changes no bits: a multiplication and an
/// addition stay two operations. Keep `f` small: it is inlined and so compiled once more.
#[inline(always)]
pub(super) fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    match level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level says that this machine has the instructions; AVX-512 contains AVX2 and FMA.
        Level::Avx512 | Level::Avx2 => unsafe { avx2(f) },
        Level::Base => f(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Compiles a function for each set of instructions and calls the widest that this machine has. Bits do not
/// change, as above. For whole rows of work: a closure as large as that would not be inlined, and so be
/// compiled without the instructions.
macro_rules! for_levels {
    ($(
        $(#[$about:meta])*
        $see:vis fn $name:ident<$t:ident: $bound:ident>($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? $body:block
    )*) => {$(
        $(#[$about])*
        $see fn $name<$t: $bound>($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            fn plain<$t: $bound>($($arg: $type),*) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            fn avx512<$t: $bound>($($arg: $type),*) $(-> $out)? {
                plain($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$t: $bound>($($arg: $type),*) $(-> $out)? {
                plain($($arg),*)
            }
            match $crate::cpu::simd::level() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the level says that this machine has the instructions.
                $crate::cpu::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the level says that this machine has the instructions.
                $crate::cpu::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                $crate::cpu::simd::Level::Base => plain($($arg),*),
            }
        }
    )*};
}

pub(super) use for_levels;
