//! Runs one row: the f64 judge and its finite differences, the CPU in f32, and a GPU.

use super::{
    compare::{Failure, bits, close},
    devices::{Mode, Opened},
    inputs::{Input, Kind, Lie, read},
    row::{Case, Row},
    tolerance::{self, Context, Rule},
};
use wgrad_core::{DType, Device, Result, Tensor, philox::Stream};
use wgrad_shaders::Kernel;

/// What the f64 reference says about a case.
pub struct Judged {
    values: Vec<Vec<f64>>,
    shape: Vec<usize>,
    want: Vec<f64>,
    /// The body on absolute values.
    scale: Vec<f64>,
    cotangent: Vec<f64>,
    gradients: Vec<Option<Vec<f64>>>,
    /// The largest gradient element per input, also with everything positive, so that nothing cancels.
    gradient_scale: Vec<f64>,
}

/// Inputs as tensors on a device.
struct Laid {
    tensors: Vec<Tensor>,
}

impl Laid {
    fn new(row: &Row, case: &Case, values: &[Vec<f64>], float: DType, on: &Device) -> Result<Laid> {
        let wanted = case.gradient && row.no_gradient.is_none();
        let lay = |(input, values): (&Input, &Vec<f64>)| {
            let x = input.tensor(values, float, on)?;
            Ok(if input.grad && wanted { x.requiring_grad() } else { x })
        };
        let tensors = case.inputs.iter().zip(values).map(lay).collect::<Result<_>>()?;
        Ok(Laid { tensors })
    }

    /// The gradients of Σ y·cotangent for the inputs that ask for one.
    fn gradients(&self, y: &Tensor, cotangent: &[f64]) -> Result<Vec<Option<Tensor>>> {
        let c = Input {
            shape: y.shape().to_vec(),
            kind: Kind::Float,
            draw: super::inputs::Draw::Given(vec![0.0]),
            lie: Lie::Plain,
            grad: false,
        };
        let gradients = y.backward_with(&c.tensor(cotangent, y.dtype(), y.device())?)?;
        self.tensors
            .iter()
            .map(|x| x.requires_grad().then(|| gradients.wrt(x).cloned()).transpose())
            .collect()
    }
}

fn read_all(gradients: &[Option<Tensor>]) -> Result<Vec<Option<Vec<f64>>>> {
    gradients.iter().map(|g| g.as_ref().map(read).transpose()).collect()
}

fn seed(row: &Row, case: usize) -> u64 {
    let hash = row.name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash ^ (case as u64) << 8
}

/// The float type the row is run in on an ordinary device.
fn float(row: &Row) -> DType {
    if row.half { DType::F16 } else { DType::F32 }
}

fn has_gradient(row: &Row, case: &Case) -> bool {
    row.no_gradient.is_none() && case.gradient
}

fn judge(row: &Row, index: usize) -> Result<Judged> {
    let case = &row.cases[index];
    let cpu = Device::cpu();
    let values: Vec<Vec<f64>> = (0u64..)
        .zip(&case.inputs)
        .map(|(i, input)| input.values(seed(row, index) ^ (i + 1), row.half))
        .collect();
    let laid = Laid::new(row, case, &values, DType::F64, &cpu)?;
    let (shape, want) = match &row.reference {
        Some(reference) => {
            let want = reference(&values);
            (vec![want.len()], want)
        }
        None => {
            let y = (row.body)(&laid.tensors)?;
            (y.shape().to_vec(), read(&y)?)
        }
    };
    let mut stream = Stream::new(seed(row, index), 1);
    let round = |x: f32| if row.half { half::f16::from_f32(x).to_f32() } else { x };
    let cotangent: Vec<f64> =
        want.iter().map(|_| f64::from(round(stream.uniform(-1.0, 1.0)))).collect();
    let mut judged = Judged {
        shape,
        scale: want.clone(),
        want,
        cotangent,
        gradients: vec![None; values.len()],
        gradient_scale: vec![0.0; values.len()],
        values,
    };
    let sums = matches!(tolerance::of(row.rule), Rule::Sum { .. } | Rule::Product { .. });
    let absolute: Vec<Vec<f64>> =
        judged.values.iter().map(|v| v.iter().map(|x| x.abs()).collect()).collect();
    let laid_absolute = Laid::new(row, case, &absolute, DType::F64, &cpu)?;
    let scale_body = row.scale.as_ref().unwrap_or(&row.body);
    if sums {
        judged.scale = read(&scale_body(&laid_absolute.tensors)?)?;
    }
    if has_gradient(row, case) {
        let y = (row.body)(&laid.tensors)?;
        judged.gradients = read_all(&laid.gradients(&y, &judged.cotangent)?)?;
        let y = scale_body(&laid_absolute.tensors)?;
        let positive: Vec<f64> = judged.cotangent.iter().map(|c| c.abs()).collect();
        let absolute = read_all(&laid_absolute.gradients(&y, &positive)?)?;
        for (i, scale) in judged.gradient_scale.iter_mut().enumerate() {
            let both = judged.gradients[i].iter().chain(&absolute[i]).flatten();
            *scale = both.map(|g| g.abs()).filter(|g| g.is_finite()).fold(0.0, f64::max);
        }
    }
    Ok(judged)
}

fn judged(row: &Row, index: usize) -> Result<&Judged, Failure> {
    row.cases[index]
        .judged
        .get_or_init(|| judge(row, index).map_err(|e| format!("the judge: {e:?}")))
        .as_ref()
        .map_err(|text| Failure::Broken(text.clone()))
}

/// One case and what the judge says about it.
struct Trial<'a> {
    row: &'a Row,
    case: &'a Case,
    judged: &'a Judged,
    /// Whether products round their operands to f16.
    coarse: bool,
}

impl Trial<'_> {
    fn context(&self, terms: usize) -> Context {
        Context { scale: 0.0, terms, half: self.row.half, coarse: self.coarse }
    }

    fn compare(&self, what: &str, shape: &[usize], got: &[f64]) -> Result<(), Failure> {
        if self.row.reference.is_none() && shape != self.judged.shape {
            return Err(Failure::Mismatch(format!(
                "{what}: shape {shape:?}, expected {:?}",
                self.judged.shape
            )));
        }
        let rule = tolerance::of(self.row.rule);
        let context = self.context(self.case.terms);
        close(what, shape, got, &self.judged.want, |i| {
            rule.bound(self.judged.want[i], &Context { scale: self.judged.scale[i], ..context })
        })
    }

    fn compare_gradients(&self, what: &str, got: &[Option<Vec<f64>>]) -> Result<(), Failure> {
        let rule = tolerance::of(self.row.rule);
        let context = self.context(self.case.gradient_terms);
        let cotangent = self.judged.cotangent.iter().fold(0.0f64, |most, c| most.max(c.abs()));
        for (i, got) in got.iter().enumerate() {
            let (Some(got), Some(want)) = (got, &self.judged.gradients[i]) else { continue };
            let bound = rule.gradient_bound(self.judged.gradient_scale[i], cotangent, &context);
            let what = format!("{what}, gradient of input {i}");
            close(&what, &self.case.inputs[i].shape, got, want, |_| bound)?;
        }
        Ok(())
    }

    /// Σ y·cotangent in f64, for values near the case's own.
    fn phi(&self, values: &[Vec<f64>]) -> Result<f64> {
        let plain = |(input, values): (&Input, &Vec<f64>)| {
            Input { lie: Lie::Plain, ..input.clone() }.tensor(values, DType::F64, &Device::cpu())
        };
        let tensors =
            self.case.inputs.iter().zip(values).map(plain).collect::<Result<Vec<Tensor>>>()?;
        let y = read(&(self.row.body)(&tensors)?)?;
        Ok(y.iter().zip(&self.judged.cotangent).map(|(y, c)| y * c).sum())
    }

    /// The difference quotient along a direction, against the gradient.
    fn along(&self, what: &str, direction: &[Vec<f64>]) -> Result<(), Failure> {
        let shifted = |step: f64| -> Vec<Vec<f64>> {
            let shift = |(x, d): (&Vec<f64>, &Vec<f64>)| {
                x.iter().zip(d).map(|(x, d)| x + step * d).collect()
            };
            self.judged.values.iter().zip(direction).map(shift).collect()
        };
        let h = tolerance::DIFFERENCE;
        let (up, down) = (self.phi(&shifted(h))?, self.phi(&shifted(-h))?);
        let (mut want, mut scale) = (0.0, up.abs());
        for (gradient, direction) in self.judged.gradients.iter().zip(direction) {
            for (g, d) in gradient.iter().flatten().zip(direction) {
                want += g * d;
                scale += (g * d).abs();
            }
        }
        let bound = tolerance::difference_bound(scale);
        close(what, &[], &[(up - down) / (2.0 * h)], &[want], |_| bound)
    }

    /// The judge's gradient against finite differences: every coordinate where there are few, else
    /// four random directions.
    fn differences(&self) -> Result<(), Failure> {
        let inputs: Vec<usize> =
            (0..self.case.inputs.len()).filter(|&i| self.judged.gradients[i].is_some()).collect();
        let coordinates: usize = inputs.iter().map(|&i| self.judged.values[i].len()).sum();
        let nothing: Vec<Vec<f64>> =
            self.judged.values.iter().map(|values| vec![0.0; values.len()]).collect();
        if coordinates <= 64 {
            for &i in &inputs {
                for at in 0..nothing[i].len() {
                    let mut direction = nothing.clone();
                    direction[i][at] = 1.0;
                    self.along(&format!("difference quotient of input {i} at {at}"), &direction)?;
                }
            }
            return Ok(());
        }
        let mut stream = Stream::new(coordinates as u64, 2);
        for number in 0..4 {
            let mut direction = nothing.clone();
            for &i in &inputs {
                for d in &mut direction[i] {
                    *d = f64::from(stream.uniform(-1.0, 1.0));
                }
            }
            self.along(&format!("difference quotient along direction {number}"), &direction)?;
        }
        Ok(())
    }

    /// The same case with all inputs one element after the other.
    fn plainly(&self, laid: &Laid) -> Result<Vec<Tensor>> {
        laid.tensors.iter().map(|x| x.detach().contiguous()).collect()
    }

    fn cpu(&self) -> Result<(), Failure> {
        let laid =
            Laid::new(self.row, self.case, &self.judged.values, float(self.row), &Device::cpu())?;
        let y = (self.row.body)(&laid.tensors)?;
        let got = read(&y)?;
        self.compare("cpu", y.shape(), &got)?;
        let again = read(&(self.row.body)(&laid.tensors)?)?;
        bits("cpu, run twice", y.shape(), &again, &got)?;
        if self.case.has_view() {
            let plain = read(&(self.row.body)(&self.plainly(&laid)?)?)?;
            bits("cpu, views against copies", y.shape(), &got, &plain)?;
        }
        if has_gradient(self.row, self.case) {
            if self.row.no_differences.is_none() && self.case.differences {
                self.differences()?;
            }
            let gradients = read_all(&laid.gradients(&y, &self.judged.cotangent)?)?;
            self.compare_gradients("cpu", &gradients)?;
        }
        Ok(())
    }

    /// Runs the case on a GPU; returns the names of the kernels of both directions.
    fn gpu(&self, opened: &Opened, mode: Mode) -> Result<[Vec<&'static str>; 2], Failure> {
        let gpu = opened.gpu();
        let laid =
            Laid::new(self.row, self.case, &self.judged.values, float(self.row), &opened.device)?;
        let before = gpu.counts();
        let (y, kernels) = gpu.kernels_of(|| (self.row.body)(&laid.tensors));
        let y = y?;
        let after = gpu.counts();
        if after.downloads != before.downloads {
            return Err(Failure::Broken("the operation itself read from the device".to_owned()));
        }
        let expected = self.row.expected(mode, gpu.caps().software);
        let names = names(&kernels);
        if let Some(other) = names.iter().find(|name| !expected.contains(name)) {
            return Err(Failure::Broken(format!("{other} ran, expected only {expected:?}")));
        }
        if y.numel() > 0 && !expected.is_empty() && after.dispatches == before.dispatches {
            return Err(Failure::Broken("nothing was dispatched".to_owned()));
        }
        let got = read(&y)?;
        self.compare("gpu", y.shape(), &got)?;
        let again = read(&(self.row.body)(&laid.tensors)?)?;
        bits("gpu, run twice", y.shape(), &again, &got)?;
        if self.case.has_view() {
            let inputs = self.plainly(&laid)?;
            let (plain, plain_kernels) = gpu.kernels_of(|| (self.row.body)(&inputs));
            let plain = read(&plain?)?;
            if plain_kernels == kernels {
                bits("gpu, views against copies", y.shape(), &got, &plain)?;
            } else {
                self.compare("gpu, copies of the views", y.shape(), &plain)?;
            }
        }
        let mut backward = Vec::new();
        if has_gradient(self.row, self.case) {
            let (gradients, kernels) =
                gpu.kernels_of(|| laid.gradients(&y, &self.judged.cotangent));
            backward = self::names(&kernels);
            let gradients = read_all(&gradients?)?;
            if !(self.coarse && self.row.kink) {
                self.compare_gradients("gpu", &gradients)?;
            }
        }
        Ok([names, backward])
    }
}

fn names(kernels: &[Kernel]) -> Vec<&'static str> {
    kernels.iter().map(|kernel| kernel.name).collect()
}

fn trials(row: &Row, coarse: bool) -> impl Iterator<Item = Result<Trial<'_>, Failure>> {
    (0..row.cases.len()).map(move |index| {
        let case = &row.cases[index];
        let judged = judged(row, index).map_err(|f| f.at(&case.label()))?;
        Ok(Trial { row, case, judged, coarse })
    })
}

/// A row on the CPU: the judge against finite differences, and f32 against the judge.
pub fn cpu(row: &Row) -> Result<(), Failure> {
    for trial in trials(row, false) {
        let trial = trial?;
        trial.cpu().map_err(|f| f.at(&trial.case.label()))?;
    }
    Ok(())
}

/// A row on a GPU: values, bits, and which kernels ran.
pub fn gpu(row: &Row, opened: &Opened, mode: Mode) -> Result<(), Failure> {
    let _turn = opened.turn();
    let mut ran = [Vec::new(), Vec::new()];
    for trial in trials(row, mode.coarse()) {
        let trial = trial?;
        let names = trial.gpu(opened, mode).map_err(|f| f.at(&trial.case.label()))?;
        for (all, names) in ran.iter_mut().zip(names) {
            all.extend(names);
        }
    }
    let software = opened.gpu().caps().software;
    let expected = [row.expected(mode, software), row.expected_backward(mode, software)];
    for (direction, (ran, expected)) in ["forward", "backward"].iter().zip(ran.iter().zip(expected))
    {
        if let Some(missing) = expected.iter().find(|name| !ran.contains(name)) {
            return Err(Failure::Broken(format!("no case ran {missing} {direction}")));
        }
    }
    Ok(())
}

/// All bodies and gradients of a row on any device, results unread: for looking at what they run.
/// `between` is called after each body.
pub fn walk(row: &Row, on: &Device, mut between: impl FnMut()) -> Result<()> {
    for index in 0..row.cases.len() {
        let case = &row.cases[index];
        let values: Vec<Vec<f64>> = (0u64..)
            .zip(&case.inputs)
            .map(|(i, input)| input.values(seed(row, index) ^ (i + 1), row.half))
            .collect();
        let laid = Laid::new(row, case, &values, float(row), on)?;
        let y = (row.body)(&laid.tensors)?;
        between();
        if has_gradient(row, case) {
            laid.gradients(&y, &vec![1.0; y.numel()])?;
        }
    }
    Ok(())
}
