//! `Loader`: batches from samples, gathered by threads, in an order that depends on the seed alone.

use super::{Array, Samples};
use crate::{Count, State, StateVisitor};
use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::Duration,
};
use wgrad_core::{
    Device, Error, Result, Tensor,
    philox::{Stream, philox4x32},
};

/// Batches from [`Samples`], on a device. Threads gather the next batches while the device computes, and the
/// next ones are brought to the device ahead of their use; the order of samples and every random number depend on
/// seed and epoch alone.
///
/// It knows where it stands: as a [`State`] in a checkpoint it goes on at the next batch, in the middle of an
/// epoch too. Number of samples, batch size, seed and policy must then be the same.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::{Array, Loader, Rows};
/// let x = Array::f32([5, 2], (0..10).map(|i| i as f32).collect())?;
/// let y = Array::i32([5], vec![0, 1, 0, 1, 0])?;
/// let loader = Loader::new(Rows::new(vec![x, y])?, 2, &Device::cpu())?.shuffle(7).workers(2);
/// while loader.epoch() < 3 {
///     for batch in loader.batches() {
///         let [x, labels] = &batch?[..] else { unreachable!() };
///         assert_eq!(x.shape()[1], 2);
///     }
/// }
/// # Ok::<(), wgrad_core::Error>(())
/// ```
pub struct Loader {
    data: Arc<dyn Samples>,
    device: Device,
    size: usize,
    seed: Option<u64>,
    drop_last: bool,
    finite: bool,
    workers: usize,
    ahead: usize,
    timeout: Duration,
    epoch: Count,
    /// Batches of the epoch that were given out.
    taken: Count,
}

impl Loader {
    /// Batches of `size` samples in their own order, the last one smaller if need be. One thread gathers them.
    ///
    /// # Errors
    /// `Argument` for a size of 0, `Empty` without samples, `Size` for more than 2³² samples.
    #[track_caller]
    pub fn new(data: impl Samples + 'static, size: usize, device: &Device) -> Result<Self> {
        if size == 0 {
            return Err(Error::argument("loader", "a batch of 0 samples; use at least 1"));
        }
        if data.is_empty() {
            return Err(Error::empty("loader", "there are no samples"));
        }
        if u32::try_from(data.len()).is_err() {
            return Err(Error::size(
                "loader",
                format!("{} samples; at most {} can be shuffled", data.len(), u32::MAX),
            ));
        }
        Ok(Self {
            data: Arc::new(data),
            device: device.clone(),
            size,
            seed: None,
            drop_last: false,
            finite: true,
            workers: 1,
            ahead: 2,
            timeout: Duration::from_secs(300),
            epoch: Count::new(0),
            taken: Count::new(0),
        })
    }

    /// In an order that seed and epoch determine, the same as [`Batches::shuffle`](crate::Batches::shuffle)
    /// gives.
    #[must_use]
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Without the last batch of an epoch if it is smaller than the others.
    #[must_use]
    pub fn drop_last(mut self) -> Self {
        self.drop_last = true;
        self
    }

    /// Samples may hold NaN and infinities, which are errors otherwise.
    #[must_use]
    pub fn allow_not_finite(mut self) -> Self {
        self.finite = false;
        self
    }

    /// How many threads gather batches; with 0 the caller's own does.
    #[must_use]
    pub fn workers(mut self, count: usize) -> Self {
        self.workers = count;
        self
    }

    /// How many batches are on the device ahead of the one in use (2 unless told), and how many each thread
    /// keeps ready (as many, at least 1).
    #[must_use]
    pub fn ahead(mut self, batches: usize) -> Self {
        self.ahead = batches;
        self
    }

    /// How long a batch may take before it is an error: 5 minutes unless told.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many epochs are behind.
    pub fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// How many batches of this epoch were given out.
    pub fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Puts it at the start of the epoch it stands in.
    #[cfg(feature = "trainer")]
    pub(crate) fn begin_epoch(&self) {
        self.taken.set(0);
    }

    /// How many batches an epoch has.
    pub fn batches_per_epoch(&self) -> usize {
        match self.drop_last {
            true => self.data.len() / self.size,
            false => self.data.len().div_ceil(self.size),
        }
    }

    /// How many samples there are.
    pub fn samples(&self) -> usize {
        self.data.len()
    }

    /// The batches of this epoch that are still to come: in an epoch that was left (by `break`, or after a look at
    /// its first batch) it goes on behind the last batch that was taken. When all are taken, and the iterator has said
    /// so with `None`, the next call begins the next epoch. Each batch has one tensor for each array of a sample,
    /// stacked along a new first axis. After an error the epoch's iterator ends; the next call tries the same batch again.
    ///
    /// Each error is of kind `Data` and names the sample: what its reader said, a panic in it, a NaN, a shape unlike
    /// the others'. It is placed at the line of this call.
    #[track_caller]
    pub fn batches(&self) -> LoaderBatches<'_> {
        let (epoch, first) = (self.epoch.get(), self.taken.get());
        let count = self.batches_per_epoch();
        let next = usize::try_from(first).unwrap_or(count).min(count);
        let work = Arc::new(Work {
            data: self.data.clone(),
            order: self.seed.map(|seed| order(self.data.len(), seed, epoch)),
            seed: samples_seed(self.seed.unwrap_or(0), epoch),
            size: self.size,
            count,
            finite: self.finite,
            stop: AtomicBool::new(false),
        });
        let mut sources = Vec::new();
        if next < count {
            for worker in 0..self.workers.min(count - next) {
                sources.push(Worker::start(&work, next + worker, self.workers, self.ahead.max(1)));
            }
        }
        LoaderBatches {
            loader: self,
            at: Location::caller(),
            work,
            sources,
            first: next,
            next,
            ready: VecDeque::new(),
            asked: next,
            ended: false,
        }
    }
}

/// Where it stands, and what must be the same to go on from there.
impl State for Loader {
    fn state(&self, v: &mut StateVisitor) {
        v.count("epoch", &self.epoch);
        v.count("taken", &self.taken);
        v.setting("samples", self.data.len() as u64);
        v.setting("batch_size", self.size as u64);
        v.setting("drop_last", u64::from(self.drop_last));
        v.setting("shuffled", u64::from(self.seed.is_some()));
        v.setting("seed", self.seed.unwrap_or(0));
    }
}

/// Fisher and Yates' shuffle by stream `epoch + 1` of the seed.
fn order(count: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut stream = Stream::new(seed, (epoch as u32).wrapping_add(1));
    // Loader::new has made sure that the number of samples fits u32.
    let mut order: Vec<u32> = (0..count as u32).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, stream.below(i as u32 + 1) as usize);
    }
    order
}

/// A seed for the random numbers of an epoch's samples, each of which has a stream of its own.
fn samples_seed(seed: u64, epoch: u64) -> u64 {
    let counter = [epoch as u32, (epoch >> 32) as u32, 0, 2];
    let [a, b, ..] = philox4x32(counter, [seed as u32, (seed >> 32) as u32]);
    u64::from(a) | u64::from(b) << 32
}

/// An epoch's work, shared by its threads.
struct Work {
    data: Arc<dyn Samples>,
    order: Option<Vec<u32>>,
    seed: u64,
    size: usize,
    count: usize,
    finite: bool,
    stop: AtomicBool,
}

impl Work {
    /// Batch number `batch` of the epoch; `at` always says which sample is being had.
    fn batch(&self, batch: usize, at: &AtomicUsize) -> Result<Vec<Array>> {
        let from = batch * self.size;
        let to = self.data.len().min(from.saturating_add(self.size));
        let mut stacks = Vec::new();
        for place in from..to {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::data("loader", "nobody takes this batch any more"));
            }
            let order = self.order.as_ref();
            let i = order.map_or(Some(place), |order| order.get(place).map(|&i| i as usize));
            let i = i.ok_or_else(|| Error::internal("loader", format!("no place {place}")))?;
            at.store(i, Ordering::Relaxed);
            let wrong = |what: String| {
                let source = self.data.source(i).map(|source| format!(" ({source})"));
                Error::data("loader", format!("sample {i}{} {what}", source.unwrap_or_default()))
            };
            let mut random = Stream::new(self.seed, i as u32);
            let sample = catch_unwind(AssertUnwindSafe(|| self.data.get(i, &mut random)));
            let sample = match sample {
                Ok(Ok(sample)) => sample,
                Ok(Err(error)) => {
                    // A reader of files names them itself.
                    let (op, message) = (error.op(), error.message());
                    let text = format!("sample {i} cannot be had: {op}: {message}");
                    return Err(Error::data("loader", text));
                }
                Err(panic) => {
                    return Err(wrong(format!("made its reader panic: {}", text(&*panic))));
                }
            };
            if place == from {
                stacks = sample.iter().map(|array| array.stack(to - from)).collect();
            }
            if sample.len() != stacks.len() {
                return Err(wrong(format!(
                    "has {} arrays, those before it in the batch {}",
                    sample.len(),
                    stacks.len()
                )));
            }
            for (part, (array, stack)) in sample.iter().zip(&mut stacks).enumerate() {
                if self.finite
                    && let Some(place) = array.first_not_finite()
                {
                    return Err(wrong(format!(
                        "holds a NaN or an infinity: array {part}, number {place}; allow_not_finite() permits it"
                    )));
                }
                stack.push(array, part).map_err(wrong)?;
            }
        }
        stacks.into_iter().map(super::array::Stack::finish).collect()
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        _ => "no message",
    }
}

/// A thread that gathers every so manieth batch.
struct Worker {
    from: Receiver<Result<Vec<Array>>>,
    at: Arc<AtomicUsize>,
}

impl Worker {
    fn start(work: &Arc<Work>, first: usize, step: usize, room: usize) -> Self {
        let (to, from): (SyncSender<Result<Vec<Array>>>, _) = sync_channel(room);
        let at = Arc::new(AtomicUsize::new(0));
        let (work, now) = (work.clone(), at.clone());
        let body = move || {
            for batch in (first..work.count).step_by(step) {
                let gathered = work.batch(batch, &now);
                let failed = gathered.is_err();
                // The other end is gone when the epoch was dropped.
                if to.send(gathered).is_err() || failed {
                    return;
                }
            }
        };
        // Without a thread the other end of the channel is closed, which is reported.
        let _ = thread::Builder::new().name("wgrad-loader".to_owned()).spawn(body);
        Self { from, at }
    }
}

/// What is left of an epoch; made by [`Loader::batches`].
pub struct LoaderBatches<'l> {
    loader: &'l Loader,
    /// Whose line errors name: a `for` loop's calls of `next` have none.
    at: &'static Location<'static>,
    work: Arc<Work>,
    sources: Vec<Worker>,
    first: usize,
    /// The next to be given out.
    next: usize,
    /// On the device already: those from `next` to `asked`.
    ready: VecDeque<Result<Vec<Tensor>>>,
    /// The next to be asked for.
    asked: usize,
    ended: bool,
}

impl LoaderBatches<'_> {
    /// The next batch, gathered: `None` if it is not ready and need not be.
    fn gather(&mut self, wait: bool) -> Option<Result<Vec<Array>>> {
        let batch = self.asked;
        if self.sources.is_empty() {
            return wait.then(|| self.work.batch(batch, &AtomicUsize::new(0)));
        }
        let worker = self.sources.get((batch - self.first) % self.sources.len())?;
        let gone = || Error::data("loader", "a thread that gathers batches ended or did not start");
        if !wait {
            return match worker.from.try_recv() {
                Ok(gathered) => Some(gathered),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(Err(gone())),
            };
        }
        Some(match worker.from.recv_timeout(self.loader.timeout) {
            Ok(gathered) => gathered,
            Err(RecvTimeoutError::Disconnected) => Err(gone()),
            Err(RecvTimeoutError::Timeout) => Err(Error::data(
                "loader",
                format!(
                    "batch {batch} did not come within {:?}; its thread is at sample {}",
                    self.loader.timeout,
                    worker.at.load(Ordering::Relaxed)
                ),
            )),
        })
    }

    /// Brings one more batch to the device; false if there is none to bring now.
    fn advance(&mut self, wait: bool) -> bool {
        let failed = self.ready.back().is_some_and(Result::is_err);
        if failed || self.asked >= self.work.count {
            return false;
        }
        let Some(gathered) = self.gather(wait) else { return false };
        let device = &self.loader.device;
        let batch =
            gathered.and_then(|arrays| arrays.iter().map(|a| a.to_tensor(device)).collect());
        self.ready.push_back(batch);
        self.asked += 1;
        true
    }
}

impl Iterator for LoaderBatches<'_> {
    type Item = Result<Vec<Tensor>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.next >= self.work.count {
            self.ended = true;
            self.loader.taken.set(0);
            self.loader.epoch.set(self.loader.epoch.get() + 1);
            return None;
        }
        if self.ready.is_empty() {
            self.advance(true);
        }
        let batch = self.ready.pop_front()?.map_err(|error| error.at(self.at));
        if batch.is_err() {
            self.ended = true;
            return Some(batch);
        }
        self.next += 1;
        self.loader.taken.set(self.next as u64);
        // What follows goes to the device while it computes with this batch.
        while self.ready.len() < self.loader.ahead && self.advance(false) {}
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = if self.ended { 0 } else { self.work.count.saturating_sub(self.next) };
        (0, Some(left))
    }
}

impl Drop for LoaderBatches<'_> {
    fn drop(&mut self) {
        // Threads end at their next sample or batch; nobody waits for one that is stuck.
        self.work.stop.store(true, Ordering::Relaxed);
    }
}
