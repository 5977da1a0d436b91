//! `Dataset`: samples of equal size with a label each, in host memory.

use super::{Batches, Idx};
use std::path::{Path, PathBuf};
use wgrad_core::{Device, Error, Result, Shape};

/// Samples of equal size (f32, flattened) with a label each (i32), in host memory.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::Dataset;
/// let data = Dataset::new(vec![0.0, 0.1, 1.0, 0.9, 0.5, 0.4], &[2], vec![0, 1, 1], 2)?;
/// let (train, test) = data.split(2)?;
/// assert_eq!((train.len(), test.len()), (2, 1));
/// for batch in train.batches(2, &Device::cpu())?.shuffle(7, 0) {
///     let (x, labels) = batch?;
///     assert_eq!((x.shape(), labels.shape()), (&[2, 2][..], &[2][..]));
/// }
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Dataset {
    samples: Vec<f32>,
    sample_shape: Vec<usize>,
    sample_len: usize,
    labels: Vec<i32>,
    classes: usize,
}

impl Dataset {
    /// A set of samples of `sample_shape` in row-major order, one after the other, with a label each
    /// in `0..classes`.
    #[track_caller]
    pub fn new(
        samples: Vec<f32>,
        sample_shape: &[usize],
        labels: Vec<i32>,
        classes: usize,
    ) -> Result<Self> {
        let sample_len = Shape::new("dataset", sample_shape)?.numel();
        if labels.len().checked_mul(sample_len) != Some(samples.len()) {
            return Err(Error::shape(
                "dataset",
                format!(
                    "{} numbers are not {} samples of shape {sample_shape:?}",
                    samples.len(),
                    labels.len()
                ),
            ));
        }
        let set =
            Self { samples, sample_shape: sample_shape.to_vec(), sample_len, labels, classes };
        match set.first_bad_label() {
            None => Ok(set),
            Some((at, label)) => Err(Error::index("dataset", bad_label(at, label, classes))),
        }
    }

    /// A set from IDX images `[n, ..]`, whose bytes become numbers in [0, 1], and labels `[n]`.
    #[track_caller]
    pub fn from_idx(images: &Idx, labels: &Idx, classes: usize) -> Result<Self> {
        let Some((&count, sample_shape)) = images.shape().split_first() else {
            return Err(Error::format(
                "idx",
                format!("{}: images need one axis or more, this file has none", images.name()),
            ));
        };
        if *labels.shape() != [count] {
            return Err(Error::format(
                "idx",
                format!(
                    "{} has {count} images, but {} has the shape {:?} instead of [{count}]",
                    images.name(),
                    labels.name(),
                    labels.shape()
                ),
            ));
        }
        let shape = Shape::new("idx", sample_shape)?;
        let set = Self {
            samples: images.data().iter().map(|&byte| f32::from(byte) / 255.0).collect(),
            sample_shape: sample_shape.to_vec(),
            sample_len: shape.numel(),
            labels: labels.data().iter().map(|&label| i32::from(label)).collect(),
            classes,
        };
        match set.first_bad_label() {
            None => Ok(set),
            Some((at, label)) => Err(Error::format(
                "idx",
                format!("{}: {}", labels.name(), bad_label(at, label, classes)),
            )),
        }
    }

    /// Training and test set from a folder with the four files of MNIST or anything in that format:
    /// `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    /// `t10k-labels-idx1-ubyte`, each with or without `.gz` (the one without is preferred).
    #[track_caller]
    pub fn from_folder(folder: impl AsRef<Path>, classes: usize) -> Result<(Self, Self)> {
        let folder = folder.as_ref();
        let train = Self::from_pair(folder, "train", classes)?;
        let test = Self::from_pair(folder, "t10k", classes)?;
        if train.sample_shape != test.sample_shape {
            return Err(Error::format(
                "idx",
                format!(
                    "{}: training images are {:?}, test images {:?}; they must be alike",
                    folder.display(),
                    train.sample_shape,
                    test.sample_shape
                ),
            ));
        }
        Ok((train, test))
    }

    #[track_caller]
    fn from_pair(folder: &Path, part: &str, classes: usize) -> Result<Self> {
        let images = Idx::open(find(folder, &format!("{part}-images-idx3-ubyte"))?)?;
        let labels = Idx::open(find(folder, &format!("{part}-labels-idx1-ubyte"))?)?;
        Self::from_idx(&images, &labels, classes)
    }

    /// The first `at` samples, and the rest.
    #[track_caller]
    pub fn split(mut self, at: usize) -> Result<(Self, Self)> {
        if at > self.len() {
            return Err(Error::range(
                "dataset",
                format!("cannot split {} samples after {at}", self.len()),
            ));
        }
        let rest = Self {
            samples: self.samples.split_off(at * self.sample_len),
            labels: self.labels.split_off(at),
            sample_shape: self.sample_shape.clone(),
            ..self
        };
        Ok((self, rest))
    }

    /// Batches of `size` samples on `device`, in order; the last one may be smaller. A size of 0 or a
    /// set without samples is an error; a size beyond the whole set gives one batch.
    #[track_caller]
    pub fn batches(&self, size: usize, device: &Device) -> Result<Batches<'_>> {
        Batches::new(self, size, device)
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Sizes of one sample before flattening, for example `[28, 28]`.
    pub fn sample_shape(&self) -> &[usize] {
        &self.sample_shape
    }

    /// Numbers in one sample.
    pub fn sample_len(&self) -> usize {
        self.sample_len
    }

    /// Number of classes; labels lie in `0..classes`.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// One sample with its label.
    pub fn get(&self, i: usize) -> Option<(&[f32], i32)> {
        let label = *self.labels.get(i)?;
        let from = i * self.sample_len;
        Some((self.samples.get(from..from + self.sample_len)?, label))
    }

    fn first_bad_label(&self) -> Option<(usize, i32)> {
        let bad = |label: i32| usize::try_from(label).map_or(true, |label| label >= self.classes);
        self.labels.iter().copied().enumerate().find(|&(_, label)| bad(label))
    }
}

fn bad_label(at: usize, label: i32, classes: usize) -> String {
    format!("label {label} at position {at} lies outside 0..{classes}")
}

/// A file of this name, or of this name and `.gz`.
#[track_caller]
fn find(folder: &Path, name: &str) -> Result<PathBuf> {
    let plain = folder.join(name);
    let packed = folder.join(format!("{name}.gz"));
    for path in [&plain, &packed] {
        if path.exists() {
            return Ok(path.clone());
        }
    }
    Err(Error::io("idx", format!("neither {} nor {} exists", plain.display(), packed.display())))
}

impl std::fmt::Debug for Dataset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dataset({} x {:?}, {} classes)", self.len(), self.sample_shape, self.classes)
    }
}
