//! `Batches`: a data set, a few samples at a time.

use super::Dataset;
use wgrad_core::{Device, Error, Result, Tensor, philox::Stream};

/// An iterator over a data set's batches: samples `[n, sample_len]` (f32) and labels `[n]` (i32) on a
/// device. Made by [`Dataset::batches`].
pub struct Batches<'d> {
    data: &'d Dataset,
    device: Device,
    size: usize,
    /// The samples in the order they come, where that is not their own.
    order: Option<Vec<u32>>,
    next: usize,
    /// Where to stop: the number of samples, less a partial batch that is dropped.
    end: usize,
}

impl<'d> Batches<'d> {
    #[track_caller]
    pub(super) fn new(data: &'d Dataset, size: usize, device: &Device) -> Result<Self> {
        if size == 0 {
            return Err(Error::argument("batches", "a batch of 0 samples; use at least 1"));
        }
        if data.is_empty() {
            return Err(Error::empty("batches", "the data set has no samples"));
        }
        if u32::try_from(data.len()).is_err() {
            return Err(Error::size(
                "batches",
                format!("{} samples; at most {} can be shuffled", data.len(), u32::MAX),
            ));
        }
        Ok(Self { data, device: device.clone(), size, order: None, next: 0, end: data.len() })
    }

    /// In an order that seed and epoch determine, the same on every device and machine (Fisher and
    /// Yates' shuffle, by stream `epoch + 1` of the seed).
    #[must_use]
    pub fn shuffle(mut self, seed: u64, epoch: u32) -> Self {
        let mut stream = Stream::new(seed, epoch.wrapping_add(1));
        // Batches::new has made sure that the number of samples fits u32.
        let mut order: Vec<u32> = (0..self.data.len() as u32).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, stream.below(i as u32 + 1) as usize);
        }
        self.order = Some(order);
        self
    }

    /// Without the last batch if it is smaller than the others. A batch size beyond the whole set
    /// then leaves none.
    #[must_use]
    pub fn drop_last(mut self) -> Self {
        self.end = self.data.len() - self.data.len() % self.size;
        self
    }

    fn batch(&self, from: usize, to: usize) -> Result<(Tensor, Tensor)> {
        let (count, width) = (to - from, self.data.sample_len());
        let mut samples = Vec::with_capacity(count * width);
        let mut labels = Vec::with_capacity(count);
        for i in from..to {
            let i = self.order.as_ref().map_or(i, |order| order[i] as usize);
            let (sample, label) = self
                .data
                .get(i)
                .ok_or_else(|| Error::internal("batches", format!("no sample {i}")))?;
            samples.extend_from_slice(sample);
            labels.push(label);
        }
        Ok((
            Tensor::from_vec(samples, [count, width], &self.device)?,
            Tensor::from_vec(labels, [count], &self.device)?,
        ))
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<(Tensor, Tensor)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let from = self.next;
        self.next = self.end.min(from.saturating_add(self.size));
        Some(self.batch(from, self.next))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.end.saturating_sub(self.next).div_ceil(self.size);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_core::ErrorKind;

    fn numbers(count: usize) -> Result<Dataset> {
        let labels = (0..count as i32).collect();
        Dataset::new((0..count).map(|i| i as f32).collect(), &[1], labels, count)
    }

    fn labels(batches: Batches) -> Result<Vec<Vec<i32>>> {
        batches
            .map(|batch| {
                let (x, labels) = batch?;
                let labels = labels.to_vec::<i32>()?;
                let same = x.to_vec::<f32>()?.iter().map(|&x| x as i32).eq(labels.iter().copied());
                assert!(same, "samples and labels must move together");
                Ok(labels)
            })
            .collect()
    }

    #[test]
    fn sizes() -> Result<()> {
        let (set, cpu) = (numbers(5)?, Device::cpu());
        assert_eq!(labels(set.batches(2, &cpu)?)?, [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(labels(set.batches(2, &cpu)?.drop_last())?, [[0, 1], [2, 3]]);
        assert_eq!(labels(set.batches(usize::MAX, &cpu)?)?, [[0, 1, 2, 3, 4]]);
        assert_eq!(set.batches(9, &cpu)?.drop_last().count(), 0);
        assert_eq!(set.batches(2, &cpu)?.len(), 3);
        Ok(())
    }

    #[test]
    fn nothing_to_take() -> Result<()> {
        let cpu = Device::cpu();
        let zero = numbers(5)?.batches(0, &cpu).err().map(|e| e.kind());
        assert_eq!(zero, Some(ErrorKind::Argument));
        let none = numbers(0)?.batches(2, &cpu).err().map(|e| e.kind());
        assert_eq!(none, Some(ErrorKind::Empty));
        Ok(())
    }

    #[test]
    fn shuffling_repeats_and_keeps_everything() -> Result<()> {
        let (set, cpu) = (numbers(100)?, Device::cpu());
        let order = |seed, epoch| -> Result<Vec<i32>> {
            Ok(labels(set.batches(7, &cpu)?.shuffle(seed, epoch))?.concat())
        };
        let first = order(1, 0)?;
        assert_eq!(first, order(1, 0)?);
        assert_ne!(first, order(1, 1)?);
        assert_ne!(first, order(2, 0)?);
        let mut sorted = first;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..100));
        Ok(())
    }
}
