//! Element types.

use half::f16;
use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float, the default.
    F32,
    /// 16-bit float: a storage format; arithmetic happens in f32.
    F16,
    /// 64-bit float; only on the CPU, where it judges the others.
    F64,
    /// 32-bit signed integer: labels and indices.
    I32,
    /// 32-bit unsigned integer.
    U32,
    /// Truth value, stored as a `u32` that is 0 or 1.
    Bool,
}

impl DType {
    /// Bytes one element takes in memory.
    pub fn size(self) -> usize {
        match self {
            DType::F16 => 2,
            DType::F32 | DType::I32 | DType::U32 | DType::Bool => 4,
            DType::F64 => 8,
        }
    }

    /// Whether elements are floating-point numbers (and can carry gradients).
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::F64)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::F64 => "f64",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::Bool => "bool",
        })
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    impl Sealed for half::f16 {}
    impl Sealed for i32 {}
    impl Sealed for u32 {}
    impl Sealed for bool {}
}

/// A Rust type that tensors are made from and read into.
pub trait Element: sealed::Sealed + Copy + Send + Sync + PartialEq + fmt::Debug + 'static {
    /// The element type as stored.
    const DTYPE: DType;
    /// How one element lies in memory.
    type Stored: bytemuck::Pod;
    /// To memory.
    fn store(self) -> Self::Stored;
    /// From memory.
    fn load(stored: Self::Stored) -> Self;
}

macro_rules! element {
    ($($t:ty, $stored:ty, $dtype:ident, $store:expr, $load:expr;)*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$dtype;
            type Stored = $stored;
            fn store(self) -> $stored { $store(self) }
            fn load(stored: $stored) -> Self { $load(stored) }
        }
    )*};
}
element! {
    f32, f32, F32, |x| x, |x| x;
    f64, f64, F64, |x| x, |x| x;
    f16, f16, F16, |x| x, |x| x;
    i32, i32, I32, |x| x, |x| x;
    u32, u32, U32, |x| x, |x| x;
    bool, u32, Bool, u32::from, |x| x != 0;
}
