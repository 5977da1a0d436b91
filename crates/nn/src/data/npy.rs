//! `.npy`, NumPy's file format: magic, version, a header in Python's notation, then the elements.
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use super::Array;
use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};
use wgrad_core::{Error, ErrorKind, Result};

/// No array above 4 GiB is read.
const MOST_BYTES: u64 = 1 << 32;
/// Bytes of a header that are read; NumPy itself writes some 120.
const MOST_HEADER: usize = 1 << 16;
const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// An array from a `.npy` file: floats (`f4`, `f8`) or whole numbers (`i4`, `i8`, `u1`), little-endian, in C or
/// Fortran order.
///
/// ```
/// use wgrad_nn::Npy;
/// let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
/// let mut file = b"\x93NUMPY\x01\x00".to_vec();
/// file.extend((header.len() as u16).to_le_bytes());
/// file.extend(header.as_bytes());
/// file.extend([1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()));
/// let array = Npy::from_bytes("two numbers", &file)?.to_f32()?;
/// assert_eq!(array.as_f32()?, [1.5, -2.0]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Npy {
    file: String,
    shape: Vec<usize>,
    elements: Elements,
}

/// In row-major order.
#[derive(Clone, Debug, PartialEq)]
enum Elements {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    U8(Vec<u8>),
}

impl Npy {
    /// Reads a file.
    ///
    /// # Errors
    /// `Io` with the path, `Format` with path and what is damaged or not read here, `Size` beyond 4 GiB.
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        match File::open(path) {
            Ok(file) => Self::read(name, &mut BufReader::new(file)),
            Err(error) => Err(Error::io("npy", format!("{name}: {error}"))),
        }
    }

    /// Reads a file that is in memory; errors call it `name`.
    #[track_caller]
    pub fn from_bytes(name: &str, mut bytes: &[u8]) -> Result<Self> {
        Self::read(name.to_owned(), &mut bytes)
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// As floats, f64 and i64 rounded to nearest.
    #[track_caller]
    pub fn to_f32(&self) -> Result<Array> {
        let values = match &self.elements {
            Elements::F32(values) => values.clone(),
            Elements::F64(values) => values.iter().map(|&x| x as f32).collect(),
            Elements::I32(values) => values.iter().map(|&x| x as f32).collect(),
            Elements::I64(values) => values.iter().map(|&x| x as f32).collect(),
            Elements::U8(values) => values.iter().map(|&x| f32::from(x)).collect(),
        };
        Array::f32(&self.shape, values)
    }

    /// As whole numbers. Floats are an error, and so is a number that i32 cannot hold.
    #[track_caller]
    pub fn to_i32(&self) -> Result<Array> {
        let values = match &self.elements {
            Elements::I32(values) => values.clone(),
            Elements::U8(values) => values.iter().map(|&x| i32::from(x)).collect(),
            Elements::I64(values) => {
                let narrow = values.iter().map(|&x| i32::try_from(x));
                match narrow.collect::<std::result::Result<Vec<_>, _>>() {
                    Ok(values) => values,
                    Err(_) => {
                        let bad =
                            values.iter().enumerate().find(|(_, x)| i32::try_from(**x).is_err());
                        let (at, x) = bad.map(|(at, x)| (at, *x)).unwrap_or_default();
                        return Err(damaged(
                            &self.file,
                            format!("the number {x} at position {at} does not fit i32"),
                        ));
                    }
                }
            }
            Elements::F32(_) | Elements::F64(_) => {
                return Err(Error::dtype(
                    "npy",
                    format!("{}: it holds floats; use to_f32()", self.file),
                ));
            }
        };
        Array::i32(&self.shape, values)
    }

    #[track_caller]
    pub(super) fn read(file: String, from: &mut impl Read) -> Result<Self> {
        let mut start = [0; 8];
        fill(&file, from, &mut start)?;
        let [magic @ .., major, _minor] = start;
        if magic != *MAGIC {
            return Err(damaged(
                &file,
                format!("it begins with {magic:02x?}, a .npy file with {MAGIC:02x?}"),
            ));
        }
        let length = match major {
            1 => {
                let mut bytes = [0; 2];
                fill(&file, from, &mut bytes)?;
                usize::from(u16::from_le_bytes(bytes))
            }
            2 | 3 => {
                let mut bytes = [0; 4];
                fill(&file, from, &mut bytes)?;
                u32::from_le_bytes(bytes) as usize
            }
            _ => return Err(damaged(&file, format!("version {major}; versions 1 to 3 are read"))),
        };
        if length > MOST_HEADER {
            return Err(damaged(
                &file,
                format!("its header claims {length} bytes, of at most {MOST_HEADER}"),
            ));
        }
        let mut header = vec![0; length];
        fill(&file, from, &mut header)?;
        let header = match std::str::from_utf8(&header) {
            Ok(header) => header,
            Err(_) => return Err(damaged(&file, "the header is not UTF-8")),
        };
        let Some(Header { descr, fortran, shape }) = Header::parse(header) else {
            let shown: String = header.chars().take(120).collect();
            return Err(damaged(&file, format!("the header {shown:?} is damaged")));
        };
        let size = match descr.trim_start_matches(['<', '|', '=']) {
            "f4" | "i4" => 4,
            "f8" | "i8" => 8,
            "u1" | "b1" => 1,
            _ => {
                return Err(damaged(
                    &file,
                    format!("it holds {descr:?}; little-endian f4, f8, i4, i8 and u1 are read"),
                ));
            }
        };
        let count = shape.iter().try_fold(1u64, |n, &side| n.checked_mul(side as u64));
        let bytes = count.and_then(|count| count.checked_mul(size));
        let Some(bytes) = bytes else {
            return Err(damaged(&file, format!("the sizes {shape:?} overflow")));
        };
        if bytes > MOST_BYTES {
            return Err(Error::size(
                "npy",
                format!(
                    "{file}: the sizes {shape:?} claim {bytes} bytes; at most {MOST_BYTES} are read"
                ),
            ));
        }
        // Grows with what is read, not with what the header claims.
        let mut data = Vec::new();
        if let Err(error) = from.take(bytes + 1).read_to_end(&mut data) {
            return Err(failed(&file, &error));
        }
        if data.len() as u64 != bytes {
            let what = if (data.len() as u64) < bytes { "truncated" } else { "more bytes follow" };
            return Err(damaged(
                &file,
                format!("{what}: {} of the {bytes} bytes of shape {shape:?}", data.len()),
            ));
        }
        let elements = match descr.trim_start_matches(['<', '|', '=']) {
            "f4" => Elements::F32(ordered(words(&data, f32::from_le_bytes), &shape, fortran)),
            "f8" => Elements::F64(ordered(words(&data, f64::from_le_bytes), &shape, fortran)),
            "i4" => Elements::I32(ordered(words(&data, i32::from_le_bytes), &shape, fortran)),
            "i8" => Elements::I64(ordered(words(&data, i64::from_le_bytes), &shape, fortran)),
            _ => Elements::U8(ordered(data, &shape, fortran)),
        };
        Ok(Self { file, shape, elements })
    }
}

fn words<const N: usize, T>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&word| from(word)).collect()
}

/// Elements in row-major order: in Fortran order the first axis runs fastest.
fn ordered<T: Copy>(elements: Vec<T>, shape: &[usize], fortran: bool) -> Vec<T> {
    if !fortran || shape.len() < 2 || elements.is_empty() {
        return elements;
    }
    let mut strides = vec![1; shape.len()];
    for axis in 1..shape.len() {
        strides[axis] = strides[axis - 1] * shape[axis - 1];
    }
    let mut index = vec![0; shape.len()];
    let mut out = Vec::with_capacity(elements.len());
    for _ in 0..elements.len() {
        let at: usize = index.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
        out.extend(elements.get(at).copied());
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}

/// What a header says.
struct Header<'t> {
    descr: &'t str,
    fortran: bool,
    shape: Vec<usize>,
}

impl<'t> Header<'t> {
    /// A Python dictionary with just these three keys, in any order.
    fn parse(text: &'t str) -> Option<Self> {
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = quoted(rest)?;
            let after = after.trim_start().strip_prefix(':')?.trim_start();
            rest = match key {
                "descr" => {
                    let (value, after) = quoted(after)?;
                    descr.replace(value).is_none().then_some(after)?
                }
                "fortran_order" => {
                    let yes = after.strip_prefix("True");
                    let value = yes.is_some();
                    let after = yes.or_else(|| after.strip_prefix("False"))?;
                    fortran.replace(value).is_none().then_some(after)?
                }
                "shape" => {
                    let (inside, after) = after.strip_prefix('(')?.split_once(')')?;
                    let inside = inside.trim();
                    let sides = inside.strip_suffix(',').unwrap_or(inside).split(',');
                    let sides = sides.map(|side| side.trim().trim_end_matches('L').parse().ok());
                    let sides = if inside.is_empty() {
                        Vec::new()
                    } else {
                        sides.collect::<Option<_>>()?
                    };
                    shape.replace(sides).is_none().then_some(after)?
                }
                _ => return None,
            };
            rest = rest.trim_start();
            rest = match rest.strip_prefix(',') {
                Some(rest) => rest.trim_start(),
                None if rest.is_empty() => rest,
                None => return None,
            };
        }
        Some(Self { descr: descr?, fortran: fortran?, shape: shape? })
    }
}

/// A text in quotes, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text.get(1..)?.split_once(quote)
}

#[track_caller]
fn fill(file: &str, from: &mut impl Read, into: &mut [u8]) -> Result<()> {
    match from.read_exact(into) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(damaged(file, "truncated within the header"))
        }
        Err(error) => Err(failed(file, &error)),
    }
}

#[track_caller]
fn damaged(file: &str, what: impl std::fmt::Display) -> Error {
    Error::format("npy", format!("{file}: {what}"))
}

#[track_caller]
fn failed(file: &str, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            ErrorKind::Format
        }
        io::ErrorKind::OutOfMemory => ErrorKind::Memory,
        _ => ErrorKind::Io,
    };
    Error::new(kind, "npy", format!("{file}: {error}"))
}
