//! Element-wise operations as WGSL: one row each. The text works on f32 and on `vec4<f32>` alike, since
//! it speaks of `elem` (a number or four), `bits` (as many u32) and `mask` (as many bool).

/// A function for an element-wise kernel, and the helper files it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expression {
    /// A function called `apply` or `join`.
    pub function: &'static str,
    /// Files from `lib/`.
    pub parts: &'static [&'static str],
}

macro_rules! table {
    ($(#[$doc:meta])* $name:ident, $signature:literal; $($key:literal [$($part:literal)*] $text:literal)*) => {
        $(#[$doc])*
        pub fn $name(op: &str) -> Option<Expression> {
            match op {
                $($key => Some(Expression {
                    function: concat!($signature, " { return ", $text, "; }"),
                    parts: &[$($part),*],
                }),)*
                _ => None,
            }
        }
    };
}

table! {
    /// `apply(x)` by the operation's name; `_number` forms take their number from the parameters.
    unary, "fn apply(x: elem_a) -> elem_y";
    "copy" [] "x"
    "neg" [] "-x"
    "neg_u32" [] "elem(0u) - x"
    "exp" ["nan"] "select(exp(x), x, is_nan(x))"
    "log" ["log_of" "nan"] "log_of(x)"
    "sqrt" ["nan"] "select(select(sqrt(x), elem(bitcast<f32>(params.nan)), x < elem(0.0)), x, is_nan(x))"
    "abs" [] "abs(x)"
    "square" [] "x * x"
    "reciprocal" [] "elem(1.0) / x"
    "relu" [] "select(x, elem(0.0), x < elem(0.0))"
    "leaky_relu" [] "select(x, x * bitcast<num>(params.scalar), x < elem(0.0))"
    "sigmoid" ["sigmoid"] "sigmoid(x)"
    "tanh" ["tanh"] "tanh_of(x)"
    "gelu" ["normal_cdf"] "select(x, elem(0.0), x < elem(-20.0)) * normal_cdf(x)"
    "gelu_tanh" ["gelu_tanh" "sigmoid" "nan"] "gelu_tanh_of(x)"
    "silu" ["sigmoid"] "select(x, elem(0.0), x < elem(-110.0)) * sigmoid(x)"
    "softplus" ["nan"] "select(max(x, elem(0.0)) + log(elem(1.0) + exp(-abs(x))), x, is_nan(x))"
    "add_number" [] "x + elem(bitcast<num>(params.scalar))"
    "sub_number" [] "x - elem(bitcast<num>(params.scalar))"
    "number_sub" [] "elem(bitcast<num>(params.scalar)) - x"
    "mul_number" [] "x * elem(bitcast<num>(params.scalar))"
    "div_number" [] "x / elem(bitcast<num>(params.scalar))"
    "number_div" [] "elem(bitcast<num>(params.scalar)) / x"
    "number_div_i32" [] "elem_y(bitcast<i32>(params.scalar)) / select(x, elem_a(1), (x == elem_a(0)) | ((elem_a(bitcast<i32>(params.scalar)) == elem_a(i32(-2147483647 - 1))) & (x == elem_a(-1))))"
    "number_div_u32" [] "elem_y(params.scalar) / select(x, elem_a(1u), x == elem_a(0u))"
    "maximum_number" ["nan"] "select(max(x, elem(bitcast<num>(params.scalar))), x, is_nan(x))"
    "minimum_number" ["nan"] "select(min(x, elem(bitcast<num>(params.scalar))), x, is_nan(x))"
    "maximum_number_int" [] "max(x, elem(bitcast<num>(params.scalar)))"
    "minimum_number_int" [] "min(x, elem(bitcast<num>(params.scalar)))"
    "pow_number" ["power" "nan"] "power(x, elem(bitcast<num>(params.scalar)))"
    "pow_whole_number" ["power_whole"] "power_whole(x, i32(params.scalar))"
    "number_pow" ["power" "nan"] "power(elem(bitcast<num>(params.scalar)), x)"
    "eq_number" [] "select(elem_y(0u), elem_y(1u), x == elem(bitcast<num>(params.scalar)))"
    "ne_number" [] "select(elem_y(0u), elem_y(1u), !(x == elem(bitcast<num>(params.scalar))))"
    "lt_number" [] "select(elem_y(0u), elem_y(1u), x < elem(bitcast<num>(params.scalar)))"
    "le_number" [] "select(elem_y(0u), elem_y(1u), x <= elem(bitcast<num>(params.scalar)))"
    "gt_number" [] "select(elem_y(0u), elem_y(1u), x > elem(bitcast<num>(params.scalar)))"
    "ge_number" [] "select(elem_y(0u), elem_y(1u), x >= elem(bitcast<num>(params.scalar)))"
    "cast" [] "elem_y(x)"
    "to_bool" [] "select(elem_y(0u), elem_y(1u), !(x == elem(0)))"
    "float_to_i32" ["nan"] "select(select(elem_y(clamp(x, elem(-2147483600.0), elem(2147483500.0))), select(elem_y(0x7fffffff), elem_y(i32(-2147483647 - 1)), x < elem(0.0)), abs(x) >= elem(2147483648.0)), elem_y(0), is_nan(x))"
    "float_to_u32" ["nan"] "select(select(elem_y(clamp(x, elem(0.0), elem(4294967000.0))), elem_y(0xffffffffu), x >= elem(4294967296.0)), elem_y(0u), is_nan(x))"
}

table! {
    /// `apply(s, dy)`: `dy · f'` from the saved input or output s.
    unary_backward, "fn apply(s: elem_a, dy: elem_b) -> elem_y";
    "exp" [] "dy * s"
    "log" [] "dy / s"
    "sqrt" [] "select(0.5 * dy / s, elem(0.0), s == elem(0.0))"
    "abs" [] "dy * sign(s)"
    "square" [] "2.0 * dy * s"
    "reciprocal" [] "-dy * s * s"
    "relu" [] "select(elem(0.0), dy, s > elem(0.0))"
    "leaky_relu" [] "select(dy * bitcast<num>(params.scalar), dy, s > elem(0.0))"
    "sigmoid" [] "dy * s * (elem(1.0) - s)"
    "tanh" [] "dy * (elem(1.0) - s * s)"
    "gelu" ["normal_cdf"] "dy * (normal_cdf(s) + select(s, elem(0.0), abs(s) > elem(20.0)) * normal_pdf(s))"
    "gelu_tanh" ["gelu_tanh" "sigmoid" "nan"] "dy * gelu_tanh_slope(s)"
    "silu" ["sigmoid"] "dy * sigmoid(s) * (elem(1.0) + select(s, elem(0.0), abs(s) > elem(110.0)) * sigmoid(-s))"
    "softplus" ["sigmoid"] "dy * sigmoid(s)"
}

table! {
    /// `apply(a, b)` by the operation's name.
    binary, "fn apply(a: elem_a, b: elem_b) -> elem_y";
    "add" [] "a + b"
    "sub" [] "a - b"
    "mul" [] "a * b"
    "div" [] "a / b"
    "div_i32" [] "a / select(b, elem_b(1), (b == elem_b(0)) | ((a == elem_a(i32(-2147483647 - 1))) & (b == elem_b(-1))))"
    "div_u32" [] "a / select(b, elem_b(1u), b == elem_b(0u))"
    "maximum" ["nan"] "select(select(max(a, b), b, is_nan(b)), a, is_nan(a))"
    "minimum" ["nan"] "select(select(min(a, b), b, is_nan(b)), a, is_nan(a))"
    "maximum_int" [] "max(a, b)"
    "minimum_int" [] "min(a, b)"
    "pow" ["power" "nan"] "power(a, b)"
    "mask" [] "select(elem_y(0), b, a == elem_a(params.scalar))"
}

table! {
    /// `apply(a, b)` to 0 or 1; with NaN all are 0 but `ne`.
    compare, "fn apply(a: elem_a, b: elem_b) -> elem_y";
    "eq" [] "select(elem_y(0u), elem_y(1u), a == b)"
    "ne" [] "select(elem_y(0u), elem_y(1u), !(a == b))"
    "lt" [] "select(elem_y(0u), elem_y(1u), a < b)"
    "le" [] "select(elem_y(0u), elem_y(1u), a <= b)"
    "gt" [] "select(elem_y(0u), elem_y(1u), a > b)"
    "ge" [] "select(elem_y(0u), elem_y(1u), a >= b)"
}

/// The functions of a reduction: `start`, `join`, `finish`, and for positions `before`.
pub fn join(op: &str) -> Option<Expression> {
    let (function, parts): (_, &'static [&'static str]) = match op {
        // Sum, and mean by its scale; of nothing 0 or NaN, as the parameters say.
        "sum" => (
            "fn start(first: elem) -> elem { return elem(0.0); }\n\
             fn join(a: elem, b: elem) -> elem { return a + b; }\n\
             fn finish(a: elem) -> elem {\n  \
               return select(a * params.scale, elem(bitcast<f32>(params.nan)), params.length == 0u);\n}",
            &[],
        ),
        "sum_int" => (
            "fn start(first: elem) -> elem { return elem(0); }\n\
             fn join(a: elem, b: elem) -> elem { return a + b; }\n\
             fn finish(a: elem) -> elem { return a; }",
            &[],
        ),
        "max" => (
            "fn start(first: elem) -> elem { return first; }\n\
             fn join(a: elem, b: elem) -> elem { return select(select(max(a, b), b, is_nan(b)), a, is_nan(a)); }\n\
             fn finish(a: elem) -> elem { return a; }",
            &["nan"],
        ),
        "min" => (
            "fn start(first: elem) -> elem { return first; }\n\
             fn join(a: elem, b: elem) -> elem { return select(select(min(a, b), b, is_nan(b)), a, is_nan(a)); }\n\
             fn finish(a: elem) -> elem { return a; }",
            &["nan"],
        ),
        "max_int" => (
            "fn start(first: elem) -> elem { return first; }\n\
             fn join(a: elem, b: elem) -> elem { return max(a, b); }\n\
             fn finish(a: elem) -> elem { return a; }",
            &[],
        ),
        "min_int" => (
            "fn start(first: elem) -> elem { return first; }\n\
             fn join(a: elem, b: elem) -> elem { return min(a, b); }\n\
             fn finish(a: elem) -> elem { return a; }",
            &[],
        ),
        "argmax" => (
            "fn before(a: elem, b: elem) -> bool { return !is_nan(b) && (a > b || is_nan(a)); }",
            &["nan"],
        ),
        "argmin" => (
            "fn before(a: elem, b: elem) -> bool { return !is_nan(b) && (a < b || is_nan(a)); }",
            &["nan"],
        ),
        "argmax_int" => ("fn before(a: elem, b: elem) -> bool { return a > b; }", &[]),
        "argmin_int" => ("fn before(a: elem, b: elem) -> bool { return a < b; }", &[]),
        _ => return None,
    };
    Some(Expression { function, parts })
}
