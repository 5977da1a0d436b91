//! Which vector instructions this machine has, asked at run time: the same binary serves all.

/// Sets of instructions that kernels are compiled for.
#[derive(Clone, Copy)]
pub(super) enum Level {
    /// 512 bits at once, with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 256 bits at once, with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// What the target always has.
    Base,
}

/// The widest set.
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
