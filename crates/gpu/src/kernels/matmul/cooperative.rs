//! `matmul_cooperative`: matrix units, operands rounded to f16; only where the caller asked for that.

use super::{Built, Product, epilogue::specialise, registers::whole};
use crate::{Caps, Cooperative};
use wgrad_core::{Error, Result};
use wgrad_shaders::Kernel;

/// Sizes of `matmul_cooperative`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Square {
    /// 128×128×32, 256 threads; with subgroups of 32 each has 64×32.
    Of128,
    /// 64×64×32, 128 threads; with subgroups of 32 each has 32×32.
    Of64,
}

const BK: u32 = 32;

impl Square {
    /// bm and bn, and threads
    fn sizes(self) -> [u32; 2] {
        match self {
            Square::Of128 => [128, 256],
            Square::Of64 => [64, 128],
        }
    }

    /// Subgroups down and across: as near to a square as they go.
    fn subgroups(self, lanes: u32) -> [u32; 2] {
        let count = (self.sizes()[1] / lanes.max(1)).max(1);
        let down = 1 << (count.ilog2() / 2);
        [down, count / down]
    }

    /// Rows and columns of the result per workgroup.
    pub(super) fn edge(self) -> usize {
        self.sizes()[0] as usize
    }

    /// Whether an adapter has matrix units and what a workgroup needs.
    pub(super) fn fits(self, caps: &Caps) -> bool {
        let [side, threads] = self.sizes();
        caps.cooperative.is_some_and(|Cooperative { edge, subgroup, .. }| {
            let [down, across] = self.subgroups(subgroup);
            let memory = 2 * side * (BK + 8) * 2 + down * across * edge * edge * 4;
            subgroup.is_power_of_two()
                && across * edge <= side
                && threads <= caps.max_lanes
                && memory <= caps.workgroup_memory
        })
    }
}

pub(super) fn cooperative(square: Square, product: &Product, caps: &Caps) -> Result<Built> {
    let Some(Cooperative { edge, subgroup, packed }) =
        caps.cooperative.filter(|_| square.fits(caps))
    else {
        return Err(Error::device(
            "matmul",
            "this device was opened without cooperative matrices, or has too little for them",
        ));
    };
    let side = square.sizes()[0];
    let [down, across] = square.subgroups(subgroup);
    let Product { a, b, sizes, epilogue, .. } = product;
    let whole = a.vec4 && b.vec4 && whole(sizes, [side, side, BK]);
    let mut kernel = Kernel {
        name: "matmul_cooperative",
        values: vec![
            ("bm", side),
            ("bn", side),
            ("bk", BK),
            ("edge", edge),
            ("sm", down),
            ("sn", across),
            ("subgroup", subgroup),
            ("packed", u32::from(packed)),
            ("a_vec4", u32::from(a.vec4)),
            ("b_vec4", u32::from(b.vec4)),
            ("whole", u32::from(whole)),
        ],
        aliases: vec![("a_layout", a.layout), ("b_layout", b.layout)],
        // Such directives must come before all else.
        functions: vec![wgrad_shaders::COOPERATIVE],
        ..Kernel::default()
    };
    let numbers = Some(specialise(&mut kernel, epilogue)?);
    Ok(Built { kernel, block: (side, side), numbers })
}
