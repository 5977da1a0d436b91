//! A row of the table: one operation, its inputs, and what must run.

use super::{
    check::Judged,
    devices::Mode,
    inputs::{Input, Lie},
};
use std::sync::OnceLock;
use wgrad_core::{Result, Tensor};
use wgrad_gpu::MatMulVariant;

/// The one body that every device runs.
pub type Body = Box<dyn Fn(&[Tensor]) -> Result<Tensor> + Send + Sync>;
/// A reference written out in f64, for operations that only exist in f32.
pub type Reference = Box<dyn Fn(&[Vec<f64>]) -> Vec<f64> + Send + Sync>;

/// One set of inputs.
pub struct Case {
    pub inputs: Vec<Input>,
    /// Terms summed into one element of the result.
    pub terms: usize,
    /// The most terms summed into one element of a gradient.
    pub gradient_terms: usize,
    /// Whether the gradient is checked.
    pub gradient: bool,
    /// Whether the judge's gradient is compared with difference quotients.
    pub differences: bool,
    pub(super) judged: OnceLock<Result<Judged, String>>,
}

impl Case {
    /// These inputs, each element of the result from one element of each.
    pub fn new(inputs: impl Into<Vec<Input>>) -> Case {
        let inputs = inputs.into();
        let gradient = inputs.iter().any(|input| input.grad);
        let gradient_terms = inputs.iter().map(Input::numel).max().unwrap_or(1).max(1);
        Case {
            inputs,
            terms: 1,
            gradient_terms,
            gradient,
            differences: true,
            judged: OnceLock::new(),
        }
    }

    /// How many terms are summed into one element of the result.
    pub fn terms(mut self, terms: usize) -> Case {
        self.terms = terms;
        self
    }

    /// Only the forward direction: for sizes at which the gradient adds time and no new kernel.
    pub fn forward_only(mut self) -> Case {
        self.gradient = false;
        self
    }

    /// No difference quotients: where elements are so close that a step changes which is the largest.
    pub fn no_differences(mut self) -> Case {
        self.differences = false;
        self
    }

    /// Whether any input lies otherwise than plain.
    pub fn has_view(&self) -> bool {
        self.inputs.iter().any(|input| input.lie != Lie::Plain)
    }

    /// The inputs in words.
    pub fn label(&self) -> String {
        let words: Vec<String> = self
            .inputs
            .iter()
            .map(|input| match input.lie {
                Lie::Plain => format!("{:?}", input.shape),
                lie => format!("{:?} {lie:?}", input.shape).to_lowercase(),
            })
            .collect();
        words.join(" ")
    }
}

/// An operation with everything that is demanded of it.
pub struct Row {
    pub name: String,
    /// Its line in the table of tolerances.
    pub rule: &'static str,
    pub body: Body,
    /// The body on absolute values, where that differs: an activation would hide the scale.
    pub scale: Option<Body>,
    pub reference: Option<Reference>,
    pub cases: Vec<Case>,
    /// Whether floating-point inputs are f16.
    pub half: bool,
    /// Why there is no gradient to check.
    pub no_gradient: Option<&'static str>,
    /// Why its gradient is not compared with difference quotients.
    pub no_differences: Option<&'static str>,
    /// Whether its gradient jumps where a product's sign changes: one rounded to f16 is then judged by
    /// its values only.
    pub kink: bool,
    /// Whether matmul variants are forced on this row one by one.
    pub matmul: bool,
    software: Vec<&'static str>,
    hardware: Option<Vec<&'static str>>,
    backward: [Vec<&'static str>; 2],
}

/// A row; its name is the operation's, the word behind a space says which form.
pub fn row(
    name: impl Into<String>,
    rule: &'static str,
    body: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
) -> Row {
    Row {
        name: name.into(),
        rule,
        body: Box::new(body),
        scale: None,
        reference: None,
        cases: Vec::new(),
        half: false,
        no_gradient: None,
        no_differences: None,
        kink: false,
        matmul: false,
        software: Vec::new(),
        hardware: None,
        backward: [Vec::new(), Vec::new()],
    }
}

impl Row {
    pub fn case(mut self, case: Case) -> Row {
        self.cases.push(case);
        self
    }

    pub fn cases(mut self, cases: impl IntoIterator<Item = Case>) -> Row {
        self.cases.extend(cases);
        self
    }

    /// The kernels of the forward direction: each case runs some of them and nothing else, and all
    /// cases together run all of them. The word `matmul` stands for the variant chosen or forced.
    pub fn kernels(mut self, names: &[&'static str]) -> Row {
        self.software = names.to_vec();
        self
    }

    /// The same where kernels meant for real GPUs are chosen; the row then runs there too.
    pub fn hardware(mut self, names: &[&'static str]) -> Row {
        self.hardware = Some(names.to_vec());
        self
    }

    /// Kernels that the gradient must run, on software adapters and on real GPUs.
    pub fn backward(mut self, software: &[&'static str], hardware: &[&'static str]) -> Row {
        self.backward = [software.to_vec(), hardware.to_vec()];
        self
    }

    pub fn no_gradient(mut self, reason: &'static str) -> Row {
        self.no_gradient = Some(reason);
        self
    }

    pub fn no_differences(mut self, reason: &'static str) -> Row {
        self.no_differences = Some(reason);
        self
    }

    pub fn scale(
        mut self,
        body: impl Fn(&[Tensor]) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Row {
        self.scale = Some(Box::new(body));
        self
    }

    pub fn reference(mut self, f: impl Fn(&[Vec<f64>]) -> Vec<f64> + Send + Sync + 'static) -> Row {
        self.reference = Some(Box::new(f));
        self
    }

    pub fn half(mut self) -> Row {
        self.half = true;
        self
    }

    /// The gradient jumps where a product's sign changes.
    pub fn kink(mut self, kink: bool) -> Row {
        self.kink = kink;
        self
    }

    /// Every matmul variant is forced on this row.
    pub fn each_matmul(mut self) -> Row {
        self.matmul = true;
        self
    }

    /// Where this row runs beside the adapter's own choice of kernels.
    pub fn modes(&self) -> Vec<Mode> {
        let mut modes = vec![Mode::Software];
        modes.extend(self.hardware.as_ref().map(|_| Mode::Hardware));
        if self.matmul {
            modes.extend(super::devices::matmul_variants().into_iter().map(Mode::MatMul));
        }
        modes
    }

    /// Names of the kernels that the forward direction runs in a mode.
    pub fn expected(&self, mode: Mode, software: bool) -> Vec<&'static str> {
        let names = match (mode, &self.hardware, software) {
            (Mode::Software | Mode::Hardware, Some(names), false) => names,
            _ => &self.software,
        };
        names.iter().flat_map(|name| resolve(name, mode)).collect()
    }

    /// Names of the kernels that the gradient must run in a mode.
    pub fn expected_backward(&self, mode: Mode, software: bool) -> Vec<&'static str> {
        let forced = matches!(mode, Mode::MatMul(_));
        let names = &self.backward[usize::from(!software && !forced)];
        names.iter().flat_map(|name| resolve(name, mode)).collect()
    }
}

/// The kernels that `matmul` stands for; `linear` where the yardstick has no epilogue and the small
/// register tile takes its place. What real GPUs choose is listed by name.
fn resolve(name: &'static str, mode: Mode) -> Vec<&'static str> {
    let parts = |name, parts| if parts > 1 { vec![name, "matmul_sum"] } else { vec![name] };
    match (name, mode) {
        ("linear", Mode::MatMul(MatMulVariant::Tiled)) => vec!["matmul_registers"],
        ("matmul" | "linear", Mode::MatMul(variant)) => match variant {
            MatMulVariant::Tiled => vec!["matmul_tiled"],
            MatMulVariant::Registers { parts: n, .. } => parts("matmul_registers", n),
            MatMulVariant::Thin { parts: n } => parts("matmul_thin", n),
            MatMulVariant::Cooperative { parts: n, .. } => parts("matmul_cooperative", n),
            MatMulVariant::Lanes { .. } => vec!["matmul_lanes"],
        },
        ("matmul" | "linear", _) => vec!["matmul_lanes"],
        _ => vec![name],
    }
}
