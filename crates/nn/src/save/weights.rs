//! Weights alone, as other libraries read and write them.

use super::{
    entries::{How, Loaded, of_module, save},
    hints::Purpose,
    replace::System,
};
use crate::{Module, module::unused_names};
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
    ignored: Vec<String>,
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

    /// Leaves tensors with such names alone; `*` stands for any characters. Those of the file are not loaded, and
    /// those of the model stay as they are: `"head.*"` for a head with other classes. It may be called several times.
    ///
    /// PyTorch's batch norm saves a counter `num_batches_tracked`, which has no place here. Below a batch norm of the
    /// model it is ignored unasked; elsewhere `"*.num_batches_tracked"` does it.
    #[must_use]
    pub fn ignore(mut self, names: &str) -> Self {
        self.ignored.push(names.to_owned());
        self
    }

    /// Loads into `model`: all or nothing, as [`load_weights`].
    #[track_caller]
    pub fn load<M: Module + ?Sized>(&self, model: &M, path: impl AsRef<Path>) -> Result<Loaded> {
        let unasked = unused_names(model);
        let asked = |name: &str| self.ignored.iter().any(|pattern| matches(pattern, name));
        let ignore = |name: &str| asked(name) || unasked.iter().any(|unused| unused == name);
        let mut entries = of_module("", model)?;
        entries.retain(|entry| !asked(&entry.name));
        let how = How {
            op: "load_weights",
            purpose: Purpose::Weights,
            convert: self.convert,
            part: &self.part,
            ignore: &ignore,
            check: |_| Ok(()),
        };
        super::entries::load(path.as_ref(), &entries, &how)
    }
}

/// Whether a pattern, in which `*` stands for any characters, is that of a name.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, names) in [
            ("a.b", &["a.b"][..]),
            ("*", &["", "a", "a.b"]),
            ("a.*", &["a.", "a.b.c"]),
            ("*.b", &[".b", "a.b", "b.b.b"]),
            ("a*b*c", &["abc", "a.b.c", "abbc", "abcbc"]),
            ("*aa", &["aa", "aaa"]),
        ] {
            assert!(names.iter().all(|name| matches(pattern, name)), "{pattern}");
        }
        for (pattern, names) in [
            ("a.b", &["", "a.bc", "aa.b"][..]),
            ("a.*", &["a", "b.a.c"]),
            ("*.b", &["b", "a.bc"]),
            ("a*a", &["a"]),
            ("a*b*c", &["ac", "acb", "bac"]),
            ("", &["a"]),
        ] {
            assert!(!names.iter().any(|name| matches(pattern, name)), "{pattern}");
        }
    }
}
