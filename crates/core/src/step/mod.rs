//! `Step`: a training step recorded once, planned, and replayed.

pub(crate) mod recording;
mod trace;

pub use trace::{Call, Place, Sharing, Source, Trace, Value};

use crate::{
    Buf, DType, Device, Error, Layout, Meta, Result, Shape, Storage, Tensor, View, autocasting,
    graph::grad_enabled, no_grad, ops::copy::Copy, training,
};
use recording::Recorded;
use std::{
    fmt,
    panic::Location,
    sync::{Arc, Mutex, PoisonError},
};

/// Plans kept per step: one for each combination of input shapes, the last partial batch for instance.
const MAX_PLANS: usize = 8;

/// A planned step, ready to run as often as wanted. A backend makes it from a [`Trace`].
pub trait Plan: Send {
    /// Runs the step: inputs are contiguous and as recorded; the outputs come in memory that nobody else has.
    fn run(&mut self, inputs: &[View]) -> Result<Vec<View>>;
    /// What a run does, in numbers.
    fn report(&self) -> PlanReport;
}

/// A planned step in numbers; they depend on the step and the device's kind, never on time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanReport {
    /// Operations recorded.
    pub operations: usize,
    /// Kernels run for them: dispatches on a GPU.
    pub dispatches: usize,
    /// Submits to the device.
    pub submits: usize,
    /// Different pipelines.
    pub pipelines: usize,
    /// Buffers for temporaries.
    pub buffers: usize,
    /// Bytes of those buffers: the step's peak beyond parameters and optimizer state.
    pub bytes: usize,
    /// Bytes that temporaries would take if none shared memory.
    pub bytes_unshared: usize,
    /// Bytes that the kernels read and write, each operand counted once per kernel.
    pub bytes_moved: usize,
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: usize| bytes as f64 / (1 << 20) as f64;
        write!(
            f,
            "{} operations in {} dispatches and {} submits, {} pipelines, {:.2} MiB moved, {:.2} MiB of \
             temporaries in {} buffers ({:.2} MiB unshared)",
            self.operations,
            self.dispatches,
            self.submits,
            self.pipelines,
            mib(self.bytes_moved),
            mib(self.bytes),
            self.buffers,
            mib(self.bytes_unshared),
        )
    }
}

/// A computation that is recorded at its first run and replayed from then on: the closure's operations are
/// noted, planned together (element-wise chains become one kernel, memory is shared), and run without
/// building anything anew.
///
/// The closure gets the inputs and returns what the caller wants to have. It runs on the host at the first
/// run with given input shapes and once more at the second, to check that it does the same: a number that
/// changes between runs must be an input or a tensor (an optimizer's learning rate is one), since a host number
/// would stay what it was when the step was recorded. Tensors that the closure captures are used in place, so
/// it sees their values at each run. A run within [`eval`](crate::eval), [`evaluating`](crate::evaluating),
/// [`autocast`](crate::autocast) or [`no_grad`] has a plan of its own. Inside the closure nothing can be read or uploaded.
///
/// ```
/// use wgrad_core::{Device, Step, Tensor};
/// let cpu = Device::cpu();
/// let total = Tensor::zeros([2], &cpu)?;
/// let step = Step::new(&cpu, |x| {
///     let sum = total.try_add(&x[0].square()?)?;
///     total.assign(&sum)?;
///     Ok(vec![sum.sum_all()?])
/// });
/// let x = Tensor::from_vec([1.0f32, 2.0], [2], &cpu)?;
/// assert_eq!(step.run(&[&x])?[0].item::<f32>()?, 5.0);
/// assert_eq!(step.run(&[&x])?[0].item::<f32>()?, 10.0);
/// assert_eq!(total.to_vec::<f32>()?, [2.0, 8.0]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub struct Step<F> {
    device: Device,
    f: F,
    /// The latest used first.
    plans: Mutex<Vec<Planned>>,
}

struct Planned {
    inputs: Vec<Meta>,
    scopes: Scopes,
    plan: Box<dyn Plan>,
    changed: Vec<Arc<Storage>>,
    /// Until the second run has compared its own recording.
    first: Option<Trace>,
}

/// What the closure may ask about the thread it runs on: training, mixed precision, gradients.
type Scopes = [bool; 3];

fn scopes() -> Scopes {
    [training(), autocasting(), grad_enabled()]
}

impl<F: Fn(&[Tensor]) -> Result<Vec<Tensor>>> Step<F> {
    /// A step on `device`; nothing runs yet.
    pub fn new(device: &Device, f: F) -> Self {
        Self { device: device.clone(), f, plans: Mutex::default() }
    }

    /// Runs the step: recorded first if inputs of these shapes and types are new. The results are fresh
    /// tensors outside any graph.
    ///
    /// # Errors
    /// What the closure returns, and then nothing has run; `Graph` if the closure reads, uploads, or did something
    /// else at the second run, with the line that differs, or if the step changes what is held at present (an average
    /// that is applied to its model); `Device` for inputs of another device.
    #[track_caller]
    pub fn run(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let at = Location::caller();
        recording::forbid("step", "call the other step's operations directly")?;
        for x in inputs {
            x.storage()?;
            self.device.same("step", x.device())?;
        }
        let inputs: Vec<Tensor> =
            no_grad(|| inputs.iter().map(|x| ready(x)).collect::<Result<_>>())?;
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let planned = self.planned(&mut plans, &inputs).map_err(|e| unplaced(e, at))?;
        if let Some(reason) = planned.changed.iter().find_map(|storage| storage.held()) {
            return Err(Error::graph("step", reason).at(at));
        }
        let inputs = inputs.iter().map(Tensor::view).collect::<Result<Vec<View>>>()?;
        let outputs = planned.plan.run(&inputs).map_err(|e| e.at(at))?;
        planned.changed.iter().for_each(|storage| storage.bump());
        let tensor = |y: View| Tensor::over(y.buf, y.layout, y.dtype, &self.device);
        Ok(outputs.into_iter().map(tensor).collect())
    }

    /// What a run with such inputs does, in numbers; planned now if it was not yet, but not run.
    #[track_caller]
    pub fn report(&self, inputs: &[&Tensor]) -> Result<PlanReport> {
        recording::forbid("step", "ask outside of it")?;
        let inputs: Vec<Tensor> = inputs.iter().map(|&x| x.clone()).collect();
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.planned(&mut plans, &inputs)?.plan.report())
    }

    /// The plan for such inputs, made if there is none, and checked at its second use.
    #[track_caller]
    fn planned<'p>(
        &self,
        plans: &'p mut Vec<Planned>,
        inputs: &[Tensor],
    ) -> Result<&'p mut Planned> {
        let metas: Vec<Meta> = inputs.iter().map(Tensor::meta).collect();
        match plans.iter().position(|p| p.inputs == metas && p.scopes == scopes()) {
            Some(at) => {
                if let Some(first) = &plans[at].first {
                    compare(first, &self.record(&metas)?.trace)?;
                }
                let mut planned = plans.remove(at);
                planned.first = None;
                plans.insert(0, planned);
            }
            None => {
                let Recorded { trace, changed } = self.record(&metas)?;
                let plan = self.device.backend().plan(&trace)?;
                plans.truncate(MAX_PLANS - 1);
                let first = Some(trace);
                plans.insert(0, Planned { inputs: metas, scopes: scopes(), plan, changed, first });
            }
        }
        plans.first_mut().ok_or_else(|| Error::internal("step", "a plan that was made is gone"))
    }

    fn record(&self, inputs: &[Meta]) -> Result<Recorded> {
        // Its first use uploads, which a recording may not.
        self.device.with_random(|_, _| Ok(()))?;
        recording::record(&self.device, || {
            let traced = |(i, meta): (usize, &Meta)| {
                let buf = recording::input(i, meta.shape.numel() * meta.dtype.size());
                let buf = buf.ok_or_else(|| Error::internal("step", "no recording"))?;
                Ok(Tensor::over(buf, Layout::contiguous(meta.shape), meta.dtype, &self.device))
            };
            let inputs = inputs.iter().enumerate().map(traced).collect::<Result<Vec<_>>>()?;
            let outputs = (self.f)(&inputs)?;
            no_grad(|| {
                let contiguous = |y: &Tensor| {
                    self.device.same("step", y.device())?;
                    ready(y)?.view()
                };
                outputs.iter().map(contiguous).collect()
            })
        })
    }
}

impl<F> fmt::Debug for Step<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.device.info().name;
        match self.plans.try_lock() {
            Ok(plans) => write!(f, "Step({name}, {} plans)", plans.len()),
            Err(_) => write!(f, "Step({name}, in use)"),
        }
    }
}

/// A tensor as plans take and give it: contiguous, and starting at a whole word, since devices copy words.
fn ready(x: &Tensor) -> Result<Tensor> {
    let x = x.detach();
    if x.layout().is_contiguous() && (x.layout().offset * x.dtype().size()).is_multiple_of(4) {
        return Ok(x);
    }
    Tensor::run(Copy, &[&x])
}

/// Errors of the backend have no line yet.
fn unplaced(error: Error, at: &'static Location<'static>) -> Error {
    if error.kind() == crate::ErrorKind::Internal { error.at(at) } else { error }
}

/// An error that names the line where two recordings of one closure part.
fn compare(first: &Trace, second: &Trace) -> Result<()> {
    let Some(i) = first.first_difference(second) else { return Ok(()) };
    let describe = |trace: &Trace| match trace.calls.get(i) {
        Some(call) => {
            let metas: Vec<(Shape, DType)> =
                call.ins.iter().map(|p| (p.layout.shape, p.dtype)).collect();
            format!("{:?} on {metas:?}", call.op)
        }
        None => "nothing".to_owned(),
    };
    let (was, is) = (describe(first), describe(second));
    let what = if was == is {
        format!("{was} works on another tensor than before")
    } else {
        format!("first {was}, then {is}")
    };
    let error = Error::graph(
        "step",
        format!(
            "the closure did something else when it ran again: {what}; give what changes between runs as an \
             input, or keep it in a tensor"
        ),
    );
    match second.calls.get(i).or(first.calls.get(i)) {
        Some(call) => Err(error.at(call.at)),
        None => Err(error),
    }
}

impl Tensor {
    /// A tensor over memory that is there already.
    fn over(buf: Buf, layout: Layout, dtype: DType, device: &Device) -> Tensor {
        Tensor::with_storage(Storage::new(buf), layout, dtype, device)
    }
}
