//! `Checkpoint`: the whole state of a training run in one file.

use super::{
    entries::{Entry, Handle, How, Loaded, load, of_module, of_state, save},
    hints::Purpose,
    replace::{Disk, System},
};
use crate::{Count, Module, Real, State};
use std::{collections::BTreeMap, fmt, path::Path};
use wgrad_core::{Device, Error, Result};

/// What a training run must keep to go on exactly, described once and used to save and to load: a model's
/// parameters and buffers, the state of optimizers, schedules and data, where a device's random numbers
/// stand, and numbers and notes of your own. All of it lies in one safetensors file that is replaced as one
/// unit, so nothing in it can be older than the rest.
///
/// Loading compares every name, shape, type and setting first and lists all differences; then the numbers are
/// read and their checksum is compared; only then is anything changed.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::{Checkpoint, Count, Mlp};
/// # let folder = std::env::temp_dir().join(format!("wgrad-doc-checkpoint-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("run.safetensors");
/// let cpu = Device::cpu();
/// let model = Mlp::new(&[4, 8, 3], &cpu)?;
/// let steps = Count::new(0);
/// let checkpoint = Checkpoint::new().module("model", &model).count("steps", &steps).device(&cpu);
///
/// steps.set(100);
/// checkpoint.clone().note("comment", "before the change").save(&path)?;
/// steps.set(0);
/// let loaded = checkpoint.load(&path)?;
/// assert_eq!((steps.get(), loaded.note("comment")), (100, Some("before the change")));
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad_core::Error>(())
/// ```
///
/// A file is replaced as [`save_weights`](crate::save_weights) does. The parts are shared, not copied: a
/// checkpoint described before training saves what is there at the time of [`save`](Checkpoint::save).
#[derive(Clone, Default)]
pub struct Checkpoint {
    entries: Vec<Entry>,
    notes: BTreeMap<String, String>,
    /// What went wrong while it was described.
    problem: Option<Error>,
}

/// The key of the format's version, and what this library writes.
const VERSION_KEY: &str = "wgrad.checkpoint";
const VERSION: u32 = 1;
const NOTE: &str = "note.";

impl Checkpoint {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// With the parameters and buffers of a model under a name. A model that is on no device yet is reported
    /// by `save` and `load`.
    #[must_use]
    #[track_caller]
    pub fn module<M: Module + ?Sized>(mut self, name: &str, module: &M) -> Self {
        match of_module(name, module) {
            Ok(entries) => self.entries.extend(entries),
            Err(error) => self.problem = self.problem.or(Some(error)),
        }
        self
    }

    /// With the state of an optimizer, a schedule, a loader or the like under a name.
    #[must_use]
    pub fn state<S: State + ?Sized>(mut self, name: &str, state: &S) -> Self {
        self.entries.extend(of_state(name, state));
        self
    }

    /// With a whole number of your own; loading sets it.
    #[must_use]
    pub fn count(self, name: &str, count: &Count) -> Self {
        self.entry(name, Handle::Count(count.clone()))
    }

    /// With a number of your own; loading sets it.
    #[must_use]
    pub fn real(self, name: &str, real: &Real) -> Self {
        self.entry(name, Handle::Real(real.clone()))
    }

    /// With a number that must be the same when the file is loaded, a size or a seed.
    #[must_use]
    pub fn setting(self, name: &str, value: u64) -> Self {
        self.entry(name, Handle::Setting(value))
    }

    /// With the place where a device's random numbers stand, as `device.random`. Those of a second and third device are
    /// `device.1.random` and `device.2.random`: give them in the same order when the file is loaded. A device that is
    /// given twice is reported by `save` and `load`.
    #[must_use]
    #[track_caller]
    pub fn device(mut self, device: &Device) -> Self {
        let mut before = 0;
        for entry in &self.entries {
            if let Handle::Random(known) = &entry.handle {
                if known == device {
                    let error = Error::argument(
                        "checkpoint",
                        format!("the device {} is given twice; give it once", device.info().name),
                    );
                    self.problem = self.problem.or(Some(error));
                    return self;
                }
                before += 1;
            }
        }
        let name = match before {
            0 => "device.random".to_owned(),
            n => format!("device.{n}.random"),
        };
        self.entry(&name, Handle::Random(device.clone()))
    }

    /// With a text, which [`Loaded::note`] gives back.
    #[must_use]
    pub fn note(mut self, name: &str, text: impl fmt::Display) -> Self {
        self.notes.insert(format!("{NOTE}{name}"), text.to_string());
        self
    }

    fn entry(mut self, name: &str, handle: Handle) -> Self {
        self.entries.push(Entry { name: name.to_owned(), handle });
        self
    }

    /// Saves everything to `path` as one unit: a crash or an error at any time leaves the old file or the new
    /// one. Returns once the file is on the disk. Waits for the devices; outside of a recorded step.
    ///
    /// # Errors
    /// `Argument` for a model on no device or a name given twice, `Io` with path and cause, and what reading
    /// from a device gives.
    #[track_caller]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_on(path.as_ref(), &mut System)
    }

    #[track_caller]
    pub(super) fn save_on(&self, path: &Path, disk: &mut dyn Disk) -> Result<()> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let mut notes = self.notes.clone();
        notes.insert(VERSION_KEY.to_owned(), VERSION.to_string());
        save("checkpoint", path, &self.entries, &notes, disk)
    }

    /// Loads everything from `path`: all or nothing.
    ///
    /// # Errors
    /// `Mismatch` with every difference, `Format` for a damaged file or one of a newer version, `Io` with path
    /// and cause. Everything is then as it was.
    #[track_caller]
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Loaded> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let how = How {
            op: "checkpoint",
            purpose: Purpose::Checkpoint,
            convert: false,
            part: "",
            ignore: &|_| false,
            check: version,
        };
        let mut loaded = load(path.as_ref(), &self.entries, &how)?;
        let own =
            |(name, text): (String, String)| Some((name.strip_prefix(NOTE)?.to_owned(), text));
        loaded.notes = loaded.notes.into_iter().filter_map(own).collect();
        Ok(loaded)
    }
}

/// Whether this library reads a file with these notes.
fn version(notes: &BTreeMap<String, String>) -> Result<(), String> {
    let Some(text) = notes.get(VERSION_KEY) else {
        return Err("this is no checkpoint; for weights alone use load_weights".to_owned());
    };
    match text.parse::<u32>() {
        Ok(VERSION) => Ok(()),
        _ => Err(format!(
            "a checkpoint of version {}; this library reads version {VERSION}",
            super::printable(text)
        )),
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.name)).finish()
    }
}
