//! `Embedding`: a vector for each of many things.

use crate::{Init, Layer, Parameter};
use wgrad_core::{Error, Result, Tensor};

/// A table of vectors, looked up by index: indices `[..]` (i32 or u32) become `[.., size]`. The weight
/// `[count, size]` starts normally distributed with mean 0 and deviation 1, PyTorch's default. Equal indices add
/// up in the gradient, always in the same order.
///
/// An index outside `0..count` is an error with its value and position: at once on the CPU, on a GPU at the next
/// read or sync, before any optimizer has used what came of it.
///
/// ```
/// use wgrad_core::{Device, Tensor};
/// use wgrad_nn::{Embedding, Init, Layer, Module};
/// let cpu = Device::cpu();
/// let words = Embedding::new(100, 16, &mut Init::new(1))?.on(&cpu)?;
/// let index = Tensor::from_vec([7i32, 7, 99], [3], &cpu)?;
/// assert_eq!(words.forward(&index)?.shape(), [3, 16]);
/// assert_eq!(words.names(), ["weight"]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Embedding {
    /// `[count, size]`
    pub weight: Parameter,
    padding: Option<usize>,
}
crate::module!(Embedding { weight });

impl Embedding {
    /// A table for indices `0..count`; `size` is not 0.
    #[track_caller]
    pub fn new(count: usize, size: usize, init: &mut Init) -> Result<Self> {
        Self::check(size)?;
        Ok(Self { weight: init.normal(&[count, size], 0.0, 1.0)?, padding: None })
    }

    /// A table in which `padding` stands for nothing: it gives zeros and learns nothing.
    ///
    /// ```
    /// use wgrad_core::{Device, Tensor};
    /// use wgrad_nn::{Embedding, Init, Layer, Module};
    /// let cpu = Device::cpu();
    /// let words = Embedding::with_padding(10, 3, 0, &mut Init::new(1))?.on(&cpu)?;
    /// let rows = words.forward(&Tensor::from_vec([4i32, 0], [2], &cpu)?)?;
    /// assert_eq!(rows.slice(0, 1..2)?.to_vec::<f32>()?, [0.0; 3]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn with_padding(
        count: usize,
        size: usize,
        padding: usize,
        init: &mut Init,
    ) -> Result<Self> {
        Self::check(size)?;
        if padding >= count {
            return Err(Error::argument(
                "embedding",
                format!("padding index {padding} lies outside 0..{count}"),
            ));
        }
        let mut values = init.normal(&[count, size], 0.0, 1.0)?.take_first();
        values.iter_mut().skip(padding * size).take(size).for_each(|x| *x = 0.0);
        Ok(Self { weight: Parameter::new(&[count, size], values)?, padding: Some(padding) })
    }

    #[track_caller]
    fn check(size: usize) -> Result<()> {
        if size > 0 {
            return Ok(());
        }
        Err(Error::argument("embedding", "vectors of size 0; the smallest size is 1"))
    }
}

impl Layer for Embedding {
    fn forward(&self, index: &Tensor) -> Result<Tensor> {
        let rows = self.weight.tensor()?.gather(index)?;
        match self.padding {
            Some(padding) => rows.mask(&index.try_ne(padding as f64)?.unsqueeze(-1)?),
            None => Ok(rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Module;
    use wgrad_core::{Device, ErrorKind};

    #[test]
    fn first_values_are_normal_and_repeat() -> Result<()> {
        let values = |seed| -> Result<Vec<f32>> {
            let layer = Embedding::new(500, 40, &mut Init::new(seed))?.on(&Device::cpu())?;
            layer.weight.tensor()?.to_vec()
        };
        let a = values(3)?;
        assert_eq!(a, values(3)?);
        assert_ne!(a, values(4)?);
        let mean = a.iter().map(|&x| f64::from(x)).sum::<f64>() / 20_000.0;
        let square = a.iter().map(|&x| f64::from(x * x)).sum::<f64>() / 20_000.0;
        // Five standard errors: 5/√20000 and 5·√(2/20000).
        assert!(mean.abs() < 0.036 && (square - 1.0).abs() < 0.05, "{mean} {square}");
        Ok(())
    }

    #[test]
    fn padding_learns_nothing_and_equal_indices_add_up() -> Result<()> {
        let cpu = Device::cpu();
        let layer = Embedding::with_padding(4, 2, 1, &mut Init::new(0))?.on(&cpu)?;
        let index = Tensor::from_vec([3u32, 1, 3, 3, 1], [5], &cpu)?;
        let gradients = layer.forward(&index)?.sum_all()?.backward()?;
        let weight = layer.weight.tensor()?;
        let want = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 3.0];
        assert_eq!(gradients.wrt(weight)?.to_vec::<f32>()?, want);
        assert_eq!(weight.slice(0, 1..2)?.to_vec::<f32>()?, [0.0, 0.0]);
        Ok(())
    }

    #[test]
    fn bad_arguments() -> Result<()> {
        let cpu = Device::cpu();
        let kind = |e: Option<Error>| e.map(|e| e.kind());
        let mut init = Init::new(0);
        assert_eq!(kind(Embedding::new(3, 0, &mut init).err()), Some(ErrorKind::Argument));
        let padding = Embedding::with_padding(3, 2, 3, &mut init);
        assert_eq!(kind(padding.err()), Some(ErrorKind::Argument));
        assert_eq!(kind(Embedding::new(1 << 60, 1 << 60, &mut init).err()), Some(ErrorKind::Size));
        let layer = Embedding::new(5, 2, &mut init)?.on(&cpu)?;
        for bad in [5, -1, i32::MIN, 2_000_000_000] {
            let error = layer.forward(&Tensor::from_vec([0, bad], [2], &cpu)?).err();
            let text = error.as_ref().map(Error::to_string).unwrap_or_default();
            assert!(text.contains(&format!("index {bad} at position 1")), "{text}");
            assert_eq!(kind(error), Some(ErrorKind::Index));
        }
        let float = Tensor::from_vec([f32::NAN], [1], &cpu)?;
        assert_eq!(kind(layer.forward(&float).err()), Some(ErrorKind::DType));
        let none = Tensor::from_vec([0i32; 0], [0], &cpu)?;
        assert_eq!(layer.forward(&none)?.shape(), [0, 2]);
        let empty = Embedding::new(0, 2, &mut init)?.on(&cpu)?;
        assert_eq!(empty.forward(&none)?.shape(), [0, 2]);
        Ok(())
    }
}
