//! `Samples`: what a loader takes its batches from.

use super::{Array, Dataset};
use std::sync::Arc;
use wgrad_core::{Error, Result, philox::Stream};

/// Samples that can be had by their number, from several threads at once.
///
/// ```
/// use wgrad_core::{Result, philox::Stream};
/// use wgrad_nn::{Array, Samples};
/// struct Squares;
/// impl Samples for Squares {
///     fn len(&self) -> usize {
///         100
///     }
///     fn get(&self, i: usize, _: &mut Stream) -> Result<Vec<Array>> {
///         let x = i as f32;
///         Ok(vec![Array::f32([1], vec![x])?, Array::f32([1], vec![x * x])?])
///     }
/// }
/// ```
pub trait Samples: Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sample number `i`, as one array for each input of the training step: features and target, say. Within a
    /// batch all have the same shapes. `random` is for flips, crops and noise: its numbers depend on the
    /// loader's seed, the epoch and `i`, never on threads.
    fn get(&self, i: usize, random: &mut Stream) -> Result<Vec<Array>>;

    /// Where sample number `i` comes from, if that is more than its number: its file, which errors then name.
    fn source(&self, i: usize) -> Option<String> {
        let _ = i;
        None
    }
}

impl<S: Samples + ?Sized> Samples for Arc<S> {
    fn len(&self) -> usize {
        (**self).len()
    }
    fn get(&self, i: usize, random: &mut Stream) -> Result<Vec<Array>> {
        (**self).get(i, random)
    }
    fn source(&self, i: usize) -> Option<String> {
        (**self).source(i)
    }
}

impl<S: Samples + ?Sized> Samples for Box<S> {
    fn len(&self) -> usize {
        (**self).len()
    }
    fn get(&self, i: usize, random: &mut Stream) -> Result<Vec<Array>> {
        (**self).get(i, random)
    }
    fn source(&self, i: usize) -> Option<String> {
        (**self).source(i)
    }
}

/// Each sample (f32, in its own shape) with its label (i32, rank 0).
impl Samples for Dataset {
    fn len(&self) -> usize {
        self.len()
    }
    fn get(&self, i: usize, _: &mut Stream) -> Result<Vec<Array>> {
        let Some((sample, label)) = self.get(i) else {
            return Err(no_sample(i, self.len()));
        };
        Ok(vec![Array::f32(self.sample_shape(), sample.to_vec())?, Array::i32([], vec![label])?])
    }
}

/// Arrays whose rows belong together: row `i` of each is sample `i`.
///
/// ```
/// use wgrad_nn::{Array, Rows, Samples};
/// let x = Array::f32([3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// let y = Array::i32([3], vec![0, 1, 0])?;
/// let (train, test) = Rows::new(vec![x, y])?.split(2)?;
/// assert_eq!((train.len(), test.len()), (2, 1));
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rows(Vec<Array>);

impl Rows {
    /// Arrays with the same first size, at least one.
    #[track_caller]
    pub fn new(arrays: Vec<Array>) -> Result<Self> {
        let shapes: Vec<_> = arrays.iter().map(Array::shape).collect();
        let first = shapes.first().and_then(|shape| shape.first());
        if first.is_none() || shapes.iter().any(|shape| shape.first() != first) {
            return Err(Error::shape(
                "rows",
                format!(
                    "shapes {shapes:?}; at least one array is needed, all with the same first size"
                ),
            ));
        }
        Ok(Self(arrays))
    }

    /// The first `at` samples, and the rest.
    #[track_caller]
    pub fn split(&self, at: usize) -> Result<(Self, Self)> {
        let (mut first, mut rest) = (Vec::new(), Vec::new());
        for array in &self.0 {
            let (a, b) = array.split(at)?;
            first.push(a);
            rest.push(b);
        }
        Ok((Self(first), Self(rest)))
    }

    /// The arrays.
    pub fn arrays(&self) -> &[Array] {
        &self.0
    }
}

impl Samples for Rows {
    fn len(&self) -> usize {
        self.0.first().map_or(0, Array::rows)
    }
    fn get(&self, i: usize, _: &mut Stream) -> Result<Vec<Array>> {
        self.0.iter().map(|array| array.row(i)).collect()
    }
}

#[track_caller]
fn no_sample(i: usize, count: usize) -> Error {
    Error::data("samples", format!("there is no sample {i}; there are {count}"))
}
