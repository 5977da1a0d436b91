//! Each kernel broken on purpose, one change at a time: its row of `tests/ops.rs` must notice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod support;

use std::{collections::HashSet, process::ExitCode};
use support::{
    check,
    compare::Failure,
    devices::{self, Mode},
    runner, table,
};
use wgrad_gpu::{MatMulVariant, Square, Tile};

/// A change to a kernel's text, and the row that must fail with it.
struct Sabotage {
    kernel: &'static str,
    from: &'static str,
    to: &'static str,
    row: &'static str,
    mode: Mode,
}

const SOFTWARE: Mode = Mode::Software;
const HARDWARE: Mode = Mode::Hardware;

const fn change(
    kernel: &'static str,
    [from, to]: [&'static str; 2],
    row: &'static str,
    mode: Mode,
) -> Sabotage {
    Sabotage { kernel, from, to, row, mode }
}

const fn registers(tile: Tile) -> Mode {
    Mode::MatMul(MatMulVariant::Registers { tile, parts: 1 })
}

const SPLIT: Mode = Mode::MatMul(MatMulVariant::Registers { tile: Tile::Small, parts: 3 });
const THIN: Mode = Mode::MatMul(MatMulVariant::Thin { parts: 1 });
const THIN_SPLIT: Mode = Mode::MatMul(MatMulVariant::Thin { parts: 3 });

const fn cooperative(square: Square, parts: u32) -> Mode {
    Mode::MatMul(MatMulVariant::Cooperative { square, parts })
}

const fn lanes(rows: u32, cols4: u32, shuffle: bool) -> Mode {
    Mode::MatMul(MatMulVariant::Lanes { rows, cols4, shuffle })
}

#[rustfmt::skip]
const CHANGES: &[Sabotage] = &[
    change("adam", ["p[at] = value - ", "p[at] = value + "], "adam", SOFTWARE),
    change("adam", ["params.decoupled == 1u", "params.decoupled == 2u"], "adamw", SOFTWARE),
    change("adam_advance", ["+= 1.0", "+= 0.5"], "adam", SOFTWARE),
    change("arg_reduce", ["position = other;", ""], "argmax 0", SOFTWARE),
    change("arg_reduce", ["(i % params.chunks) * params.chunk", "i % params.chunks"], "argmax long", SOFTWARE),
    change("cross_entropy_groups", ["row_loss, good)", "1.01 * row_loss, good)"], "cross_entropy", HARDWARE),
    change("cross_entropy_groups", ["(p - wanted)", "p"], "cross_entropy", HARDWARE),
    change("cross_entropy_groups", ["spread / f32(cols)", "spread"], "cross_entropy smoothed", HARDWARE),
    change("cross_entropy_lanes", ["row_loss, good)", "1.01 * row_loss, good)"], "cross_entropy", SOFTWARE),
    change("cross_entropy_lanes", ["row += groups.x * WG", "row += groups.x * WG * 2u"], "cross_entropy", SOFTWARE),
    change("cross_entropy_lanes", ["(p - wanted)", "p"], "cross_entropy", SOFTWARE),
    change("cross_entropy_lanes", ["spread / f32(cols)", "spread"], "cross_entropy smoothed", SOFTWARE),
    change("gather_rows", ["= value;", "= value + elem(1);"], "gather", SOFTWARE),
    change("generate", ["elem(i) *", "elem(i + 1u) *"], "arange", SOFTWARE),
    change("map1", ["= apply(", "= elem_y(1) + apply("], "exp", SOFTWARE),
    change("map2", ["= apply(", "= elem_y(1) + apply("], "add", SOFTWARE),
    change("map_chain", ["= apply(", "= 1.0 + apply("], "chain", SOFTWARE),
    change("map_chain", ["= apply(", "= 1.0 + apply("], "chain backward", HARDWARE),
    change("map3", ["= apply(", "= elem_y(1) + apply("], "where", SOFTWARE),
    change("masked_softmax", ["/ total", "/ (2.0 * total)"], "masked_softmax long", SOFTWARE),
    change("masked_softmax", ["/ total", "/ (2.0 * total)"], "masked_softmax", HARDWARE),
    change("masked_softmax", ["* scale;", ";"], "masked_softmax causal", SOFTWARE),
    change("masked_softmax", ["% params.queries + 1u", "% params.queries"], "masked_softmax long", SOFTWARE),
    change("masked_softmax", ["* params.keep_step", "* 0u"], "masked_softmax mask", HARDWARE),
    change("masked_softmax_backward", ["(dy[dy_at + j * dy_step] - total)", "dy[dy_at + j * dy_step]"], "masked_softmax", SOFTWARE),
    change("masked_softmax_backward", ["= scale * weight", "= weight"], "masked_softmax mask", HARDWARE),
    change("masked_softmax_registers", ["/ total", "/ (total + 0.01)"], "masked_softmax", SOFTWARE),
    change("masked_softmax_registers", ["* scale;", ";"], "masked_softmax causal", HARDWARE),
    change("masked_softmax_registers", ["% params.queries + 1u", "% params.queries"], "attention causal", SOFTWARE),
    change("masked_softmax_registers", ["* params.keep_step", "* 0u"], "masked_softmax mask", HARDWARE),
    change("masked_softmax_backward_registers", ["(g0 - total)", "g0"], "masked_softmax", SOFTWARE),
    change("masked_softmax_backward_registers", ["select(scale * p0", "select(p0"], "masked_softmax mask", HARDWARE),
    change("matmul_lanes", ["= z0[0];", "= z0[1];"], "matmul sizes", lanes(8, 1, false)),
    change("matmul_lanes", ["= z1[0];", "= z1[1];"], "matmul sizes", lanes(24, 2, false)),
    change("matmul_lanes", ["subgroupShuffle(a0, 1u)", "subgroupShuffle(a0, 0u)"], "matmul sizes", lanes(8, 1, true)),
    change("matmul_cooperative", ["z[0]; }", "z[1]; }"], "matmul sizes", cooperative(Square::Of64, 1)),
    change("matmul_cooperative", ["u * y_row + 0u;", "u * y_row + 1u;"], "matmul whole", cooperative(Square::Of128, 3)),
    change("matmul_cooperative", ["z += vec4(", "z -= vec4("], "linear bias", cooperative(Square::Of64, 1)),
    change("matmul_registers", ["let at = y_start", "let at = 1u + y_start"], "matmul sizes", registers(Tile::Small)),
    change("matmul_registers", ["let at = y_start", "let at = 1u + y_start"], "matmul sizes", registers(Tile::Medium)),
    change("matmul_registers", ["let at = y_start", "let at = 1u + y_start"], "matmul sizes", registers(Tile::Large)),
    change("matmul_registers", ["let at = y_start", "let at = 1u + y_start"], "matmul sizes", registers(Tile::Wide)),
    change("matmul_registers", ["at + 2u * apart", "at + 3u * apart"], "matmul whole", registers(Tile::Large)),
    change("matmul_registers", ["inside[3]", "inside[2]"], "matmul sizes", registers(Tile::Medium)),
    change("matmul_registers", ["band * 8u, 8u)", "band * 8u, 7u)"], "matmul bands", registers(Tile::Large)),
    change("matmul_registers", ["* params.part_k;", "* 32u;"], "matmul deep", SPLIT),
    change("matmul_sum", ["part < params.parts", "part + 1u < params.parts"], "matmul deep", SPLIT),
    change("matmul_sum", ["bias_offset +", "bias_offset + 1u +"], "linear bias", SPLIT),
    change("matmul_sum", ["= apply(", "= -apply("], "linear bias relu", SPLIT),
    change("matmul_thin", ["[y_start + in_matrix[0]] = z[0]", "[y_start + in_matrix[0]] = z[1]"], "matmul vector", THIN),
    change("matmul_thin", ["kt < reach", "kt + 1u < reach"], "matmul deep", THIN),
    change("matmul_thin", ["k4 < vec4(", "k4 <= vec4("], "matmul sizes", THIN),
    change("matmul_thin", ["* params.part_k;", "* 32u;"], "matmul deep", THIN_SPLIT),
    change("matmul_lanes", ["+ at] > 0.0", "+ at] > -9.0"], "layer weights", SOFTWARE),
    change("matmul_lanes", ["total += part;", "total = part * 2.0;"], "layer bias", SOFTWARE),
    change("matmul_tiled", ["= sum;", "= sum + 1.0;"], "matmul sizes", Mode::MatMul(MatMulVariant::Tiled)),
    change("narrow_f16", ["= packed;", "= packed ^ 256u;"], "exp f16", SOFTWARE),
    change("narrow_f16", ["0xfffu + odd", "0xfffu"], "cast f32 f16 ties", SOFTWARE),
    change("one_hot", ["select(0.0, 1.0,", "select(0.0, 2.0,"], "one_hot", SOFTWARE),
    change("random", ["f32(bits >> 8u)", "f32(bits >> 9u)"], "uniform", SOFTWARE),
    change("random", ["vec2(-n, c)", "vec2(n, c)"], "normal", SOFTWARE),
    change("random_advance", ["state[2] = low;", ""], "uniform", SOFTWARE),
    change("reduce_groups", ["width > 0u", "width > 1u"], "sum [-1]", HARDWARE),
    change("reduce_groups", ["i1 += 8192u", "i1 += 8448u"], "sum long", HARDWARE),
    change("reduce_lanes", ["finish(total)", "finish(total + total)"], "sum [-1]", SOFTWARE),
    change("reduce_lanes", ["% params.chunks)", "% params.chunks + 1u)"], "sum two_passes", SOFTWARE),
    change("scatter_rows", ["+= x[", "= x["], "scatter_rows", SOFTWARE),
    change("sgd", ["p[at] -= ", "p[at] += "], "sgd", SOFTWARE),
    change("sgd", ["hyper[1] * v[at] + slope", "v[at] + slope"], "sgd momentum", SOFTWARE),
    change("sgd", ["params.nesterov == 1u", "params.nesterov == 2u"], "sgd nesterov", SOFTWARE),
    change("sgd", ["decay * p[at]", "decay"], "sgd decay", SOFTWARE),
    change("softmax_backward_groups", ["out * (g - total)", "out * g"], "softmax -1", HARDWARE),
    change("softmax_backward_groups", ["exp_or_zero(out) * total", "total"], "log_softmax -1", HARDWARE),
    change("softmax_backward_lanes", ["out * (g - total)", "out * g"], "softmax -1", SOFTWARE),
    change("softmax_backward_lanes", ["exp_or_zero(out) * total", "total"], "log_softmax -1", SOFTWARE),
    change("softmax_groups", ["/ total", "/ (total + 0.01)"], "softmax -1", HARDWARE),
    change("softmax_groups", ["d - log_total", "d"], "log_softmax -1", HARDWARE),
    change("softmax_lanes", ["/ total", "/ (total + 0.01)"], "softmax -1", SOFTWARE),
    change("softmax_lanes", ["d - log_total", "d"], "log_softmax -1", SOFTWARE),
    change("softmax_registers", ["/ total", "/ (total + 0.01)"], "softmax whole", SOFTWARE),
    change("softmax_registers", ["lane ^ 2u", "lane ^ 1u"], "softmax whole", SOFTWARE),
    change("softmax_registers", ["- log_total", ""], "log_softmax whole", HARDWARE),
    change("softmax_registers", ["i = 1u;", "i = 2u;"], "softmax whole", HARDWARE),
    change("softmax_backward_registers", ["(g0 - total)", "g0"], "softmax whole", HARDWARE),
    change("softmax_backward_registers", ["exp_or_zero4(y0) * total", "total"], "log_softmax whole", SOFTWARE),
    change("dropout", ["bits > last", "bits >= vec4(0u)"], "dropout", SOFTWARE),
    change("dropout", ["* params.scale", ""], "dropout whole", HARDWARE),
    change("random_take", ["state[2] = low;", ""], "dropout", SOFTWARE),
    change("norm_lanes", ["- pivot - shift) * scale", "- pivot) * scale"], "layer_norm", SOFTWARE),
    change("norm_lanes", ["params.eps)", "params.eps + 0.01)"], "rms_norm", SOFTWARE),
    change("norm_groups", ["j1 += 8192u", "j1 += 8448u"], "layer_norm long", SOFTWARE),
    change("norm_groups", ["* factor +", "+"], "layer_norm", HARDWARE),
    change("norm_registers", ["shift = sum_lanes", "shift = 0.5 * sum_lanes"], "layer_norm whole", SOFTWARE),
    change("norm_registers", ["lane ^ 2u", "lane ^ 1u"], "rms_norm whole", SOFTWARE),
    change("norm_registers", ["+ beta0", ""], "layer_norm whole", HARDWARE),
    change("norm_registers", ["+ 2u * step]", "+ step]"], "layer_norm gamma_anywhere", SOFTWARE),
    change("norm_backward_lanes", ["- n * slope", ""], "layer_norm", SOFTWARE),
    change("norm_backward_lanes", ["g - mean -", "g -"], "layer_norm", SOFTWARE),
    change("norm_backward_groups", ["- n * slope", ""], "layer_norm", HARDWARE),
    change("norm_backward_groups", ["j1 += 8192u", "j1 += 8448u"], "layer_norm long", SOFTWARE),
    change("norm_backward_registers", ["- n0 * slope", ""], "rms_norm whole", SOFTWARE),
    change("norm_backward_registers", ["mean = sum_lanes", "mean = 0.5 * sum_lanes"], "layer_norm whole", HARDWARE),
    change("norm_columns", ["plain += part_plain", "plain = part_plain"], "layer_norm sums", SOFTWARE),
    change("norm_columns", ["chunk * params.chunk + params.chunk", "chunk * params.chunk + params.chunk - 1u"], "layer_norm sums", HARDWARE),
    change("widen_f16", ["select(two.x, two.y", "select(two.x, two.x"], "exp f16", SOFTWARE),
];

impl Sabotage {
    /// An error unless the row fails because its values are wrong.
    fn noticed(&self) -> Result<(), String> {
        let row = table::rows().into_iter().find(|row| row.name == self.row);
        let row = row.ok_or_else(|| format!("there is no row {:?}", self.row))?;
        let opened = devices::sabotaged(self.mode, self.kernel, self.from, self.to);
        match check::gpu(&row, &opened.map_err(|e| e.to_string())?, self.mode) {
            Err(Failure::Mismatch(_)) => Ok(()),
            Err(Failure::Broken(text)) => Err(format!("the row failed for another reason: {text}")),
            Ok(()) => Err(format!(
                "{:?} became {:?}, and {} noticed nothing",
                self.from, self.to, self.row
            )),
        }
    }
}

/// Kernels that only take time: nobody reads what they compute.
fn measures(kernel: &str) -> bool {
    kernel.starts_with("roofline_")
}

fn main() -> ExitCode {
    runner::main(|suite| {
        suite.cpu("every_kernel_is_broken_once", || {
            let broken: HashSet<&str> = CHANGES.iter().map(|change| change.kernel).collect();
            let whole: Vec<&str> = wgrad_shaders::names()
                .filter(|name| !broken.contains(name) && !measures(name))
                .collect();
            if whole.is_empty() { Ok(()) } else { Err(format!("no sabotage breaks {whole:?}")) }
        });
        for (i, change) in CHANGES.iter().enumerate() {
            // A forced variant that this adapter lacks is not there to break.
            let special = matches!(
                change.mode,
                Mode::MatMul(
                    MatMulVariant::Lanes { shuffle: true, .. } | MatMulVariant::Cooperative { .. }
                )
            );
            let shuffles = change.mode == SOFTWARE && change.kernel.ends_with("_registers");
            let here = (!special
                || devices::matmul_variants().iter().any(|v| change.mode == Mode::MatMul(*v)))
                && (!shuffles || devices::has_eight_lanes());
            if here {
                let name = format!("{}::{i}::{}", change.kernel, change.mode);
                suite.gpu(name, || change.noticed());
            }
        }
    })
}
