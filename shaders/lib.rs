//! The WGSL kernels of wgrad, as text. A kernel is a file here, helper files from `lib/`, type aliases
//! and constants, joined into one module by [`source`]. WGSL lets declarations come in any order.

mod expressions;
mod halves;
mod texts;

pub use expressions::{Expression, binary, compare, join, unary, unary_backward};

use std::fmt::Write;
use texts::{KERNELS, PARTS, TEMPLATES};

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

/// What lies under `rendered/` for a usual variant: its text under a line that says where it comes from.
pub fn rendered(file: &str, kernel: &Kernel) -> Result<String, String> {
    let template = kernel.name;
    let text = source(kernel)?;
    Ok(format!(
        "// {file}: what {template}.wgsl.jinja gives, written by `cargo xtask render`; what it does is explained there.\n{text}"
    ))
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
