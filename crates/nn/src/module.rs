//! `Module`: a struct of layers whose parameters have names and one buffer.

use crate::{Buffer, Parameter, buffer::Part};
use std::fmt;
use wgrad_core::{Device, Error, FlatParameters, Result, Tensor};

/// A struct with parameters: a layer, or a struct of layers. The macro [`module!`](crate::module)
/// writes the implementation.
pub trait Module {
    /// Shows every part that has parameters to the visitor, with its field's name.
    fn visit(&self, v: &mut Visitor);

    /// Puts the parameters on `device`: all in one buffer, with the values they were described with.
    /// For life: a module that is on a device already is an error.
    #[track_caller]
    fn on(self, device: &Device) -> Result<Self>
    where
        Self: Sized,
    {
        let visitor = Visitor::over(&self);
        place(&visitor.parameters(), &visitor.buffers(), device)?;
        Ok(self)
    }

    /// The buffer with all parameters of this model, which optimizers update as one. An error if the
    /// model is on no device yet, or only a part of what shares its buffer.
    #[track_caller]
    fn parameters(&self) -> Result<FlatParameters> {
        whole(&Visitor::over(self).parameters())
    }

    /// The parameters with their names, as PyTorch writes them (`layers.0.weight`), each one once.
    fn named_parameters(&self) -> Vec<(String, Parameter)> {
        Visitor::over(self).parameters()
    }

    /// The buffers (running statistics and the like) with their names, each one once.
    fn named_buffers(&self) -> Vec<(String, Buffer)> {
        Visitor::over(self).buffers()
    }

    /// The names of the parameters alone.
    fn names(&self) -> Vec<String> {
        self.named_parameters().into_iter().map(|(name, _)| name).collect()
    }

    /// How many numbers the parameters hold together.
    fn count_parameters(&self) -> usize {
        let sizes = |(_, p): &(String, Parameter)| p.shape().iter().product::<usize>();
        self.named_parameters().iter().map(sizes).sum()
    }
}

/// A module with one input and one output, for [`Sequential`](crate::Sequential).
pub trait Layer: Module {
    /// The output for an input; shapes are in the documentation of each layer.
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Result<Tensor>;
}

/// Walks over a module and gathers its parameters and buffers with their names.
pub struct Visitor {
    path: String,
    found: Vec<(String, Part)>,
    unused: Vec<String>,
}

impl Visitor {
    fn over<M: Module + ?Sized>(module: &M) -> Visitor {
        let mut visitor = Visitor { path: String::new(), found: Vec::new(), unused: Vec::new() };
        module.visit(&mut visitor);
        visitor
    }

    /// Visits a part under its name: a field's, or a number in a list.
    pub fn field<M: Module + ?Sized>(&mut self, name: impl fmt::Display, part: &M) {
        let length = self.path.len();
        let dot = if length == 0 { "" } else { "." };
        self.path.push_str(&format!("{dot}{name}"));
        part.visit(self);
        self.path.truncate(length);
    }

    /// Names a tensor of this part that other libraries save and this one has no use for: loading weights passes it by.
    pub fn unused(&mut self, name: &str) {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.unused.push(format!("{}{dot}{name}", self.path));
    }

    fn found(&mut self, part: Part) {
        // A parameter two layers share has the name under which it is met first.
        if !self.found.iter().any(|(_, known)| known.same(&part)) {
            self.found.push((self.path.clone(), part));
        }
    }

    fn parameters(&self) -> Vec<(String, Parameter)> {
        let pick = |(name, part): &(String, Part)| match part {
            Part::Parameter(parameter) => Some((name.clone(), parameter.clone())),
            Part::Buffer(_) => None,
        };
        self.found.iter().filter_map(pick).collect()
    }

    fn buffers(&self) -> Vec<(String, Buffer)> {
        let pick = |(name, part): &(String, Part)| match part {
            Part::Buffer(buffer) => Some((name.clone(), buffer.clone())),
            Part::Parameter(_) => None,
        };
        self.found.iter().filter_map(pick).collect()
    }
}

/// The names of tensors that a file may have for this model, and nobody wants.
pub(crate) fn unused_names<M: Module + ?Sized>(module: &M) -> Vec<String> {
    Visitor::over(module).unused
}

/// Implements [`Module`] for a struct of modules, [`Parameter`]s and [`Buffer`]s: name the fields that have
/// any of them. Lists (`Vec`, arrays), `Option` and `Box` of modules are modules too.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::{Init, Linear, Module, module};
/// struct MyNet { layers: Vec<Linear>, head: Linear, classes: usize }
/// module!(MyNet { layers, head });
///
/// let mut init = Init::new(0);
/// let net = MyNet {
///     layers: vec![Linear::new(4, 8, &mut init)?, Linear::new(8, 8, &mut init)?],
///     head: Linear::new(8, 3, &mut init)?,
///     classes: 3,
/// };
/// let net = net.on(&Device::cpu())?;
/// assert_eq!(net.names()[..3], ["layers.0.weight", "layers.0.bias", "layers.1.weight"]);
/// assert_eq!(net.count_parameters(), 40 + 72 + 27);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[macro_export]
macro_rules! module {
    ($name:ty { $($field:ident),* $(,)? }) => {
        impl $crate::Module for $name {
            fn visit(&self, v: &mut $crate::Visitor) {
                let _ = &v; // used even where there is no field
                $(v.field(stringify!($field), &self.$field);)*
            }
        }
    };
}

impl Module for Parameter {
    fn visit(&self, v: &mut Visitor) {
        v.found(Part::Parameter(self.clone()));
    }
}

impl Module for Buffer {
    fn visit(&self, v: &mut Visitor) {
        v.found(Part::Buffer(self.clone()));
    }
}

impl<M: Module> Module for [M] {
    fn visit(&self, v: &mut Visitor) {
        for (i, part) in self.iter().enumerate() {
            v.field(i, part);
        }
    }
}

impl<M: Module> Module for Vec<M> {
    fn visit(&self, v: &mut Visitor) {
        self.as_slice().visit(v);
    }
}

impl<M: Module, const N: usize> Module for [M; N] {
    fn visit(&self, v: &mut Visitor) {
        self.as_slice().visit(v);
    }
}

impl<M: Module> Module for Option<M> {
    fn visit(&self, v: &mut Visitor) {
        if let Some(part) = self {
            part.visit(v);
        }
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn visit(&self, v: &mut Visitor) {
        (**self).visit(v);
    }
}

/// Lays out described parameters in one buffer, and gives buffers their memory.
#[track_caller]
fn place(
    found: &[(String, Parameter)],
    buffers: &[(String, Buffer)],
    device: &Device,
) -> Result<()> {
    let placed = found.iter().find(|(_, p)| p.flat().is_some()).map(|(name, _)| name);
    if let Some(name) =
        placed.or_else(|| buffers.iter().find(|(_, b)| b.is_placed()).map(|(name, _)| name))
    {
        return Err(Error::argument(
            "module",
            format!("{name} is on a device already; build a new model for another one"),
        ));
    }
    let specs: Vec<(&str, &[usize], Vec<f32>)> =
        found.iter().map(|(name, p)| (name.as_str(), p.shape(), p.take_first())).collect();
    let flat = FlatParameters::new(&specs, device)?;
    for (name, parameter) in found {
        let placed = flat.get(name).is_some_and(|tensor| parameter.place(&flat, tensor));
        if !placed {
            return Err(Error::argument(
                "module",
                format!("the parameter {name} was put on a device by another thread meanwhile"),
            ));
        }
    }
    for (name, buffer) in buffers {
        if !buffer.place(device)? {
            return Err(Error::argument(
                "module",
                format!("the buffer {name} was put on a device by another thread meanwhile"),
            ));
        }
    }
    Ok(())
}

/// The one buffer these parameters fill.
#[track_caller]
fn whole(found: &[(String, Parameter)]) -> Result<FlatParameters> {
    let Some((_, first)) = found.first() else {
        return Err(Error::empty(
            "module",
            "this model has no parameters; name its fields in module!(..)",
        ));
    };
    first.tensor()?;
    let Some(flat) = first.flat() else {
        return Err(Error::internal("module", "a placed parameter without buffer"));
    };
    for (name, parameter) in found {
        let tensor = parameter.tensor()?;
        let same = match (tensor.storage(), flat.values().storage()) {
            (Ok(a), Ok(b)) => a.id() == b.id(),
            _ => false,
        };
        if !same {
            return Err(Error::argument(
                "module",
                format!(
                    "the parameter {name} lies in another buffer than those before it; call .on(&device) once, on the whole model"
                ),
            ));
        }
    }
    let all = flat.iter().count();
    if all != found.len() {
        return Err(Error::argument(
            "module",
            format!(
                "this is a part with {} of {all} parameters of a larger model, which is updated as a whole",
                found.len()
            ),
        ));
    }
    Ok(flat.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, Linear};
    use wgrad_core::ErrorKind;

    struct Pair {
        a: Linear,
        b: Vec<Linear>,
    }
    crate::module!(Pair { a, b });

    fn pair() -> Result<Pair> {
        let mut init = Init::new(1);
        Ok(Pair { a: Linear::new(2, 3, &mut init)?, b: vec![Linear::new(3, 1, &mut init)?] })
    }

    #[test]
    fn names_follow_the_fields() -> Result<()> {
        let pair = pair()?.on(&Device::cpu())?;
        let names = ["a.weight", "a.bias", "b.0.weight", "b.0.bias"];
        assert_eq!(pair.names(), names);
        let flat = pair.parameters()?;
        assert_eq!(flat.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
        assert_eq!(pair.count_parameters(), 6 + 3 + 3 + 1);
        assert_eq!(flat.values().numel(), 13);
        Ok(())
    }

    #[test]
    fn a_part_is_not_the_whole() -> Result<()> {
        let pair = pair()?.on(&Device::cpu())?;
        let error = pair.a.parameters().err().map(|e| (e.kind(), e.message().to_owned()));
        let (kind, text) = error.unwrap_or((ErrorKind::Internal, String::new()));
        assert_eq!(kind, ErrorKind::Argument);
        assert!(text.contains("2 of 4"), "{text}");
        Ok(())
    }

    #[test]
    fn twice_on_a_device_is_an_error() -> Result<()> {
        let pair = pair()?.on(&Device::cpu())?;
        let again = pair.on(&Device::cpu());
        assert_eq!(again.err().map(|e| e.kind()), Some(ErrorKind::Argument));
        Ok(())
    }

    #[test]
    fn an_unplaced_model_says_so() -> Result<()> {
        let error = pair()?.parameters().err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("on no device yet"), "{error}");
        assert!(error.contains("module.rs"), "{error}");
        Ok(())
    }

    #[test]
    fn a_shared_parameter_counts_once() -> Result<()> {
        struct Tied {
            one: Parameter,
            two: Parameter,
        }
        crate::module!(Tied { one, two });
        let one = Parameter::new(&[2], vec![1.0, 2.0])?;
        let tied = Tied { two: one.clone(), one }.on(&Device::cpu())?;
        assert_eq!(tied.names(), ["one"]);
        assert!(tied.one.tensor()?.same(tied.two.tensor()?));
        assert_eq!(tied.parameters()?.values().numel(), 2);
        Ok(())
    }
}
