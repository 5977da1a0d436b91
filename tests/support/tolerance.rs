//! The one table of tolerances. A test never carries its own number; whoever changes one changes it
//! here, with the reason.

/// One rounding of f32 is at most this large relative to the result.
const U: f64 = 1.0 / (1u64 << 23) as f64;
/// One rounding to f16, likewise, and the distance of its subnormal numbers.
const U_HALF: f64 = 1.0 / 1024.0;
const STEP_HALF: f64 = 6e-8;

/// How far a result may lie from the f64 reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// No arithmetic, or arithmetic on whole numbers: equal.
    Exact,
    /// `atol + rtol·|want|`
    Close { rtol: f64, atol: f64 },
    /// A sum of n terms by a tree: `(4 + log₂ n)·u·Σ|x|`, and as much again as `also` allows.
    Sum { also: f64 },
    /// A product over k: `(4 + √k)·u·(|A|·|B|)`, the statistical bound, and `also` for what follows it.
    Product { also: f64 },
}

/// Tolerances by operation, with the reason. WGSL's own accuracy table allows less than each of these.
#[rustfmt::skip]
const TABLE: &[(&str, Rule, &str)] = &[
    ("exact",      Rule::Exact, "no arithmetic, or on whole numbers"),
    ("arithmetic", Rule::Close { rtol: 2.4e-7, atol: 1.2e-38 }, "two roundings of 1 ulp; subnormals may flush"),
    ("division",   Rule::Close { rtol: 8e-7, atol: 1.2e-38 }, "WGSL allows 2.5 to 5 ulp for / and sqrt"),
    ("exp",        Rule::Close { rtol: 4e-6, atol: 1.2e-38 }, "3 + 2|x| ulp for |x| up to 10"),
    ("log",        Rule::Close { rtol: 1e-6, atol: 6e-7 }, "2^-21 absolute near 1, else 3 ulp"),
    ("tanh",       Rule::Close { rtol: 4e-6, atol: 4e-7 }, "from exp(-2|x|), which cancels near 0"),
    ("sigmoid",    Rule::Close { rtol: 4e-6, atol: 4e-7 }, "from exp(-|x|)"),
    ("gelu",       Rule::Close { rtol: 4e-6, atol: 1.6e-6 }, "4e-7 times |x|, which goes to 4; erf by a formula of 1.5e-7"),
    ("pow",        Rule::Close { rtol: 2e-5, atol: 1.2e-38 }, "as exp2(y log2 x), |y log2 x| up to 32"),
    ("pow_whole",  Rule::Close { rtol: 8e-7, atol: 1.2e-38 }, "by multiplication"),
    ("sum",        Rule::Sum { also: 0.0 }, "tree"),
    ("variance",   Rule::Close { rtol: 1e-5, atol: 4e-6 }, "two passes, values of size 1"),
    ("matmul",     Rule::Product { also: 0.0 }, "products summed in order of k"),
    ("linear",     Rule::Product { also: 4e-7 }, "matmul, a bias, and an activation that does not stretch"),
    ("conv",       Rule::Product { also: 4e-7 }, "products summed tap after tap, and a bias"),
    ("softmax",    Rule::Close { rtol: 1e-5, atol: 2.3e-6 }, "tiny probabilities: (3 + 3d) u for distance d"),
    ("masked_softmax", Rule::Close { rtol: 1e-5, atol: 2.3e-6 }, "as softmax"),
    ("attention",  Rule::Close { rtol: 1e-5, atol: 4.6e-6 }, "scores of size 1 shift weights by a product's error; then a mean of values of size 1"),
    ("log_softmax", Rule::Close { rtol: 1e-6, atol: 4e-6 }, "log of a sum, and 1 ulp of the result"),
    ("cross_entropy", Rule::Close { rtol: 1e-6, atol: 4e-6 }, "as log_softmax"),
    ("uniform",    Rule::Close { rtol: 2.4e-7, atol: 7e-7 }, "low + (high - low) u, of size 3: two roundings or one"),
    ("normal",     Rule::Close { rtol: 1e-5, atol: 2e-5 }, "Box and Muller: log near 1, then a square root"),
    ("optimizer",  Rule::Close { rtol: 2e-5, atol: 1e-7 }, "one step: sqrt and division, 7.5 ulp"),
    ("mix",        Rule::Close { rtol: 4.8e-7, atol: 1.2e-38 }, "four roundings of positive numbers"),
    ("vector_norm", Rule::Close { rtol: 4e-6, atol: 1e-37 }, "a sum of squares by blocks, a root and a division; subnormals may flush"),
    ("optimizer_steps", Rule::Close { rtol: 2e-5, atol: 1e-5 }, "up to 20 steps from values of size 1"),
    ("chain",      Rule::Close { rtol: 1e-5, atol: 2e-6 }, "up to a dozen operations, values of size 1, in one kernel or in several"),
    ("graph",      Rule::Close { rtol: 0.0, atol: 2e-5 }, "up to 200 operations that do not stretch, values up to 1: 4 ulp of each of 40 in a row"),
    ("tails",      Rule::Close { rtol: 6e-5, atol: 1.6e-6 }, "exp at 20: 43 ulp and more; beyond, values below atol"),
    ("norm",       Rule::Close { rtol: 1e-5, atol: 1e-5 }, "4e-6 of the largest result, which is about 2.5: two sums, a root and a quotient"),
    ("loss",       Rule::Close { rtol: 4e-6, atol: 4e-6 }, "logarithms as log_softmax, up to a dozen operations on values of size 4, a mean"),
    ("schedule",   Rule::Close { rtol: 1e-12, atol: 1e-12 }, "a cosine and a few products in f64"),
    ("once_halved", Rule::Close { rtol: 1e-3, atol: 0.0 }, "one rounding to f16, 2^-11, of a number that is normal there"),
    ("mse",        Rule::Close { rtol: 4e-6, atol: 1e-7 }, "difference, square, mean"),
];

/// The rule of an operation.
pub fn of(op: &str) -> Rule {
    let found = TABLE.iter().find(|(name, ..)| *name == op);
    found.unwrap_or_else(|| panic!("no tolerance for {op:?} in tests/support/tolerance.rs")).1
}

/// What a bound depends on beyond the wanted value.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The same operation on absolute values.
    pub scale: f64,
    /// Terms summed into one element.
    pub terms: usize,
    /// Whether the result is stored in 16 bits.
    pub half: bool,
    /// Whether products round their operands to 16 bits: each term is then off by two such roundings.
    pub coarse: bool,
}

/// One term, stored in 32 bits.
pub const PLAIN: Context = Context { scale: 0.0, terms: 1, half: false, coarse: false };

/// Relative error of a variance whose mean is 4096 and deviation 0.006: the mean's own rounding.
pub const VARIANCE_FAR_OFF: f64 = 1e-3;
/// Relative error of a sum of equal numbers, however many.
pub const SUM_OF_EQUAL: f64 = 2e-6;
/// Sampled mean of uniform numbers, and mean and variance of normal ones, for the sample sizes in use:
/// more than five standard errors, so a right generator does not fail.
pub const UNIFORM_MEAN: f64 = 0.005;
pub const NORMAL_MEAN: f64 = 0.01;
pub const NORMAL_VARIANCE: f64 = 0.02;
/// The third and fourth moment of normal numbers, whose deviations are √15 and √96 where the mean's is 1.
pub const NORMAL_THIRD: f64 = 0.04;
pub const NORMAL_FOURTH: f64 = 0.1;
/// Counts in bins, in standard deviations of χ²: a right generator passes this about once in a million times, and seeds are fixed.
pub const CHI_SQUARED: f64 = 5.0;

impl Rule {
    /// Whether a single value is near enough; NaN never is.
    pub fn allows(self, got: f64, want: f64) -> bool {
        (got - want).abs() <= self.bound(want, &PLAIN)
    }

    /// How far from `want` a result may lie.
    pub fn bound(self, want: f64, at: &Context) -> f64 {
        let terms = at.terms.max(1) as f64;
        let bound = match self {
            Rule::Exact => 0.0,
            Rule::Close { rtol, atol } => atol + rtol * want.abs(),
            Rule::Sum { also } => (4.0 + terms.log2()) * U * at.scale.abs() + also,
            Rule::Product { also } => {
                let operands =
                    if at.coarse { U_HALF * at.scale.abs() + STEP_HALF * terms } else { 0.0 };
                (4.0 + terms.sqrt()) * U * at.scale.abs() + operands + also
            }
        };
        if at.half && self != Rule::Exact { bound + U_HALF * want.abs() + STEP_HALF } else { bound }
    }

    /// The bound for every element of a gradient: three times the forward one, on the scale of the
    /// whole tensor, since chains are longer and sums in them may cancel.
    pub fn gradient_bound(self, scale: f64, cotangent: f64, at: &Context) -> f64 {
        let terms = at.terms.max(1) as f64;
        let sums = (4.0 + terms.sqrt()) * U;
        let (rtol, atol) = match self {
            Rule::Exact => (0.0, 0.0),
            Rule::Close { rtol, atol } => (rtol, atol),
            Rule::Sum { also } | Rule::Product { also } => (0.0, also),
        };
        let half = if at.half || at.coarse { U_HALF } else { 0.0 };
        3.0 * ((rtol.max(sums) + half) * scale + atol * cotangent)
            + if at.half { STEP_HALF } else { 0.0 }
            + if at.coarse { STEP_HALF * terms } else { 0.0 }
    }
}

/// f64 gradients against central differences of step [`DIFFERENCE`]: the third derivative gives about
/// 1e-10 of the scale, rounding 1e-11.
pub const DIFFERENCE: f64 = 1e-5;

/// How far a difference quotient may lie from the gradient.
pub fn difference_bound(scale: f64) -> f64 {
    1e-6 * scale + 1e-9
}
