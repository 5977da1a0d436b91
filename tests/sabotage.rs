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
    change("adapt_scale", [">= params.interval", "> params.interval"], "loss_scale", SOFTWARE),
    change("adapt_scale", ["scale[at + 3u] += 1.0;", ""], "loss_scale", SOFTWARE),
    change("adapt_scale", ["scale[at] > params.floor", "scale[at] > 0.0"], "loss_scale", SOFTWARE),
    change("adapt_scale", ["scale[at + 1u] *= 0.5", "scale[at + 1u] *= 1.0"], "loss_scale", SOFTWARE),
    change("adjust", ["return inverse * value;", "return value;"], "loss_scale", SOFTWARE),
    change("adjust", ["any(size == bits(0x7f800000u))", "false"], "loss_scale", SOFTWARE),
    change("update", [" || skip[params.skip_offset] != 0u", ""], "loss_scale", SOFTWARE),
    change("adjust", ["return factor * (first * value);", "return value;"], "clip_norm", SOFTWARE),
    change("adjust", ["first = 7.888609052210118e-31;", ""], "clip_norm far", SOFTWARE),
    change("adjust", ["elem(-limit), value <", "elem(limit), value <"], "clip_value", SOFTWARE),
    change("adjust", ["params.keep * value +", "value +"], "mix", SOFTWARE),
    change("vector_norm_join", ["width > 0u", "width > 1u"], "clip_norm", SOFTWARE),
    change("vector_norm_parts", ["bits(0x58800000u)", "bits(0x78800000u)"], "clip_norm far", SOFTWARE),
    change("vector_norm_parts", ["medium += block;", "medium = block;"], "clip_norm", SOFTWARE),
    change("update", ["return start - ", "return start + "], "adam", SOFTWARE),
    change("update", ["value - rate * decay * value, option", "value, option"], "adamw", SOFTWARE),
    change("update", ["i < params.counters", "i < 1u"], "adam", SOFTWARE),
    change("update", ["+ group] + 1.0;", "+ group] + 0.5;"], "adam", SOFTWARE),
    change("update", ["<= turn.first) {", "<= turn.first + 9u) {"], "sgd ranges", SOFTWARE),
    change("update", ["range += 1u;", "range += 2u;"], "lion ranges", SOFTWARE),
    change("update", ["return value - rate * (g + ", "return value + rate * (g + "], "sgd", SOFTWARE),
    change("update", ["momentum * v[at.x] + slope", "v[at.x] + slope"], "sgd momentum", SOFTWARE),
    change("update", ["momentum * velocity, option", "velocity, option"], "sgd nesterov", SOFTWARE),
    change("update", ["let slope = g + decay * value;", "let slope = g + decay;"], "sgd decay", SOFTWARE),
    change("update", ["n.x * s[at.x] + n.y * slope", "n.x * s[at.x] + slope"], "rmsprop", SOFTWARE),
    change("update", ["squares - mean * mean", "squares"], "rmsprop centered", SOFTWARE),
    change("update", ["n.w * v[at] + step", "v[at] + step"], "rmsprop momentum", SOFTWARE),
    change("update", ["s[at.x] + slope * slope;", "slope * slope;"], "adagrad", SOFTWARE),
    change("update", ["n.y * mean + n.w * g", "n.x * mean + n.w * g"], "lion", SOFTWARE),
    change("arg_reduce", ["position = other;", ""], "argmax 0", SOFTWARE),
    change("arg_reduce", ["(i % params.chunks) * params.chunk", "i % params.chunks"], "argmax long", SOFTWARE),
    change("cross_entropy_divisor", ["width > 0u", "width > 1u"], "cross_entropy options ignored", SOFTWARE),
    change("cross_entropy_divisor", ["groups.x * 256u)", "256u)"], "cross_entropy options long", SOFTWARE),
    change("cross_entropy_divisor", ["counts(label) && ", ""], "cross_entropy options all", SOFTWARE),
    change("cross_entropy_groups", ["row_loss * scale, at.good)", "1.01 * row_loss * scale, at.good)"], "cross_entropy", HARDWARE),
    change("cross_entropy_groups", ["p * targets - wanted", "p * targets"], "cross_entropy", HARDWARE),
    change("cross_entropy_groups", ["vec2(part_of(d), -d)", "vec2(part_of(d), d)"], "cross_entropy smoothed", HARDWARE),
    change("cross_entropy_groups", ["weight * -d, weight)", "weight * -d, 1.0)"], "cross_entropy options all", HARDWARE),
    change("cross_entropy_groups", ["wanted = even * weight_of(j)", "wanted = even"], "cross_entropy options all", HARDWARE),
    change("cross_entropy_groups", ["|| label != params.ignored", "|| label == params.ignored"], "cross_entropy options ignored", HARDWARE),
    change("cross_entropy_groups", ["* at.weight *", "*"], "cross_entropy options weights", HARDWARE),
    change("cross_entropy_groups", ["1.0 / divisor[0]", "1.0"], "cross_entropy options weights", HARDWARE),
    change("cross_entropy_lanes", ["row_loss * scale, at.good)", "1.01 * row_loss * scale, at.good)"], "cross_entropy", SOFTWARE),
    change("cross_entropy_lanes", ["p * targets - wanted", "p * targets"], "cross_entropy", SOFTWARE),
    change("cross_entropy_lanes", ["vec2(part_of(d), -d)", "vec2(part_of(d), d)"], "cross_entropy smoothed", SOFTWARE),
    change("cross_entropy_lanes", ["weight * -d, weight)", "weight * -d, 1.0)"], "cross_entropy options all", SOFTWARE),
    change("cross_entropy_lanes", ["wanted = even * weight_of(j)", "wanted = even"], "cross_entropy options all", SOFTWARE),
    change("cross_entropy_lanes", ["|| label != params.ignored", "|| label == params.ignored"], "cross_entropy options ignored", SOFTWARE),
    change("cross_entropy_lanes", ["* at.weight *", "*"], "cross_entropy options weights", SOFTWARE),
    change("cross_entropy_lanes", ["select(0.0, share,", "select(0.0, 1.0,"], "nll options", SOFTWARE),
    change("cross_entropy_lanes", ["1.0 / divisor", "2.0 / divisor"], "cross_entropy options ignored", SOFTWARE),
    change("cross_entropy_lanes", ["row += groups.x * WG", "row += groups.x * WG * 2u"], "cross_entropy", SOFTWARE),
    change("gather_rows", ["= value;", "= value + elem(1);"], "gather", SOFTWARE),
    change("generate", ["elem(i) *", "elem(i + 1u) *"], "arange", SOFTWARE),
    change("map1", ["= apply(", "= elem_y(1) + apply("], "exp", SOFTWARE),
    change("map1", ["+ ((size >> vec2(13u)) & vec2(1u))", ""], "cast f32 f16 ties", SOFTWARE),
    change("map1", ["half.x | (half.y << 16u)", "half.x"], "cast f32 f16 ties", SOFTWARE),
    change("map1", ["select(w.x, w.y", "select(w.y, w.x"], "cast f16 f32", SOFTWARE),
    change("matmul_lanes", ["unpack2x16float(w.y)", "unpack2x16float(w.x)"], "matmul whole f16", SOFTWARE),
    change("matmul_registers", ["half.y << 16u", "half.x << 16u"], "matmul whole f16", HARDWARE),
    change("map2", ["= apply(", "= elem_y(1) + apply("], "add", SOFTWARE),
    change("map1", ["select(0u, 1u, over)", "0u"], "contiguous", SOFTWARE),
    change("map2", ["select(0u, 1u, over)", "0u"], "add", SOFTWARE),
    change("map3", ["select(0u, 1u, over)", "0u"], "where", SOFTWARE),
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
    change("matmul_cooperative", ["let bias4 = vec4(", "let bias4 = -vec4("], "linear bias", cooperative(Square::Of64, 1)),
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
    change("matmul_lanes", ["e0 > vec4(0.0)", "e0 > vec4(-9.0)"], "layer weights", SOFTWARE),
    change("matmul_lanes", ["total += part;", "total = part * 2.0;"], "layer bias", SOFTWARE),
    change("matmul_lanes", ["* params.factor", ""], "joined factor", SOFTWARE),
    change("matmul_lanes", ["z0 + e0", "z0"], "joined residual", SOFTWARE),
    change("matmul_registers", ["= apply(", "= vec4(1.0) + apply("], "joined layer", HARDWARE),
    change("matmul_registers", ["let e = ", "let e = 2.0 * "], "joined residual", registers(Tile::Small)),
    change("matmul_thin", ["let e = ", "let e = 2.0 * "], "joined residual", THIN),
    change("matmul_cooperative", ["let e = ", "let e = 2.0 * "], "joined residual", cooperative(Square::Of64, 1)),
    change("matmul_sum", ["extra[", "0.5 * extra["], "joined residual", SPLIT),
    change("matmul_lanes", ["params.sums_beside == 1u", "params.sums_beside == 0u"], "layer bias", SOFTWARE),
    change("matmul_tiled", ["= sum;", "= sum + 1.0;"], "matmul sizes", Mode::MatMul(MatMulVariant::Tiled)),
    change("narrow_f16", ["= packed;", "= packed ^ 256u;"], "exp f16", SOFTWARE),
    change("narrow_f16", ["0xfffu + odd", "0xfffu"], "cast f32 f16 ties", SOFTWARE),
    change("one_hot", ["select(0.0, 1.0,", "select(0.0, 2.0,"], "one_hot", SOFTWARE),
    change("random", ["f32(bits >> 8u)", "f32(bits >> 9u)"], "uniform", SOFTWARE),
    change("random", ["vec2(-n, c)", "vec2(n, c)"], "normal", SOFTWARE),
    change("random_advance", ["state[2] = low;", ""], "uniform", SOFTWARE),
    change("reduce_groups", ["width > 0u", "width > 1u"], "sum [-1]", HARDWARE),
    change("reduce_groups", ["i0 += 256u", "i0 += 512u"], "sum long", HARDWARE),
    change("reduce_lanes", ["finish(total)", "finish(total + total)"], "sum [-1]", SOFTWARE),
    change("reduce_lanes", ["% chunks)", "% chunks + 1u)"], "sum two_passes", SOFTWARE),
    change("reduce_lanes", ["elem(x1[", "elem(0.5) * elem(x1["], "reduced mse all", SOFTWARE),
    change("reduce_lanes", ["total.zwxy", "total"], "sum fours", SOFTWARE),
    change("reduce_lanes", ["two.yxwz", "two"], "sum fours", SOFTWARE),
    change("reduce_groups", ["elem(x1[", "elem(0.5) * elem(x1["], "reduced mse columns", HARDWARE),
    change("reduce_lanes", ["tail(finish(", "(finish("], "reduced tail", SOFTWARE),
    change("reduce_groups", ["all.zwxy", "all"], "sum fours", HARDWARE),
    change("scatter_rows", ["+= x[", "= x["], "scatter_rows", SOFTWARE),
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
    change("conv_lanes", ["+ shift;", "+ shift + shift;"], "conv2d sizes", SOFTWARE),
    change("conv_lanes", ["at_2_0 < size_2", "at_2_0 <= size_2"], "conv2d padded", SOFTWARE),
    change("conv_lanes", ["place.part / params.parts_1", "0u / params.parts_1"], "conv2d deep", SOFTWARE),
    change("conv_lanes", ["+ step - 1u) / step, meets", ") / step, meets"], "conv_transpose2d strided dilated", SOFTWARE),
    change("conv_lanes", ["* params.div_2 + place.class_2", "* params.div_2"], "conv_transpose2d strided", SOFTWARE),
    change("conv_lanes", ["place.group * params.b_group", "0u"], "conv2d depthwise", HARDWARE),
    change("conv_lanes", ["b[at0[0]], inside0[0])", "b[at0[1]], inside0[0])"], "conv2d views packed", SOFTWARE),
    change("conv_pack", ["k < vec4(inner)", "k <= vec4(inner)"], "conv2d views packed", SOFTWARE),
    change("conv_pack", ["params.offset + ", ""], "conv2d views packed", SOFTWARE),
    change("conv_tiles", ["/ taps_2.count % t1_count", "/ taps_2.count"], "conv2d sizes", HARDWARE),
    change("conv_tiles", ["(at_1 < vec4(params.size_1))", "(at_1 <= vec4(params.size_1))"], "conv2d whole", HARDWARE),
    change("conv_tiles", ["place.part / params.parts_1", "0u / params.parts_1"], "conv2d deep", HARDWARE),
    change("conv_tiles", ["= taps_of(place.class_1", "= taps_of(place.class_2"], "conv_transpose2d strided", HARDWARE),
    change("max_pool", ["best = select(best, value, better)", "best = value"], "max_pool2d uneven", SOFTWARE),
    change("max_pool", ["row * width + column, better", "row * width + columns.first, better"], "max_pool2d overlapping", SOFTWARE),
    change("max_pool_backward", ["== place", ">= place"], "max_pool2d overlapping", SOFTWARE),
    change("max_pool_backward", ["min(over(at, stride) + 1u, count)", "min(over(at, stride), count)"], "max_pool2d overlapping", SOFTWARE),
    change("avg_pool", ["sum / among", "sum / (among + 0.01)"], "avg_pool2d side by side", SOFTWARE),
    change("avg_pool", ["(i + 1u) * size + count - 1u", "(i + 1u) * size"], "adaptive_avg_pool2d fewer", SOFTWARE),
    change("avg_pool", ["params.padding_counts == 1u", "true"], "avg_pool2d without padding", SOFTWARE),
    change("avg_pool_backward", ["(down * across)", "down"], "avg_pool2d overlapping", SOFTWARE),
    change("batch_norm", ["* scale +", "* scale -"], "batch_norm", SOFTWARE),
    change("batch_norm_backward", ["- n * slope", ""], "batch_norm", SOFTWARE),
    change("batch_norm_backward", ["dy_offset + i] - mean", "dy_offset + i]"], "batch_norm images", HARDWARE),
    change("batch_norm_lanes", ["part_of(i, 0u, 1u, 0u, 1u)", "part_of(i, 0u, 1u, 0u, 2u)"], "batch_norm images", SOFTWARE),
    change("batch_norm_lanes", ["squares += part", "squares = part"], "batch_norm images", SOFTWARE),
    change("batch_norm_groups", ["width > 0u", "width > 1u"], "batch_norm images", HARDWARE),
    change("batch_norm_groups", ["a.y + apart * share", "a.y"], "batch_norm images", HARDWARE),
    change("batch_norm_join", ["chunk < params.chunks", "chunk + 1u < params.chunks"], "batch_norm many", SOFTWARE),
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
    change("avg_pool_backward", ["(i + 1u) * count + size - 1u", "(i + 1u) * count"], "adaptive_avg_pool2d more", SOFTWARE),
    change("widen_f16", ["select(two.x, two.y", "select(two.x, two.x"], "softmax f16", SOFTWARE),
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
