//! The WGSL kernels of wgrad, as text. A kernel is a file here, helper files from `lib/`, type aliases
//! and constants, joined into one module by [`source`]. WGSL lets declarations come in any order.

mod expressions;
mod halves;

pub use expressions::{Expression, binary, compare, join, unary, unary_backward};

use std::fmt::Write;

/// A kernel in one of its variants: what is joined to make its text. Equal kernels have equal text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// File name without ending; also the pipeline's label and the word in error messages.
    pub name: &'static str,
    /// Helper files from `lib/`, without ending.
    pub parts: Vec<&'static str>,
    /// Type aliases; for a template, further variables.
    pub aliases: Vec<(&'static str, &'static str)>,
    /// Constants, or for a template its variables.
    pub values: Vec<(&'static str, u32)>,
    /// Functions given as text.
    pub functions: Vec<&'static str>,
    /// Text made for this kernel alone.
    pub made: String,
    /// Numbers of the bindings that hold 16-bit floats where the text says f32.
    pub halves: Vec<u32>,
}

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!($name, ".wgsl")))),*]
    };
}

/// Kernels that are whole files.
const KERNELS: &[(&str, &str)] = files!(
    "adapt_scale" "adjust" "arg_reduce" "avg_pool" "avg_pool_backward" "batch_norm"
    "batch_norm_backward" "batch_norm_groups" "batch_norm_join" "batch_norm_lanes" "conv_pack"
    "cross_entropy_divisor" "cross_entropy_groups" "cross_entropy_lanes" "dropout" "gather_rows"
    "generate" "map1" "map2" "map3" "matmul_tiled" "max_pool" "max_pool_backward" "narrow_f16"
    "norm_backward_groups" "norm_backward_lanes" "norm_columns" "norm_groups" "norm_lanes"
    "one_hot" "random" "random_advance" "random_take" "roofline_copy" "roofline_multiply_add"
    "scatter_rows" "softmax_backward_groups" "softmax_backward_lanes" "softmax_groups"
    "softmax_lanes" "update" "vector_norm_join" "vector_norm_parts" "widen_f16"
);

/// Kernels that must be unrolled, or whose bindings vary, and are therefore templates.
const TEMPLATES: &[(&str, &str)] = &[
    ("map_chain", include_str!("map_chain.wgsl.jinja")),
    ("masked_softmax", include_str!("masked_softmax.wgsl.jinja")),
    ("masked_softmax_backward", include_str!("masked_softmax_backward.wgsl.jinja")),
    (
        "masked_softmax_backward_registers",
        include_str!("masked_softmax_backward_registers.wgsl.jinja"),
    ),
    ("masked_softmax_registers", include_str!("masked_softmax_registers.wgsl.jinja")),
    ("matmul_lanes", include_str!("matmul_lanes.wgsl.jinja")),
    ("matmul_registers", include_str!("matmul_registers.wgsl.jinja")),
    ("matmul_thin", include_str!("matmul_thin.wgsl.jinja")),
    ("matmul_sum", include_str!("matmul_sum.wgsl.jinja")),
    ("matmul_cooperative", include_str!("matmul_cooperative.wgsl.jinja")),
    (
        "reduce_groups",
        concat!(include_str!("lib/reduce_places.jinja"), include_str!("reduce_groups.wgsl.jinja")),
    ),
    (
        "reduce_lanes",
        concat!(include_str!("lib/reduce_places.jinja"), include_str!("reduce_lanes.wgsl.jinja")),
    ),
    ("softmax_backward_registers", include_str!("softmax_backward_registers.wgsl.jinja")),
    ("softmax_registers", include_str!("softmax_registers.wgsl.jinja")),
    ("conv_lanes", include_str!("conv_lanes.wgsl.jinja")),
    ("conv_tiles", include_str!("conv_tiles.wgsl.jinja")),
    ("norm_registers", include_str!("norm_registers.wgsl.jinja")),
    ("norm_backward_registers", include_str!("norm_backward_registers.wgsl.jinja")),
];

/// Helpers that several kernels share.
const PARTS: &[(&str, &str)] = &[
    ("adjust_clip_norm", include_str!("lib/adjust_clip_norm.wgsl")),
    ("adjust_clip_value", include_str!("lib/adjust_clip_value.wgsl")),
    ("adjust_mix", include_str!("lib/adjust_mix.wgsl")),
    ("adjust_unscale", include_str!("lib/adjust_unscale.wgsl")),
    ("rmsprop_centered", include_str!("lib/rmsprop_centered.wgsl")),
    ("rmsprop_momentum", include_str!("lib/rmsprop_momentum.wgsl")),
    ("rmsprop_plain", include_str!("lib/rmsprop_plain.wgsl")),
    ("rmsprop_straight", include_str!("lib/rmsprop_straight.wgsl")),
    ("update_adagrad", include_str!("lib/update_adagrad.wgsl")),
    ("update_adam", include_str!("lib/update_adam.wgsl")),
    ("update_lion", include_str!("lib/update_lion.wgsl")),
    ("update_rmsprop", include_str!("lib/update_rmsprop.wgsl")),
    ("update_sgd", include_str!("lib/update_sgd.wgsl")),
    ("update_sgd_momentum", include_str!("lib/update_sgd_momentum.wgsl")),
    ("all_positions", include_str!("lib/all_positions.wgsl")),
    ("cross_entropy_divided", include_str!("lib/cross_entropy_divided.wgsl")),
    ("cross_entropy_divided_here", include_str!("lib/cross_entropy_divided_here.wgsl")),
    ("cross_entropy_even", include_str!("lib/cross_entropy_even.wgsl")),
    ("cross_entropy_fixed", include_str!("lib/cross_entropy_fixed.wgsl")),
    ("cross_entropy_gradient", include_str!("lib/cross_entropy_gradient.wgsl")),
    ("cross_entropy_labels", include_str!("lib/cross_entropy_labels.wgsl")),
    ("cross_entropy_log", include_str!("lib/cross_entropy_log.wgsl")),
    ("cross_entropy_logits", include_str!("lib/cross_entropy_logits.wgsl")),
    ("cross_entropy_loss_only", include_str!("lib/cross_entropy_loss_only.wgsl")),
    ("cross_entropy_row", include_str!("lib/cross_entropy_row.wgsl")),
    ("cross_entropy_weighted", include_str!("lib/cross_entropy_weighted.wgsl")),
    ("batches", include_str!("lib/batches.wgsl")),
    ("batch_norm_params", include_str!("lib/batch_norm_params.wgsl")),
    ("batch_norm_moments", include_str!("lib/batch_norm_moments.wgsl")),
    ("batch_norm_slopes", include_str!("lib/batch_norm_slopes.wgsl")),
    ("join_moments", include_str!("lib/join_moments.wgsl")),
    ("join_slopes", include_str!("lib/join_slopes.wgsl")),
    ("finish_moments", include_str!("lib/finish_moments.wgsl")),
    ("finish_slopes", include_str!("lib/finish_slopes.wgsl")),
    ("dropout_fours", include_str!("lib/dropout_fours.wgsl")),
    ("dropout_view", include_str!("lib/dropout_view.wgsl")),
    ("gelu_tanh", include_str!("lib/gelu_tanh.wgsl")),
    ("guarded", include_str!("lib/guarded.wgsl")),
    ("halves", include_str!("lib/halves.wgsl")),
    ("index", include_str!("lib/index.wgsl")),
    ("join_shared", include_str!("lib/join_shared.wgsl")),
    ("join_shuffle", include_str!("lib/join_shuffle.wgsl")),
    ("keep_rows", include_str!("lib/keep_rows.wgsl")),
    ("keep_sum", include_str!("lib/keep_sum.wgsl")),
    ("larger", include_str!("lib/larger.wgsl")),
    ("larger4", include_str!("lib/larger4.wgsl")),
    ("listed_positions", include_str!("lib/listed_positions.wgsl")),
    ("log_of", include_str!("lib/log_of.wgsl")),
    ("matmul_params", include_str!("lib/matmul_params.wgsl")),
    ("nan", include_str!("lib/nan.wgsl")),
    ("normal_cdf", include_str!("lib/normal_cdf.wgsl")),
    ("philox", include_str!("lib/philox.wgsl")),
    ("power", include_str!("lib/power.wgsl")),
    ("power_whole", include_str!("lib/power_whole.wgsl")),
    ("reduce_view", include_str!("lib/reduce_view.wgsl")),
    ("row_index", include_str!("lib/row_index.wgsl")),
    ("rows", include_str!("lib/rows.wgsl")),
    ("sigmoid", include_str!("lib/sigmoid.wgsl")),
    ("tanh", include_str!("lib/tanh.wgsl")),
    ("unguarded", include_str!("lib/unguarded.wgsl")),
    ("conv_params", include_str!("lib/conv_params.wgsl")),
    ("over", include_str!("lib/over.wgsl")),
    ("pool_windows", include_str!("lib/pool_windows.wgsl")),
    ("walk", include_str!("lib/walk.wgsl")),
    ("watch", include_str!("lib/watch.wgsl")),
];

/// Names of all kernels, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    KERNELS.iter().chain(TEMPLATES).map(|(name, _)| *name)
}

/// Names of all helper files, in order.
pub fn parts() -> impl Iterator<Item = &'static str> {
    PARTS.iter().map(|(name, _)| *name)
}

fn find(list: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    list.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}

/// The WGSL text of a kernel, or what about it does not exist.
pub fn source(kernel: &Kernel) -> Result<String, String> {
    let mut text = String::with_capacity(8192);
    let body = if let Some(template) = find(TEMPLATES, kernel.name) {
        let numbers = kernel.values.iter().map(|&(k, v)| (k, minijinja::Value::from(v)));
        let words = kernel.aliases.iter().map(|&(k, v)| (k, minijinja::Value::from(v)));
        let context: std::collections::BTreeMap<_, _> = numbers.chain(words).collect();
        environment()
            .render_str(template, minijinja::Value::from(context))
            .map_err(|e| format!("{}: {e:#}", kernel.name))?
    } else {
        for (name, ty) in &kernel.aliases {
            let _ = writeln!(text, "alias {name} = {ty};");
        }
        for (name, value) in &kernel.values {
            let _ = writeln!(text, "const {name} = {value}u;");
        }
        find(KERNELS, kernel.name)
            .ok_or_else(|| format!("there is no kernel {:?}", kernel.name))?
            .to_owned()
    };
    for function in &kernel.functions {
        text.push_str(function);
        text.push('\n');
    }
    text.push_str(&kernel.made);
    for part in &kernel.parts {
        text.push_str(find(PARTS, part).ok_or_else(|| format!("there is no part {part:?}"))?);
    }
    text.push_str(&body);
    if kernel.halves.is_empty() {
        return Ok(text);
    }
    halves::in_halves(text, &kernel.halves).map_err(|e| format!("{}: {e}", kernel.name))
}

/// The templates' usual variants by file name: their texts lie under `rendered/`, for people to read.
pub fn defaults() -> Vec<(&'static str, Kernel)> {
    let lanes = |shuffle| Kernel {
        name: "matmul_lanes",
        parts: vec!["batches"],
        values: vec![
            ("rows", 16),
            ("cols4", 2),
            ("shuffle", shuffle),
            ("a_vec4", 1),
            ("b_vec4", 1),
            ("y_vec4", 0),
        ],
        aliases: vec![("a_layout", "any"), ("b_layout", "any")],
        functions: vec![
            "alias elem = vec4<f32>;",
            "fn apply(z: elem) -> elem { return select(z, z * params.slope, z < elem(0.0)); }",
        ],
        ..Kernel::default()
    };
    let plain = [("bias", 0), ("extra", 0), ("activation", 0)];
    let gpu = |name, values: &[(&'static str, u32)], aliases: &[(&'static str, &'static str)]| {
        let values = values.iter().chain(&plain).copied().collect();
        Kernel {
            name,
            parts: vec!["matmul_params", "batches"],
            values,
            aliases: aliases.to_vec(),
            ..Kernel::default()
        }
    };
    let rows = [("a_layout", "row"), ("b_layout", "row")];
    let fours = [("a_vec4", 1), ("b_vec4", 1), ("whole", 1)];
    let registers = |bm, bn, bk, tm, tn| {
        let tile = [("bm", bm), ("bn", bn), ("bk", bk), ("tm", tm), ("tn", tn), ("y_vec4", 1)];
        gpu("matmul_registers", &[&tile[..], &fours].concat(), &rows)
    };
    let thin = [("by_col", 0), ("few", 1), ("tl", 2), ("tk", 64), ("x_vec4", 1)];
    let cooperative = [
        ("bm", 64),
        ("bn", 64),
        ("bk", 32),
        ("edge", 16),
        ("sm", 2),
        ("sn", 2),
        ("subgroup", 32),
        ("packed", 1),
    ];
    let cooperative = gpu("matmul_cooperative", &[&cooperative[..], &fours].concat(), &rows);
    let conv = |name, parts: &[&'static str], values: &[(&'static str, u32)]| Kernel {
        name,
        parts: parts.to_vec(),
        values: values.to_vec(),
        ..Kernel::default()
    };
    let conv_lanes =
        [("rows", 8), ("cols4", 1), ("lanes", 8), ("shuffle", 1), ("packed", 1), ("small", 1)];
    let conv_tiles = [("bm", 64), ("bn", 64), ("bk", 16), ("tm", 4)];
    vec![
        ("conv_lanes", conv("conv_lanes", &["conv_params", "over"], &conv_lanes)),
        ("conv_tiles", conv("conv_tiles", &["conv_params"], &conv_tiles)),
        ("matmul_lanes", lanes(1)),
        ("matmul_lanes_without_subgroups", lanes(0)),
        ("matmul_registers_64", registers(64, 64, 16, 8, 8)),
        ("matmul_registers_128", registers(128, 128, 16, 8, 8)),
        ("matmul_thin", gpu("matmul_thin", &thin, &[("unit", "k")])),
        ("matmul_sum", gpu("matmul_sum", &[("vec4", 1)], &[])),
        ("matmul_cooperative_64", Kernel { functions: vec![COOPERATIVE], ..cooperative }),
    ]
}

/// What must stand in front of a module with cooperative matrices.
pub const COOPERATIVE: &str = "enable f16; enable wgpu_cooperative_matrix;";

fn environment() -> &'static minijinja::Environment<'static> {
    static ENVIRONMENT: std::sync::OnceLock<minijinja::Environment<'static>> =
        std::sync::OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = minijinja::Environment::new();
        let syntax = minijinja::syntax::SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build();
        if let Ok(syntax) = syntax {
            environment.set_syntax(syntax);
        }
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        // All that the templates use of minijinja's own functions, which would add a third of a megabyte.
        environment.add_function("range", |first: u32, end: Option<u32>| {
            let range = end.map_or(0..first, |end| first..end);
            range.collect::<Vec<u32>>()
        });
        environment
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_render_in_any_variant() {
        let mut kernel = Kernel { name: "matmul_lanes", ..Kernel::default() };
        assert!(source(&kernel).is_err(), "a missing variable is an error");
        kernel.values = vec![
            ("rows", 16),
            ("cols4", 2),
            ("shuffle", 1),
            ("a_vec4", 1),
            ("b_vec4", 1),
            ("y_vec4", 0),
        ];
        kernel.aliases = vec![("a_layout", "any"), ("b_layout", "any")];
        let text = source(&kernel).unwrap();
        assert!(text.contains("fn main") && text.contains("subgroupShuffle"));
        kernel.values[2].1 = 0;
        assert!(!source(&kernel).unwrap().contains("subgroupShuffle("));
    }
}
