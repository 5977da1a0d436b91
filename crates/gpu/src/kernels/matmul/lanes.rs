//! `matmul_lanes`: for software adapters.

use super::{
    Built,
    epilogue::{Epilogue, FOUR, activate},
};
use wgrad_core::{Result, ops::linear::FusedActivation};
use wgrad_shaders::Kernel;

/// A software adapter compiles at first use, so one text serves all layouts and all of product, bias, ReLU, its
/// derivative and row sums: the bias is a zero that repeats where there is none, the slope 1 where nothing is cut.
pub(super) fn lanes(
    rows: u32,
    cols4: u32,
    shuffle: bool,
    aligned: bool,
    epilogue: &Epilogue,
) -> Result<Built> {
    let mut kernel = Kernel {
        name: "matmul_lanes",
        values: vec![
            ("rows", rows),
            ("cols4", cols4),
            ("shuffle", u32::from(shuffle)),
            ("a_vec4", u32::from(aligned)),
            ("b_vec4", u32::from(aligned)),
        ],
        aliases: vec![("a_layout", "any"), ("b_layout", "any")],
        ..Kernel::default()
    };
    match epilogue.activation {
        None | Some(FusedActivation::Relu) => {
            kernel.functions = vec![
                FOUR,
                "fn apply(z: elem) -> elem { \
                   let cut = select(z * params.slope, elem(0.0), elem(params.slope) == elem(0.0)); \
                   return select(z, cut, z < elem(0.0)); }",
            ];
        }
        Some(activation) => activate(&mut kernel, activation)?,
    }
    Ok(Built { kernel, block: (rows, 32 * cols4), operand: true })
}
