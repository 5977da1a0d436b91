//! `matmul_lanes`: for software adapters.

use super::{
    Built,
    epilogue::{Epilogue, FOUR, Numbers, numbers},
};
use crate::launch::Launch;
use wgrad_core::{Error, Result};
use wgrad_shaders::Kernel;

/// A software adapter compiles at first use, so one text serves all layouts and all of product, factor, bias, residual,
/// ReLU, its derivative and row sums: the bias is a zero that repeats where there is none, the slope 1 where nothing is cut.
pub(super) fn lanes(
    rows: u32,
    cols4: u32,
    shuffle: bool,
    aligned: bool,
    epilogue: &Epilogue,
) -> Result<(Built, Numbers)> {
    let mut kernel = Kernel {
        name: "matmul_lanes",
        parts: vec!["batches"],
        values: vec![
            ("rows", rows),
            ("cols4", cols4),
            ("shuffle", u32::from(shuffle)),
            ("a_vec4", u32::from(aligned)),
            ("b_vec4", u32::from(aligned)),
            ("y_vec4", 0),
        ],
        aliases: vec![("a_layout", "any"), ("b_layout", "any")],
        ..Kernel::default()
    };
    let numbers = numbers(&epilogue.links, epilogue.bias.is_some()).ok_or_else(|| {
        Error::internal("matmul", "operations after a product that its kernel does not know")
    })?;
    match numbers.activation {
        None => {
            kernel.functions = vec![
                FOUR,
                "fn apply(z: elem) -> elem { \
                   let cut = select(z * params.slope, elem(0.0), elem(params.slope) == elem(0.0)); \
                   return select(z, cut, z < elem(0.0)); }",
            ];
        }
        Some(op) => {
            let missing = || crate::kernels::missing(op.label());
            let expression = wgrad_shaders::unary(op.label()).ok_or_else(missing)?;
            kernel.parts.extend(expression.parts);
            kernel.functions.extend([FOUR, expression.function]);
        }
    }
    let built = Built { kernel, block: (rows, 32 * cols4), numbers: None };
    Ok((built, numbers))
}

/// The same launch with results by whole vec4, where sizes and places allow: halves are written so. Others keep the one
/// text for all sizes.
pub(crate) fn by_fours(launch: &Launch) -> Option<Launch> {
    // n, y_offset, y_row, y_batch among the parameters.
    let whole = |at: &usize| launch.params.get(*at).is_some_and(|word| word.is_multiple_of(4));
    // sum_blocks and sums_beside: single sums cannot be written through a binding of vec4.
    let beside = launch.params.get(34) != Some(&0) && launch.params.get(36) == Some(&1);
    if launch.kernel.name != "matmul_lanes" || beside || ![1, 10, 11, 12].iter().all(whole) {
        return None;
    }
    let mut launch = launch.clone();
    let by_four = launch.kernel.values.iter_mut().find(|(name, _)| *name == "y_vec4")?;
    by_four.1 = 1;
    Some(launch)
}
