//! `Trainer`: the loop around a training step, of pieces that can be used without it.

mod bar;
mod history;
mod interrupt;
mod losses;
mod plot;

pub use history::{Epoch, History};
pub use interrupt::Interrupt;
pub use losses::Losses;

use crate::{Checkpoint, Checkpoints, Count, Loader, Real, Resumed, State, StateVisitor, eval};
use bar::Bar;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};
use wgrad_core::{Error, ErrorKind, Result, Tensor};

/// What a validation found.
///
/// ```
/// use wgrad_nn::Validation;
/// let found = Validation::new(0.21).with("accuracy", 0.93);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Validation {
    /// Lower is better: it decides what the best epoch is and when to stop.
    pub loss: f64,
    /// Other numbers by name, for the record.
    pub metrics: Vec<(String, f64)>,
}

impl Validation {
    /// A loss alone.
    pub fn new(loss: f64) -> Self {
        Self { loss, metrics: Vec::new() }
    }

    /// With one more number.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.metrics.push((name.to_owned(), value));
        self
    }
}

/// Why a training run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All epochs are done.
    Done,
    /// The validation loss did not fall for as many epochs as patience lasted.
    Early,
    /// Somebody pressed Ctrl-C; the run can be resumed.
    Interrupted,
}

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Why it ended.
    pub stop: Stop,
    /// Steps taken by this run, those before a resume too.
    pub steps: u64,
    /// The record of all epochs.
    pub history: History,
    /// The best epoch, from 0 as in the record, and its validation loss.
    pub best: Option<(u64, f64)>,
    /// Newer checkpoints that were damaged when the run was resumed, each with its error.
    pub damaged: Vec<(PathBuf, Error)>,
}

/// A training loop: epochs over a loader, a record of losses, a progress bar and a line for each epoch on stderr, the
/// best and the latest checkpoints, an early stop, and a clean end at Ctrl-C. All that it does can be done by hand with
/// [`Losses`], [`History`], [`Interrupt`], [`Checkpoints`] and [`Loader`].
///
/// With a folder it leaves there `step-*.safetensors` and `best.safetensors`, `metrics.csv`, `metrics.jsonl`
/// and `loss.svg`.
///
/// ```
/// use wgrad_core::{Device, Step};
/// use wgrad_nn::{Array, Checkpoint, Layer, Loader, Mlp, Optimizer, Rows, Sgd, Stop, Trainer, Validation};
/// # let folder = std::env::temp_dir().join(format!("wgrad-doc-trainer-{}", std::process::id()));
/// let cpu = Device::cpu();
/// let x = Array::f32([4, 2], vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?;
/// let y = Array::f32([4, 1], vec![0.0, 1.0, 1.0, 0.0])?;
/// let (all, want) = (x.to_tensor(&cpu)?, y.to_tensor(&cpu)?);
/// let loader = Loader::new(Rows::new(vec![x, y])?, 4, &cpu)?;
///
/// let model = Mlp::with_seed(&[2, 16, 1], 1, &cpu)?;
/// let sgd = Sgd::new(&model, 0.1)?.momentum(0.9)?;
/// let step = Step::new(&cpu, |b| {
///     let loss = model.forward(&b[0])?.mse(&b[1])?;
///     sgd.step(&loss.backward()?)?;
///     Ok(vec![loss])
/// });
/// let outcome = Trainer::new(5)
///     .folder(&folder, Checkpoint::new().module("model", &model).device(&cpu))?
///     .quiet()
///     .run(
///         &loader,
///         |b| Ok(step.run(&[&b[0], &b[1]])?.swap_remove(0)),
///         || Ok(Validation::new(model.forward(&all)?.mse(&want)?.item::<f32>()?.into())),
///     )?;
/// assert_eq!((outcome.stop, outcome.steps), (Stop::Done, 5));
/// assert!(folder.join("loss.svg").exists());
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub struct Trainer {
    epochs: u64,
    patience: Option<u64>,
    quiet: bool,
    resume: bool,
    save_every: u64,
    kept: Option<(Checkpoints, Checkpoint, PathBuf)>,
    progress: Progress,
}

/// How far a run is: a part of its checkpoints.
struct Progress {
    /// The loader's epoch that is the run's first.
    start: Count,
    steps: Count,
    /// Of this epoch so far, over samples.
    loss: Real,
    samples: Count,
    best: Real,
    best_epoch: Count,
    since_best: Count,
}

impl State for Progress {
    fn state(&self, v: &mut StateVisitor) {
        v.count("start", &self.start);
        v.count("steps", &self.steps);
        v.real("loss", &self.loss);
        v.count("samples", &self.samples);
        v.real("best", &self.best);
        v.count("best_epoch", &self.best_epoch);
        v.count("since_best", &self.since_best);
    }
}

impl Progress {
    fn new() -> Self {
        Self {
            start: Count::new(0),
            steps: Count::new(0),
            loss: Real::new(0.0),
            samples: Count::new(0),
            best: Real::new(f64::INFINITY),
            best_epoch: Count::new(0),
            since_best: Count::new(0),
        }
    }

    /// As it is before the first step of a run that begins at an epoch of the loader.
    fn begin(&self, epoch: u64) {
        self.start.set(epoch);
        self.steps.set(0);
        self.best.set(f64::INFINITY);
        self.best_epoch.set(0);
        self.since_best.set(0);
        self.begin_epoch();
    }

    fn begin_epoch(&self) {
        self.loss.set(0.0);
        self.samples.set(0);
    }
}

/// Losses that are read at once, and never waited for while the device works. A bar that is seen asks sooner where
/// steps are slow.
const READ_EVERY: usize = 16;

impl Trainer {
    /// Over so many epochs in each [`run`](Self::run), with a progress bar, a line for each epoch and nothing else.
    pub fn new(epochs: u64) -> Self {
        Self {
            epochs,
            patience: None,
            quiet: false,
            resume: false,
            save_every: 1,
            kept: None,
            progress: Progress::new(),
        }
    }

    /// Keeps checkpoints, record and plot in a folder. The checkpoint describes model, optimizer, device and
    /// whatever else the run must keep; loader and trainer are added (as `data` and `trainer`). The latest three
    /// are kept, and the best.
    #[track_caller]
    pub fn folder(mut self, folder: impl AsRef<Path>, checkpoint: Checkpoint) -> Result<Self> {
        let folder = folder.as_ref().to_path_buf();
        self.kept = Some((Checkpoints::new(&folder)?, checkpoint, folder));
        Ok(self)
    }

    /// Goes on with the run in the folder, if there is one, from its latest checkpoint: up to the number of epochs
    /// that this trainer has, those before the resume counted. A run that has as many is over and trains nothing; give
    /// more epochs to go on with it. A checkpoint that is damaged is passed over for the one before it, as
    /// [`Checkpoints::resume_or_older`] does; the log warns of it, and [`Outcome::damaged`] names it.
    #[must_use]
    pub fn resume(mut self, yes: bool) -> Self {
        self.resume = yes;
        self
    }

    /// Saves the latest state after every so many epochs, at least 1 (each one unless told), and at the end. A save
    /// waits for the disk: with epochs of milliseconds, once in a while is enough.
    #[must_use]
    pub fn save_every(mut self, epochs: u64) -> Self {
        self.save_every = epochs.max(1);
        self
    }

    /// Stops when the validation loss has not fallen for so many epochs.
    #[must_use]
    pub fn patience(mut self, epochs: u64) -> Self {
        self.patience = Some(epochs);
        self
    }

    /// Without a progress bar and without the line on stderr that is left of each epoch: its number, both losses, metrics
    /// and seconds. Where stderr is no terminal there are only those lines.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Trains so many epochs as [`new`](Self::new) was told, from where the loader stands: epochs that it has behind
    /// it do not count, and one in whose middle it stands begins anew, so that looking at a batch before costs the run
    /// nothing. To call it again, after an interruption too, is a new run with as many epochs: steps, record, best epoch
    /// and patience begin from zero, and only model, optimizer and loader are what the run before left. With a folder
    /// there is no second run: with [`resume`](Self::resume) the one that is there goes on, without it that is an error.
    ///
    /// `step` takes a batch, moves the parameters and returns the loss (a tensor with one number, which
    /// is read some steps later); `validate` is called after each epoch, within [`eval`]. If it fails, the state is saved
    /// first, with the epoch's steps and without a record of it: a resume goes on with the next epoch.
    ///
    /// # Errors
    /// What loader, step, validation and checkpoints give; `Shape` for a loss that is not one number; `Data` for one that
    /// is NaN or infinite; `Argument` for a resume without a folder, and for a new run in a folder that has checkpoints already.
    #[track_caller]
    pub fn run(
        &self,
        loader: &Loader,
        mut step: impl FnMut(&[Tensor]) -> Result<Tensor>,
        mut validate: impl FnMut() -> Result<Validation>,
    ) -> Result<Outcome> {
        let progress = &self.progress;
        let kept = self.kept.as_ref().map(|(kept, checkpoint, folder)| {
            let checkpoint = checkpoint.clone().state("data", loader).state("trainer", progress);
            (kept, checkpoint, folder)
        });
        let mut history = History::default();
        let (mut resumed, mut damaged) = (false, Vec::new());
        if self.resume {
            let Some((kept, checkpoint, folder)) = &kept else {
                return Err(Error::argument("trainer", "resume needs a folder; call folder(..)"));
            };
            let record = History::read(folder.join("metrics.jsonl"))?;
            if let Some(found) = latest_whole(kept, checkpoint)? {
                damaged = found.damaged;
                history = record.before(loader.epoch().saturating_sub(progress.start.get()));
                resumed = true;
            }
        }
        if let (false, Some((kept, ..))) = (self.resume, &kept)
            && let Some(step) = kept.steps()?.last()
        {
            return Err(Error::argument(
                "trainer",
                format!(
                    "the folder has checkpoints of an earlier run, up to step {step}; resume(true) goes on with it \
                     (and with more epochs, if it is over), a new run needs another folder"
                ),
            ));
        }
        let save = |history: &History| match &kept {
            None => Ok(()),
            Some((kept, checkpoint, folder)) => {
                history.write(folder)?;
                kept.save(checkpoint, progress.steps.get()).map(drop)
            }
        };
        if loader.batches_per_epoch() == 0 {
            return Err(Error::empty(
                "trainer",
                "an epoch has no batch: fewer samples than one holds, and drop_last; use a smaller batch",
            ));
        }
        let interrupt = Interrupt::watch()?;
        if !resumed {
            loader.begin_epoch();
            progress.begin(loader.epoch());
        }
        let mut unsaved = false;
        let stop = loop {
            if self.patience.is_some_and(|patience| progress.since_best.get() >= patience.max(1)) {
                break Stop::Early;
            }
            let epoch = loader.epoch().saturating_sub(progress.start.get());
            if epoch >= self.epochs {
                break Stop::Done;
            }
            let mut bar = Bar::new(epoch, self.epochs, loader.batches_per_epoch(), self.quiet);
            let start = Instant::now();
            let mut losses = Losses::new(READ_EVERY);
            let mut interrupted = false;
            for batch in loader.batches() {
                let batch = batch?;
                let count = batch.first().map_or(1, |x| x.shape().first().copied().unwrap_or(1));
                losses.push(step(&batch)?, count)?;
                progress.steps.set(progress.steps.get() + 1);
                if bar.wants_loss(Instant::now()) {
                    losses.turn()?;
                }
                bar.taken(loader.taken());
                if let Some(loss) = self.arrived(&mut losses)? {
                    bar.loss(loss);
                }
                if interrupt.asked() {
                    interrupted = true;
                    break;
                }
            }
            losses.finish()?;
            if let Some(loss) = self.arrived(&mut losses)? {
                bar.loss(loss);
            }
            bar.clear();
            unsaved = true;
            if interrupted {
                break Stop::Interrupted;
            }
            let found = match eval(&mut validate) {
                Ok(found) => found,
                Err(error) => {
                    progress.begin_epoch();
                    return Err(match save(&history) {
                        Ok(()) => error,
                        Err(other) => also(error, &other),
                    });
                }
            };
            let improved = found.loss < progress.best.get();
            if improved {
                progress.best.set(found.loss);
                progress.best_epoch.set(epoch);
                progress.since_best.set(0);
            } else {
                progress.since_best.set(progress.since_best.get() + 1);
            }
            let samples = progress.samples.get().max(1) as f64;
            let finished = Epoch {
                epoch,
                step: progress.steps.get(),
                train_loss: progress.loss.get() / samples,
                seconds: start.elapsed().as_secs_f64(),
                loss: found.loss,
                metrics: found.metrics,
            };
            bar.leave(&finished);
            history.push(finished);
            progress.begin_epoch();
            // The best first: a state that names an epoch as best must find it there when it is resumed.
            if let (true, Some((kept, checkpoint, _))) = (improved, &kept) {
                kept.save_best(checkpoint)?;
            }
            if (epoch + 1).is_multiple_of(self.save_every) {
                save(&history)?;
                unsaved = false;
            }
            if interrupt.asked() {
                break Stop::Interrupted;
            }
        };
        if unsaved {
            save(&history)?;
        }
        let best = progress.best.get();
        let best = (best < f64::INFINITY).then(|| (progress.best_epoch.get(), best));
        Ok(Outcome { stop, steps: progress.steps.get(), history, best, damaged })
    }

    /// Adds the losses that have arrived to the epoch's; the last of them.
    #[track_caller]
    fn arrived(&self, losses: &mut Losses) -> Result<Option<f32>> {
        let mut last = None;
        for (loss, count) in losses.arrived() {
            if !loss.is_finite() {
                return Err(Error::data(
                    "trainer",
                    format!(
                        "a loss is {loss}, at step {} or a few before it; a smaller learning rate may help",
                        self.progress.steps.get()
                    ),
                ));
            }
            let sum = self.progress.loss.get() + f64::from(loss) * count as f64;
            self.progress.loss.set(sum);
            self.progress.samples.set(self.progress.samples.get() + count as u64);
            last = Some(loss);
        }
        Ok(last)
    }
}

/// Loads the latest checkpoint that is not damaged; it and the log say which were passed over.
#[track_caller]
fn latest_whole(kept: &Checkpoints, checkpoint: &Checkpoint) -> Result<Option<Resumed>> {
    let damage = |error: &Error| matches!(error.kind(), ErrorKind::Format | ErrorKind::Io);
    let found = match kept.resume_or_older(checkpoint) {
        // That error is of the oldest file; the latest is the one that matters.
        Err(error) if damage(&error) => kept.resume(checkpoint),
        found => found,
    };
    match found {
        Ok(Some(found)) => {
            for (_, error) in &found.damaged {
                log::warn!(
                    "{}; the run goes on from the older {}",
                    error.message(),
                    found.path.display()
                );
            }
            Ok(Some(found))
        }
        Err(error) if damage(&error) => {
            let text = format!(
                "{}; no older checkpoint in the folder is whole. Begin anew in another folder, with the weights of \
                 best.safetensors if that file is whole (LoadWeights::new().part(..) loads them)",
                error.message()
            );
            Err(Error::new(error.kind(), error.op().to_owned(), text).at(error.location()))
        }
        found => found,
    }
}

/// An error after which the state could not be saved either.
fn also(error: Error, saving: &Error) -> Error {
    let text = format!("{}; then the state could not be saved: {saving}", error.message());
    Error::new(error.kind(), error.op().to_owned(), text).at(error.location())
}
