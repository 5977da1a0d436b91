//! `Tensor`: storage, layout, type, device, and its place in the graph.

use crate::{
    DType, Device, Element, Error, Layout, Meta, Op, Pending, READ_TIMEOUT, Result, Role, Shape,
    Storage, View,
    graph::{Edge, Node},
    ops::copy::Copy,
    shape::axis_index,
};
use std::{fmt, panic::Location, sync::Arc};

/// An n-dimensional array on a device. Cloning is cheap and shares memory.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// let cpu = Device::cpu();
/// let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0], [3], &cpu)?;
/// assert_eq!((&x * &x).to_vec::<f32>()?, [1.0, 4.0, 9.0]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor(Arc<Inner>);

struct Inner {
    /// The memory, or why there is none: a tensor in a failed state.
    storage: Result<Arc<Storage>>,
    layout: Layout,
    dtype: DType,
    device: Device,
    edge: Option<Edge>,
}

impl Tensor {
    // ---- making tensors ------------------------------------------------------------------------

    /// A tensor from elements in row-major order; their number must match the shape.
    #[track_caller]
    pub fn from_vec<T: Element>(
        data: impl AsRef<[T]>,
        shape: impl AsRef<[usize]>,
        device: &Device,
    ) -> Result<Tensor> {
        let (data, shape) = (data.as_ref(), Shape::new("from_vec", shape.as_ref())?);
        if data.len() != shape.numel() {
            return Err(Error::shape(
                "from_vec",
                format!(
                    "{} elements given, shape {shape:?} has {}; give as many as the shape holds",
                    data.len(),
                    shape.numel()
                ),
            ));
        }
        let tensor =
            Tensor::empty("from_vec", Meta { shape, dtype: T::DTYPE }, device, Role::Activations)?;
        if !data.is_empty() {
            let stored: Vec<T::Stored> = data.iter().map(|&x| x.store()).collect();
            device.upload("from_vec", tensor.storage()?.buf(), 0, bytemuck::cast_slice(&stored))?;
        }
        Ok(tensor)
    }

    /// A tensor of rank 0.
    #[track_caller]
    pub fn scalar<T: Element>(value: T, device: &Device) -> Result<Tensor> {
        Tensor::from_vec([value], [], device)
    }

    /// Uninitialised memory, to be written before anyone reads it.
    #[track_caller]
    pub(crate) fn empty(
        op: &'static str,
        meta: Meta,
        device: &Device,
        role: Role,
    ) -> Result<Tensor> {
        if !device.backend().supports(meta.dtype) {
            return Err(Error::dtype(
                op,
                format!("{} cannot hold {}; cast first", device.info().name, meta.dtype),
            ));
        }
        let (bytes, at) = (meta.shape.numel() * meta.dtype.size(), Location::caller());
        let buf = device.alloc(op, bytes, role).map_err(|e| e.at(at))?;
        let layout = Layout::contiguous(meta.shape);
        Ok(Tensor::with_storage(Storage::new(buf), layout, meta.dtype, device))
    }

    /// A tensor over memory, outside any graph.
    pub(crate) fn with_storage(
        storage: Storage,
        layout: Layout,
        dtype: DType,
        device: &Device,
    ) -> Tensor {
        let storage = Ok(Arc::new(storage));
        Tensor(Arc::new(Inner { storage, layout, dtype, device: device.clone(), edge: None }))
    }

    /// A tensor whose making failed; the next fallible call on it returns `error`.
    pub(crate) fn failed(error: Error, like: &Tensor) -> Tensor {
        Tensor(Arc::new(Inner {
            storage: Err(error),
            layout: like.0.layout,
            dtype: like.0.dtype,
            device: like.0.device.clone(),
            edge: None,
        }))
    }

    // ---- looking at tensors --------------------------------------------------------------------

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.0.layout.shape
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.layout.shape.rank()
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.0.layout.numel()
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// Where it lives.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Shape, strides and offset in its storage.
    pub fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// Whether both show the same memory in the same way.
    pub fn same(&self, other: &Tensor) -> bool {
        match (&self.0.storage, &other.0.storage) {
            (Ok(a), Ok(b)) => Arc::ptr_eq(a, b) && self.0.layout == other.0.layout,
            _ => false,
        }
    }

    /// The memory, or the error that kept it from being made.
    pub fn storage(&self) -> Result<&Arc<Storage>> {
        self.0.storage.as_ref().map_err(Clone::clone)
    }

    pub(crate) fn meta(&self) -> Meta {
        Meta { shape: self.0.layout.shape, dtype: self.0.dtype }
    }

    pub(crate) fn shape_inline(&self) -> Shape {
        self.0.layout.shape
    }

    pub(crate) fn edge(&self) -> Option<&Edge> {
        self.0.edge.as_ref()
    }

    pub(crate) fn view(&self) -> Result<View> {
        Ok(View { buf: self.storage()?.buf().clone(), layout: self.0.layout, dtype: self.0.dtype })
    }

    /// An axis counted from either end, as an index.
    #[track_caller]
    pub(crate) fn axis(&self, op: &'static str, axis: isize) -> Result<usize> {
        axis_index(op, axis, self.rank())
    }

    // ---- reading -------------------------------------------------------------------------------

    /// All elements in row-major order, as a future; the read is ordered after everything run so far.
    #[track_caller]
    pub fn read<T: Element>(&self) -> Result<Read<T>> {
        if T::DTYPE != self.dtype() {
            return Err(Error::dtype(
                "to_vec",
                format!("the tensor holds {}, asked for {}; cast first", self.dtype(), T::DTYPE),
            ));
        }
        crate::step::recording::must_exist("to_vec", self.storage()?.buf())?;
        let at = Location::caller();
        if self.numel() == 0 {
            return Ok(Read { pending: Pending::ready(Vec::new()), at, _type: Default::default() });
        }
        let flat = if self.0.layout.is_contiguous() {
            self.clone()
        } else {
            crate::no_grad(|| Tensor::run(Copy, &[self]))?
        };
        let size = self.dtype().size();
        let start = flat.0.layout.offset * size;
        let range = start..start + flat.numel() * size;
        let pending =
            self.device().download("to_vec", flat.storage()?.buf(), range).map_err(|e| e.at(at))?;
        Ok(Read { pending, at, _type: Default::default() })
    }

    /// All elements in row-major order; waits for the device.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.read()?.wait(READ_TIMEOUT)
    }

    /// The one element of a tensor that has just one.
    #[track_caller]
    pub fn item<T: Element>(&self) -> Result<T> {
        match self.to_vec::<T>()?[..] {
            [x] => Ok(x),
            _ => Err(Error::shape(
                "item",
                format!("needs exactly one element, the shape is {:?}", self.shape()),
            )),
        }
    }

    /// A copy on another device; the same tensor if it is there already. A gradient history does not
    /// cross devices: `detach()` a tensor that has one.
    #[track_caller]
    pub fn to(&self, device: &Device) -> Result<Tensor> {
        if self.device() == device {
            return Ok(self.clone());
        }
        if self.edge().is_some() {
            return Err(Error::graph(
                "to",
                "this tensor is part of a gradient graph, which does not cross devices; detach() it first",
            ));
        }
        macro_rules! transfer {
            ($($dtype:ident $t:ty),*) => {
                match self.dtype() {
                    $(DType::$dtype => Tensor::from_vec(self.to_vec::<$t>()?, self.shape(), device),)*
                }
            };
        }
        transfer!(F32 f32, F16 half::f16, F64 f64, I32 i32, U32 u32, Bool bool)
    }

    // ---- running operations --------------------------------------------------------------------

    /// Runs an operation with one output.
    #[track_caller]
    pub(crate) fn run(op: impl Into<Op>, ins: &[&Tensor]) -> Result<Tensor> {
        let op = op.into();
        let name = op.name();
        Tensor::run_all(op, ins)?
            .into_iter()
            .next()
            .ok_or_else(|| Error::internal(name, "an operation without output"))
    }

    /// Runs an operation: checks, allocates, executes, and notes it in the graph.
    #[track_caller]
    pub(crate) fn run_all(op: impl Into<Op>, ins: &[&Tensor]) -> Result<Vec<Tensor>> {
        let op = op.into();
        if let Some(cast) = crate::autocast::cast(&op, ins)? {
            let ins: Vec<&Tensor> = cast.iter().collect();
            let Some(first) = ins.first() else { return Ok(Vec::new()) };
            return Tensor::run_into(&op, &ins, first.device(), None, Location::caller());
        }
        match ins.first() {
            Some(first) => Tensor::run_into(&op, ins, first.device(), None, Location::caller()),
            None => Err(Error::internal(op.name(), "an operation without operand")),
        }
    }

    /// Runs an operation without operands.
    #[track_caller]
    pub(crate) fn create(op: impl Into<Op>, device: &Device) -> Result<Tensor> {
        let op = op.into();
        Tensor::run_into(&op, &[], device, None, Location::caller())?
            .into_iter()
            .next()
            .ok_or_else(|| Error::internal(op.name(), "an operation without output"))
    }

    /// Runs an operation; `target`, if given, is the memory its first output is written to.
    pub(crate) fn run_into(
        op: &Op,
        ins: &[&Tensor],
        device: &Device,
        target: Option<&Tensor>,
        at: &'static Location<'static>,
    ) -> Result<Vec<Tensor>> {
        let located = |e: Error| e.at(at);
        for x in ins {
            x.storage()?; // a failed operand returns its own error, with its own line
            device.same(op.name(), x.device()).map_err(located)?;
        }
        let metas: Vec<Meta> = ins.iter().map(|x| x.meta()).collect();
        let outs = op.outputs(&metas).map_err(located)?;
        let mut made = Vec::with_capacity(outs.len());
        for (i, &meta) in outs.iter().enumerate() {
            made.push(match target {
                Some(target) if i == 0 => target.clone(),
                _ => Tensor::empty(op.name(), meta, device, Role::Activations).map_err(located)?,
            });
        }
        crate::backend::set_caller(at);
        Tensor::execute(op, ins, &made).map_err(located)?;
        Ok(Node::record(op, ins, made, at))
    }

    /// Runs an operation that changes some of its inputs in place; their versions go up.
    #[track_caller]
    pub(crate) fn run_in_place(op: impl Into<Op>, ins: &[&Tensor], outs: &[&Tensor]) -> Result<()> {
        let op = op.into();
        let Some(first) = ins.first() else { return Ok(()) };
        for x in ins {
            x.storage()?;
            first.device().same(op.name(), x.device())?;
        }
        let metas: Vec<Meta> = ins.iter().map(|x| x.meta()).collect();
        let at = Location::caller();
        op.outputs(&metas).map_err(|e| e.at(at))?;
        let outs: Vec<Tensor> = outs.iter().map(|x| (*x).clone()).collect();
        crate::backend::set_caller(Location::caller());
        Tensor::execute(&op, ins, &outs).map_err(|e| e.at(at))?;
        crate::recompute::note_change(&op, &outs);
        for out in &outs {
            let storage = out.storage()?;
            storage.bump();
            crate::step::recording::note_change(storage);
        }
        Ok(())
    }

    fn execute(op: &Op, ins: &[&Tensor], outs: &[Tensor]) -> Result<()> {
        let Some(first) = outs.first().filter(|_| outs.iter().any(|x| x.numel() > 0)) else {
            return Ok(());
        };
        let views = |xs: &mut dyn Iterator<Item = &Tensor>| -> Result<Vec<View>> {
            xs.map(|x| {
                let view = x.view()?;
                view.check(op.name())?;
                Ok(view)
            })
            .collect()
        };
        let (ins, outs) = (views(&mut ins.iter().copied())?, views(&mut outs.iter())?);
        first.device().run(op, &ins, &outs)
    }

    /// The same memory under another layout, noted in the graph as `op`.
    #[track_caller]
    pub(crate) fn look(&self, op: impl Into<Op>, layout: Layout) -> Result<Tensor> {
        self.storage()?;
        let out = self.with_layout(layout);
        Node::record(&op.into(), &[self], vec![out], Location::caller())
            .into_iter()
            .next()
            .ok_or_else(|| Error::internal("view", "a view without output"))
    }

    /// The same memory under another layout, outside any graph.
    pub(crate) fn with_layout(&self, layout: Layout) -> Tensor {
        Tensor(Arc::new(Inner {
            storage: self.0.storage.clone(),
            layout,
            dtype: self.0.dtype,
            device: self.0.device.clone(),
            edge: None,
        }))
    }

    /// The same tensor at another place in the graph, or at none.
    pub(crate) fn with_edge(&self, edge: Option<Edge>) -> Tensor {
        Tensor(Arc::new(Inner {
            storage: self.0.storage.clone(),
            layout: self.0.layout,
            dtype: self.0.dtype,
            device: self.0.device.clone(),
            edge,
        }))
    }

    /// The same values without gradient history.
    pub fn detach(&self) -> Tensor {
        if self.0.edge.is_none() { self.clone() } else { self.with_edge(None) }
    }

    /// Whether gradients flow to or through this tensor.
    pub fn requires_grad(&self) -> bool {
        self.0.edge.is_some()
    }
}

/// A read of elements on its way.
pub struct Read<T> {
    pending: Pending,
    at: &'static Location<'static>,
    _type: std::marker::PhantomData<fn() -> T>,
}

impl<T: Element> Read<T> {
    /// Blocks until the elements are here, at most `timeout`.
    pub fn wait(self, timeout: std::time::Duration) -> Result<Vec<T>> {
        let at = self.at;
        decode(self.pending.wait(timeout), at)
    }
}

impl<T: Element> std::future::IntoFuture for Read<T> {
    type Output = Result<Vec<T>>;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Self::Output> + Send>>;
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { decode(self.pending.await, self.at) })
    }
}

fn decode<T: Element>(bytes: Result<Vec<u8>>, at: &'static Location<'static>) -> Result<Vec<T>> {
    let bytes =
        bytes.map_err(|e| if e.kind() == crate::ErrorKind::Index { e } else { e.at(at) })?;
    Ok(bytemuck::allocation::pod_collect_to_vec::<u8, T::Stored>(&bytes)
        .into_iter()
        .map(T::load)
        .collect())
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({:?}, {}, {})", self.shape(), self.dtype(), self.device().info().name)?;
        if let Err(error) = self.storage() {
            write!(f, ", failed: {error}")?;
        }
        Ok(())
    }
}
