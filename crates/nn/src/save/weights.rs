//! Weights alone, as other libraries read and write them.

use super::{
    entries::{How, Loaded, of_module, save},
    replace::System,
};
use crate::Module;
use std::{collections::BTreeMap, path::Path};
use wgrad_core::Result;

/// Saves a model's parameters and buffers as a safetensors file, under the names and with the shapes that
/// PyTorch users expect (`layers.0.weight`, `[outputs, inputs]`), so that Python's
/// `safetensors.torch.load_file` reads them. A parameter that two layers share is saved once.
///
/// An older file under this name is replaced as one unit: whoever looks finds the old file or the new one, and
/// an error leaves the old one as it is. The new file has the old one's permissions and belongs to this
/// process's user; if the path is a link, what it points to is replaced.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::{Mlp, load_weights, save_weights};
/// # let folder = std::env::temp_dir().join(format!("wgrad-doc-weights-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("model.safetensors");
/// let cpu = Device::cpu();
/// save_weights(&Mlp::with_seed(&[4, 8, 3], 1, &cpu)?, &path)?;
///
/// let other = Mlp::with_seed(&[4, 8, 3], 2, &cpu)?;
/// load_weights(&other, &path)?;
/// let wrong = Mlp::new(&[4, 8, 5], &cpu)?;
/// assert!(load_weights(&wrong, &path).is_err()); // and `wrong` is as it was
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad_core::Error>(())
/// ```
///
/// # Errors
/// `Argument` if the model is on no device yet, `Io` with path and cause, and what reading from a device gives.
#[track_caller]
pub fn save_weights<M: Module + ?Sized>(model: &M, path: impl AsRef<Path>) -> Result<()> {
    let entries = of_module("", model)?;
    // Some readers ask for this note.
    let notes = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    save("save_weights", path.as_ref(), &entries, &notes, &mut System)
}

/// Loads a model's parameters and buffers from a safetensors file: all or nothing. Names, shapes and types
/// must be the same; [`LoadWeights`] allows more.
///
/// # Errors
/// `Mismatch` with every difference (`DType` if only types differ), `Format` for a damaged file, `Io` with path
/// and cause. The model is then as it was.
#[track_caller]
pub fn load_weights<M: Module + ?Sized>(model: &M, path: impl AsRef<Path>) -> Result<Loaded> {
    LoadWeights::new().load(model, path)
}

/// [`load_weights`] with options.
///
/// ```no_run
/// use wgrad_core::Device;
/// use wgrad_nn::{LoadWeights, Mlp};
/// let model = Mlp::new(&[4, 8, 3], &Device::cpu())?;
/// // weights in half precision, from a checkpoint that has the model under the name "model"
/// LoadWeights::new().convert().part("model").load(&model, "run/best.safetensors")?;
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct LoadWeights {
    convert: bool,
    part: String,
}

impl LoadWeights {
    /// Names, shapes and types must be the same.
    pub fn new() -> Self {
        Self::default()
    }

    /// Floats of another type than the model's (f16, bf16, f32, f64) are converted, rounded to nearest.
    #[must_use]
    pub fn convert(mut self) -> Self {
        self.convert = true;
        self
    }

    /// Only what the file has under this name: `"model"` takes `model.layers.0.weight` as
    /// `layers.0.weight`, and leaves `optimizer.rate` alone.
    #[must_use]
    pub fn part(mut self, name: &str) -> Self {
        self.part = format!("{name}.");
        self
    }

    /// Loads into `model`: all or nothing, as [`load_weights`].
    #[track_caller]
    pub fn load<M: Module + ?Sized>(&self, model: &M, path: impl AsRef<Path>) -> Result<Loaded> {
        let entries = of_module("", model)?;
        let how =
            How { op: "load_weights", convert: self.convert, part: &self.part, check: |_| Ok(()) };
        super::entries::load(path.as_ref(), &entries, &how)
    }
}
