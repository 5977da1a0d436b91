//! What an adapter can do, as far as kernels care.

/// What kernels may count on. The choice of a kernel's variant depends on this and the shapes only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Whether the adapter is software: barriers are dear there, and few fat workgroups are best.
    pub software: bool,
    /// Smallest and largest subgroup, where subgroup operations may be used.
    pub subgroups: Option<(u32, u32)>,
    /// Bytes that one binding may show.
    pub max_binding: u64,
    /// Bytes that one buffer may have.
    pub max_buffer: u64,
    /// Workgroups along one dimension of a grid.
    pub max_groups: u32,
    /// Lanes of a workgroup.
    pub max_lanes: u32,
    /// Bytes of workgroup memory.
    pub workgroup_memory: u32,
    /// Times one thread may go round in loops, all of them together. Lavapipe up to Mesa 25 stops a
    /// thread after 65535, without a word.
    pub max_steps: u64,
    /// Threads that a software adapter runs on; 0 for a real GPU.
    pub threads: u32,
    /// Matrix units for f16 products, where they were asked for
    /// ([`Options::fast_f16_products`](crate::Options::fast_f16_products)) and the adapter lists them.
    pub cooperative: Option<Cooperative>,
    /// A matmul variant to use instead of the chosen one; for tests and measurements.
    pub force_matmul: Option<crate::MatMulVariant>,
}

/// Cooperative matrices of f16 with sums in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cooperative {
    /// Rows, columns and inner size of one: 8 or 16.
    pub edge: u32,
    /// Lanes of every subgroup: kernels count subgroups, so they must all be of one size.
    pub subgroup: u32,
    /// Whether they load from `vec4<f16>`, so that workgroup memory is written four at a time: SPIR-V
    /// allows it, Metal does not.
    pub packed: bool,
}

impl Caps {
    /// What [`max_steps`](Caps::max_steps) is on such an adapter.
    pub(crate) fn steps(software: bool) -> u64 {
        if software { 65_535 } else { u64::from(u32::MAX) }
    }

    /// WebGPU's default limits and no optional feature: what every kernel must work with.
    pub fn floor(software: bool, threads: u32) -> Caps {
        Caps {
            software,
            subgroups: None,
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            max_groups: 65_535,
            max_lanes: 256,
            workgroup_memory: 16 << 10,
            max_steps: Caps::steps(software),
            threads,
            cooperative: None,
            force_matmul: None,
        }
    }
}
