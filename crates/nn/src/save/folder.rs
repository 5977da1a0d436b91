//! `Checkpoints`: the latest few checkpoints of a run and its best one, in a folder.

use super::{Checkpoint, entries::Loaded};
use std::{
    fs,
    path::{Path, PathBuf},
};
use wgrad_core::{Error, ErrorKind, Result};

/// A folder with the checkpoints of a run: `step-0000000100.safetensors` and so on, of which the latest few
/// are kept, and `best.safetensors`.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::{Checkpoint, Checkpoints, Mlp};
/// # let folder = std::env::temp_dir().join(format!("wgrad-doc-folder-{}", std::process::id()));
/// let model = Mlp::new(&[4, 8, 3], &Device::cpu())?;
/// let checkpoint = Checkpoint::new().module("model", &model);
/// let kept = Checkpoints::new(&folder)?.keep(2)?;
/// assert!(kept.resume(&checkpoint)?.is_none()); // the run begins
/// for step in [100, 200, 300] {
///     kept.save(&checkpoint, step)?;
/// }
/// assert_eq!(kept.steps()?, [200, 300]);
/// assert_eq!(kept.resume(&checkpoint)?.map(|resumed| resumed.step), Some(300));
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
}

/// What a run goes on from.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// The number the checkpoint was saved under.
    pub step: u64,
    /// Its file.
    pub path: PathBuf,
    /// Its notes and what else loading found.
    pub loaded: Loaded,
    /// Newer files that were damaged, each with its error. Empty unless
    /// [`resume_or_older`](Checkpoints::resume_or_older) had to go back.
    pub damaged: Vec<(PathBuf, Error)>,
}

const START: &str = "step-";
const END: &str = ".safetensors";

impl Checkpoints {
    /// The checkpoints in a folder, which is made if it is not there. Three are kept unless told.
    #[track_caller]
    pub fn new(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref().to_path_buf();
        match fs::create_dir_all(&folder) {
            Ok(()) => Ok(Self { folder, keep: 3 }),
            Err(error) => Err(failed(&folder, &error)),
        }
    }

    /// The latest `count` are kept, at least 1; the best one is kept besides.
    #[track_caller]
    pub fn keep(mut self, count: usize) -> Result<Self> {
        if count == 0 {
            return Err(Error::argument("checkpoints", "keep 0 checkpoints; keep at least 1"));
        }
        self.keep = count;
        Ok(self)
    }

    /// The file of a step.
    pub fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("{START}{step:010}{END}"))
    }

    /// The file of the best checkpoint.
    pub fn best_path(&self) -> PathBuf {
        self.folder.join(format!("best{END}"))
    }

    /// Saves under a step's number, then removes those older than the latest few. Older ones are removed only
    /// when the new one is safe.
    #[track_caller]
    pub fn save(&self, checkpoint: &Checkpoint, step: u64) -> Result<PathBuf> {
        let path = self.path(step);
        checkpoint.save(&path)?;
        let steps = self.steps()?;
        let older: Vec<u64> = steps.into_iter().filter(|&other| other <= step).collect();
        for &old in older.iter().rev().skip(self.keep) {
            let path = self.path(old);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed(&path, &error));
                }
                _ => {}
            }
        }
        Ok(path)
    }

    /// Saves as the best one.
    #[track_caller]
    pub fn save_best(&self, checkpoint: &Checkpoint) -> Result<PathBuf> {
        let path = self.best_path();
        checkpoint.save(&path)?;
        Ok(path)
    }

    /// The steps there are files of, in ascending order.
    #[track_caller]
    pub fn steps(&self) -> Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) => return Err(failed(&self.folder, &error)),
        };
        let mut steps = Vec::new();
        for entry in entries {
            let name = match entry {
                Ok(entry) => entry.file_name(),
                Err(error) => return Err(failed(&self.folder, &error)),
            };
            let digits = name.to_str().and_then(|n| n.strip_prefix(START)?.strip_suffix(END));
            // Only names that `path` gives: it must be found again under its number.
            if let Some(step) = digits.and_then(|digits| digits.parse::<u64>().ok())
                && self.path(step).file_name() == Some(&name)
            {
                steps.push(step);
            }
        }
        steps.sort_unstable();
        Ok(steps)
    }

    /// Loads the latest one; `None` if there is none yet. A damaged file is an error:
    /// [`resume_or_older`](Checkpoints::resume_or_older) goes back to the one before it.
    #[track_caller]
    pub fn resume(&self, checkpoint: &Checkpoint) -> Result<Option<Resumed>> {
        let Some(&step) = self.steps()?.last() else { return Ok(None) };
        self.load(checkpoint, step).map(Some)
    }

    /// Loads the latest one that is not damaged, and says which were passed over. A file that is whole but of
    /// another model or other settings is an error all the same.
    #[track_caller]
    pub fn resume_or_older(&self, checkpoint: &Checkpoint) -> Result<Option<Resumed>> {
        let mut damaged = Vec::new();
        let mut last = None;
        for &step in self.steps()?.iter().rev() {
            match self.load(checkpoint, step) {
                Ok(resumed) => return Ok(Some(Resumed { damaged, ..resumed })),
                Err(error) if matches!(error.kind(), ErrorKind::Format | ErrorKind::Io) => {
                    damaged.push((self.path(step), error.clone()));
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        last.map_or(Ok(None), Err)
    }

    #[track_caller]
    fn load(&self, checkpoint: &Checkpoint, step: u64) -> Result<Resumed> {
        let path = self.path(step);
        let loaded = checkpoint.load(&path)?;
        Ok(Resumed { step, path, loaded, damaged: Vec::new() })
    }
}

#[track_caller]
fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::io("checkpoints", format!("{}: {error}", path.display()))
}
