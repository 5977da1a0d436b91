//! The files, as they go into programs: without the lines that only comment, a quarter of all.

macro_rules! text {
    ($file:expr) => {{
        const FILE: &[u8] = $file.as_bytes();
        const CODE: [u8; code_length(FILE)] = code(FILE);
        as_text(&CODE)
    }};
}

macro_rules! files {
    ($folder:literal: $($name:literal)*) => {
        &[$(($name, text!(include_str!(concat!($folder, $name, ".wgsl"))))),*]
    };
}

macro_rules! template {
    ($name:literal) => {
        ($name, text!(include_str!(concat!($name, ".wgsl.jinja"))))
    };
    ($name:literal, $before:literal) => {
        ($name, text!(concat!(include_str!($before), include_str!(concat!($name, ".wgsl.jinja")))))
    };
}

/// A name and a text.
type File = (&'static str, &'static str);

/// Kernels that are whole files.
pub(crate) const KERNELS: &[File] = files!(
    "":
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
pub(crate) const TEMPLATES: &[File] = &[
    template!("map_chain"),
    template!("masked_softmax"),
    template!("masked_softmax_backward"),
    template!("masked_softmax_backward_registers"),
    template!("masked_softmax_registers"),
    template!("matmul_lanes"),
    template!("matmul_registers"),
    template!("matmul_thin"),
    template!("matmul_sum"),
    template!("matmul_cooperative"),
    template!("reduce_groups", "lib/reduce_places.jinja"),
    template!("reduce_lanes", "lib/reduce_places.jinja"),
    template!("softmax_backward_registers"),
    template!("softmax_registers"),
    template!("conv_lanes"),
    template!("conv_tiles"),
    template!("norm_registers"),
    template!("norm_backward_registers"),
];

/// Helpers that several kernels share.
pub(crate) const PARTS: &[File] = files!(
    "lib/":
    "adjust_clip_norm" "adjust_clip_value" "adjust_mix" "adjust_unscale" "rmsprop_centered"
    "rmsprop_momentum" "rmsprop_plain" "rmsprop_straight" "update_adagrad" "update_adam"
    "update_lion" "update_rmsprop" "update_sgd" "update_sgd_momentum" "all_positions"
    "cross_entropy_divided" "cross_entropy_divided_here" "cross_entropy_even" "cross_entropy_fixed"
    "cross_entropy_gradient" "cross_entropy_labels" "cross_entropy_log" "cross_entropy_logits"
    "cross_entropy_loss_only" "cross_entropy_row" "cross_entropy_weighted" "batches"
    "batch_norm_params" "batch_norm_moments" "batch_norm_slopes" "join_moments" "join_slopes"
    "finish_moments" "finish_slopes" "dropout_fours" "dropout_view" "gelu_tanh" "guarded" "halves"
    "index" "join_shared" "join_shuffle" "keep_rows" "keep_sum" "larger" "larger4"
    "listed_positions" "log_of" "matmul_params" "nan" "normal_cdf" "philox" "power" "power_whole"
    "reduce_view" "row_index" "rows" "sigmoid" "tanh" "unguarded" "conv_params" "over"
    "pool_windows" "walk" "watch"
);

/// Where the line from `start` on ends, its end of line included.
const fn line_end(file: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < file.len() {
        at += 1;
        if file[at - 1] == b'\n' {
            break;
        }
    }
    at
}

const fn is_comment(file: &[u8], start: usize) -> bool {
    let mut at = start;
    while at < file.len() && file[at] == b' ' {
        at += 1;
    }
    at + 1 < file.len() && file[at] == b'/' && file[at + 1] == b'/'
}

const fn code_length(file: &[u8]) -> usize {
    let (mut at, mut length) = (0, 0);
    while at < file.len() {
        let end = line_end(file, at);
        if !is_comment(file, at) {
            length += end - at;
        }
        at = end;
    }
    length
}

const fn code<const N: usize>(file: &[u8]) -> [u8; N] {
    let mut code = [0; N];
    let (mut at, mut to) = (0, 0);
    while at < file.len() {
        let end = line_end(file, at);
        if is_comment(file, at) {
            at = end;
        }
        while at < end {
            code[to] = file[at];
            at += 1;
            to += 1;
        }
    }
    code
}

const fn as_text(code: &'static [u8]) -> &'static str {
    match str::from_utf8(code) {
        Ok(text) => text,
        Err(_) => "", // whole lines of a text are a text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_only_comment_go() {
        let text = text!("// a\na = 1; // b\n\n  // c\n  b / c\n//d");
        assert_eq!(text, "a = 1; // b\n\n  b / c\n");
        assert_eq!(text!("x"), "x");
        assert_eq!(text!("//"), "");
        assert_eq!(text!("a\n/"), "a\n/");
    }

    #[test]
    fn every_file_has_code() {
        for (name, text) in KERNELS.iter().chain(TEMPLATES).chain(PARTS) {
            assert!(!text.trim().is_empty(), "{name}");
        }
    }
}
