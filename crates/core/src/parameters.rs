//! Flat parameter buffers: all parameters of a model in one storage, their gradients in another with
//! the same offsets, so that one dispatch updates a whole model.

use crate::{
    DType, Device, Error, Layout, Meta, Result, Role, Shape, Tensor,
    graph::{Edge, Node},
    storage::next_id,
};
use std::{collections::HashMap, panic::Location, sync::Arc};

/// The parameters of a model in one buffer. Each parameter is a view that keeps its storage for
/// life and is updated in place.
///
/// ```
/// use wgrad_core::{Device, FlatParameters};
/// let cpu = Device::cpu();
/// let weights = vec![0.5f32; 6];
/// let flat = FlatParameters::new(&[("weight", &[2, 3][..], weights), ("bias", &[2], vec![0.0; 2])], &cpu)?;
/// assert_eq!(flat.get("weight").unwrap().shape(), [2, 3]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone)]
pub struct FlatParameters(Arc<Flat>);

struct Flat {
    id: u64,
    values: Tensor,
    names: Vec<String>,
    parameters: Vec<Tensor>,
}

impl FlatParameters {
    /// Lays out parameters (name, shape, first values in f32) in one buffer on `device`.
    #[track_caller]
    pub fn new(parameters: &[(&str, &[usize], Vec<f32>)], device: &Device) -> Result<Self> {
        let id = next_id();
        let mut shapes = Vec::with_capacity(parameters.len());
        for (i, (name, shape, values)) in parameters.iter().enumerate() {
            let shape = Shape::new("parameters", shape)?;
            if shape.numel() != values.len() {
                return Err(Error::shape(
                    "parameters",
                    format!("{name}: {} values for shape {shape:?}", values.len()),
                ));
            }
            if parameters[..i].iter().any(|(other, ..)| other == name) {
                return Err(Error::argument(
                    "parameters",
                    format!("the name {name:?} is given twice"),
                ));
            }
            shapes.push(shape);
        }
        // Sizes that are no multiple of 4 go last, so that the others can be read four at a time.
        let mut order: Vec<usize> = (0..shapes.len()).collect();
        order.sort_by_key(|&i| !shapes[i].numel().is_multiple_of(4));
        let mut offsets = vec![0; shapes.len()];
        let mut all = Vec::new();
        for &i in &order {
            offsets[i] = all.len();
            all.extend_from_slice(&parameters[i].2);
        }
        let total = Shape::new("parameters", &[all.len()])?;
        let meta = Meta { shape: total, dtype: DType::F32 };
        let values = Tensor::empty("parameters", meta, device, Role::Parameters)?;
        if !all.is_empty() {
            device.upload("parameters", values.storage()?.buf(), 0, bytemuck::cast_slice(&all))?;
        }
        let at = Location::caller();
        let count = shapes.len();
        let tensors = shapes.iter().zip(&offsets).enumerate().map(|(index, (&shape, &offset))| {
            let slot = Slot {
                buffer: id,
                index,
                count,
                layout: Layout { offset, ..Layout::contiguous(shape) },
                flat: values.clone(),
            };
            values
                .with_layout(slot.layout)
                .with_edge(Some(Edge { node: Node::leaf(Some(slot), at), output: 0 }))
        });
        Ok(Self(Arc::new(Flat {
            id,
            parameters: tensors.collect(),
            names: parameters.iter().map(|(name, ..)| (*name).to_owned()).collect(),
            values: values.clone(),
        })))
    }

    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    /// All values, one after the other, outside any graph.
    pub fn values(&self) -> &Tensor {
        &self.0.values
    }

    /// One parameter, by name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        let i = self.0.names.iter().position(|n| n == name)?;
        self.0.parameters.get(i)
    }

    /// All parameters with their names, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.names.iter().map(String::as_str).zip(&self.0.parameters)
    }

    /// Gradients that lie in `values`, and the places of the parameters' own in it by id.
    #[track_caller]
    pub(crate) fn with_gradients(
        &self,
        values: Tensor,
    ) -> Result<(FlatGradients, HashMap<u64, Tensor>)> {
        let like = self.values();
        like.device().same("gradients", values.device())?;
        if values.meta() != like.meta()
            || !values.layout().is_contiguous()
            || values.layout().offset != 0
        {
            return Err(Error::shape(
                "gradients",
                format!(
                    "{:?} {} for parameters {:?} {}; they must be alike and contiguous",
                    values.shape(),
                    values.dtype(),
                    like.shape(),
                    like.dtype()
                ),
            ));
        }
        if Arc::ptr_eq(values.storage()?, like.storage()?) {
            return Err(Error::argument(
                "gradients",
                "these gradients are the parameters themselves, which a step changes while it reads them; give a copy",
            ));
        }
        let values = values.detach();
        let mut leaves = HashMap::new();
        for parameter in &self.0.parameters {
            if let Some(edge) = parameter.edge() {
                leaves.insert(edge.node.id, values.with_layout(*parameter.layout()));
            }
        }
        let slots = self.0.parameters.iter().map(|x| Some(*x.layout())).collect();
        Ok((FlatGradients { values, slots }, leaves))
    }

    /// Zeros of the same size and order, for an optimizer's moments.
    #[track_caller]
    pub fn zeros_like(&self) -> Result<Tensor> {
        let like = self.values();
        let zeros = Tensor::empty("moments", like.meta(), like.device(), Role::Optimizer)?;
        zeros.fill_in_place(0.0)?;
        Ok(zeros)
    }
}

/// A parameter's place in its flat buffer.
#[derive(Clone)]
pub(crate) struct Slot {
    buffer: u64,
    index: usize,
    count: usize,
    layout: Layout,
    flat: Tensor,
}

impl Slot {
    pub fn buffer_id(&self) -> u64 {
        self.buffer
    }

    /// An uninitialised gradient buffer for the whole model.
    pub fn new_gradients(&self) -> Result<FlatGradients> {
        let flat = &self.flat;
        Ok(FlatGradients {
            values: Tensor::empty("backward", flat.meta(), flat.device(), Role::Gradients)?,
            slots: (0..self.count).map(|_| None).collect(),
        })
    }
}

/// The gradients of one flat parameter buffer.
pub(crate) struct FlatGradients {
    values: Tensor,
    /// Layouts of the places that hold a gradient.
    slots: Vec<Option<Layout>>,
}

impl FlatGradients {
    /// A parameter's place.
    pub fn slot(&self, slot: &Slot) -> Result<Tensor> {
        self.values.storage()?;
        Ok(self.values.with_layout(slot.layout))
    }

    /// Notes that a parameter's gradient is in its place.
    pub fn mark(&mut self, slot: &Slot) {
        if let Some(place) = self.slots.get_mut(slot.index) {
            *place = Some(slot.layout);
        }
    }

    /// Zeroes the places backward did not reach: an unused parameter has gradient zero.
    pub fn zero_rest(&mut self) -> Result<()> {
        let mut reached: Vec<Layout> = self.slots.iter().flatten().copied().collect();
        reached.sort_by_key(|layout| layout.offset);
        let mut from = 0;
        let end = self.values.numel();
        for (start, stop) in
            reached.iter().map(|l| (l.offset, l.offset + l.numel())).chain([(end, end)])
        {
            if start > from {
                let gap = Shape::from_checked(&[start - from]);
                let gap = Layout { offset: from, ..Layout::contiguous(gap) };
                self.values.with_layout(gap).fill_in_place(0.0)?;
            }
            from = from.max(stop);
        }
        Ok(())
    }

    /// All gradients, in the buffer's order.
    pub fn values(&self) -> &Tensor {
        &self.values
    }
}
