//! `Array`: numbers with a shape in host memory, as readers give and loaders stack them.

use wgrad_core::{Device, Error, Result, Shape, Tensor};

/// Numbers of one type.
#[derive(Clone, Debug, PartialEq)]
enum Numbers {
    F32(Vec<f32>),
    I32(Vec<i32>),
}

/// Numbers (f32 or i32) with a shape, in row-major order in host memory: what a sample consists of, and what
/// readers make of files.
///
/// ```
/// use wgrad_core::Device;
/// use wgrad_nn::Array;
/// let rows = Array::f32([3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(rows.row(1)?.as_f32()?, [3.0, 4.0]);
/// assert_eq!(rows.to_tensor(&Device::cpu())?.shape(), [3, 2]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    numbers: Numbers,
}

impl Array {
    /// Floats of a shape.
    #[track_caller]
    pub fn f32(shape: impl AsRef<[usize]>, values: Vec<f32>) -> Result<Self> {
        Self::new(shape.as_ref(), values.len(), Numbers::F32(values))
    }

    /// Whole numbers of a shape: labels, indices.
    #[track_caller]
    pub fn i32(shape: impl AsRef<[usize]>, values: Vec<i32>) -> Result<Self> {
        Self::new(shape.as_ref(), values.len(), Numbers::I32(values))
    }

    #[track_caller]
    fn new(shape: &[usize], count: usize, numbers: Numbers) -> Result<Self> {
        let checked = Shape::new("array", shape)?;
        if checked.numel() != count {
            return Err(Error::shape(
                "array",
                format!("{count} numbers given, shape {shape:?} has {}", checked.numel()),
            ));
        }
        Ok(Self { shape: shape.to_vec(), numbers })
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many rows there are: the first size; an array without axes has none.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or_default()
    }

    /// How many numbers there are.
    pub fn numel(&self) -> usize {
        match &self.numbers {
            Numbers::F32(values) => values.len(),
            Numbers::I32(values) => values.len(),
        }
    }

    /// The floats; an error if it holds whole numbers.
    #[track_caller]
    pub fn as_f32(&self) -> Result<&[f32]> {
        match &self.numbers {
            Numbers::F32(values) => Ok(values),
            Numbers::I32(_) => Err(Error::dtype("array", "it holds i32, asked for f32")),
        }
    }

    /// The whole numbers; an error if it holds floats.
    #[track_caller]
    pub fn as_i32(&self) -> Result<&[i32]> {
        match &self.numbers {
            Numbers::I32(values) => Ok(values),
            Numbers::F32(_) => Err(Error::dtype("array", "it holds f32, asked for i32")),
        }
    }

    /// One row: what the first axis has at `i`.
    #[track_caller]
    pub fn row(&self, i: usize) -> Result<Array> {
        self.rows_of(&[i]).map(|mut rows| {
            rows.shape.remove(0);
            rows
        })
    }

    /// Some rows, in the given order.
    #[track_caller]
    pub fn rows_of(&self, rows: &[usize]) -> Result<Array> {
        let count = self.rows();
        if let Some(bad) = rows.iter().find(|&&row| row >= count) {
            return Err(Error::range(
                "array",
                format!("there is no row {bad}; the shape is {:?}", self.shape),
            ));
        }
        let width = self.numel() / count.max(1);
        let numbers = match &self.numbers {
            Numbers::F32(values) => Numbers::F32(picked(values, rows, width)),
            Numbers::I32(values) => Numbers::I32(picked(values, rows, width)),
        };
        let mut shape = self.shape.clone();
        if let Some(first) = shape.first_mut() {
            *first = rows.len();
        }
        Ok(Array { shape, numbers })
    }

    /// The first `at` rows, and the rest.
    #[track_caller]
    pub fn split(&self, at: usize) -> Result<(Array, Array)> {
        if at > self.rows() {
            return Err(Error::range(
                "array",
                format!("cannot split {} rows after {at}", self.rows()),
            ));
        }
        let rows: Vec<usize> = (0..self.rows()).collect();
        let (first, rest) = rows.split_at(at);
        Ok((self.rows_of(first)?, self.rows_of(rest)?))
    }

    /// The same numbers under another shape.
    #[track_caller]
    pub fn reshape(self, shape: impl AsRef<[usize]>) -> Result<Array> {
        let count = self.numel();
        Self::new(shape.as_ref(), count, self.numbers)
    }

    /// The same as a tensor on a device.
    #[track_caller]
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor> {
        match &self.numbers {
            Numbers::F32(values) => Tensor::from_vec(values, &self.shape, device),
            Numbers::I32(values) => Tensor::from_vec(values, &self.shape, device),
        }
    }

    /// Where the first NaN or infinity is.
    pub fn first_not_finite(&self) -> Option<usize> {
        match &self.numbers {
            Numbers::F32(values) => values.iter().position(|x| !x.is_finite()),
            Numbers::I32(_) => None,
        }
    }

    /// `f32` or `i32`, as errors say it.
    pub(super) fn type_name(&self) -> &'static str {
        match &self.numbers {
            Numbers::F32(_) => "f32",
            Numbers::I32(_) => "i32",
        }
    }

    /// Room for `rows` arrays like this one.
    pub(super) fn stack(&self, rows: usize) -> Stack {
        let room = self.numel().saturating_mul(rows);
        Stack {
            of: self.shape.clone(),
            rows: 0,
            numbers: match &self.numbers {
                Numbers::F32(_) => Numbers::F32(Vec::with_capacity(room)),
                Numbers::I32(_) => Numbers::I32(Vec::with_capacity(room)),
            },
        }
    }
}

fn picked<T: Copy>(values: &[T], rows: &[usize], width: usize) -> Vec<T> {
    let slices = rows.iter().filter_map(|&row| values.get(row * width..(row + 1) * width));
    slices.flatten().copied().collect()
}

/// Arrays of one shape and type, one after the other.
pub(super) struct Stack {
    of: Vec<usize>,
    rows: usize,
    numbers: Numbers,
}

impl Stack {
    /// Adds an array, which is number `part` of its sample; what is wrong with it, otherwise.
    pub fn push(&mut self, array: &Array, part: usize) -> std::result::Result<(), String> {
        if array.shape != self.of {
            return Err(format!(
                "has the shape {:?}, those before it in the batch {:?} (array {part}); a batch has one shape: resize, \
                 crop or pad samples (ImageFolder::resized does it for images), or take batches of 1",
                array.shape, self.of
            ));
        }
        match (&mut self.numbers, &array.numbers) {
            (Numbers::F32(all), Numbers::F32(new)) => all.extend_from_slice(new),
            (Numbers::I32(all), Numbers::I32(new)) => all.extend_from_slice(new),
            _ => {
                return Err(format!(
                    "is {}, those before it in the batch are not (array {part})",
                    array.type_name()
                ));
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// All of them, with a new first axis.
    #[track_caller]
    pub fn finish(self) -> Result<Array> {
        let shape = [&[self.rows], &self.of[..]].concat();
        let count = match &self.numbers {
            Numbers::F32(values) => values.len(),
            Numbers::I32(values) => values.len(),
        };
        Array::new(&shape, count, self.numbers)
    }
}
