//! IDX, the file format of MNIST: a header in big-endian order (two zero bytes, element type, rank,
//! one u32 per axis), then the elements.

use flate2::bufread::MultiGzDecoder;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};
use wgrad_core::{Error, ErrorKind, Result};

/// An array of bytes of any rank, as an IDX file holds it.
///
/// ```
/// use wgrad_nn::Idx;
/// // a 2x3 array of unsigned bytes
/// let file = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6];
/// let idx = Idx::from_bytes("example", &file)?;
/// assert_eq!((idx.shape(), idx.data()), (&[2, 3][..], &[1, 2, 3, 4, 5, 6][..]));
/// assert!(Idx::from_bytes("damaged", &file[..17]).is_err());
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Idx {
    name: String,
    shape: Vec<usize>,
    data: Vec<u8>,
}

/// No file may unpack to more than 2 GiB, 45 times MNIST: gzip makes a thousand bytes of one, so a
/// small file could otherwise fill any memory.
const MOST_BYTES: usize = 1 << 31;

impl Idx {
    /// Reads a file, gzip-compressed or not. A file that cannot be read is an error of kind `Io`, a
    /// damaged one of kind `Format`, one that unpacks to more than 2 GiB of kind `Size`; the text
    /// names the file.
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        match File::open(path) {
            Ok(file) => Self::read(name, BufReader::new(file)),
            Err(error) => Err(Error::io("idx", format!("{name}: {error}"))),
        }
    }

    /// Reads a file that is in memory, gzip-compressed or not; errors call it `name`.
    #[track_caller]
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        Self::read(name.to_owned(), bytes)
    }

    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements in row-major order.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// What errors call it: its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    #[track_caller]
    fn read(name: String, mut from: impl BufRead) -> Result<Self> {
        let start = match from.fill_buf() {
            Ok(start) => start,
            Err(error) => return Err(failure(&name, &error)),
        };
        // No IDX file begins like a gzip file, so the contents say which it is.
        if start.starts_with(&[0x1f, 0x8b]) {
            Self::unpacked(name, MultiGzDecoder::new(from))
        } else {
            Self::unpacked(name, from)
        }
    }

    #[track_caller]
    fn unpacked(name: String, mut from: impl Read) -> Result<Self> {
        let mut start = [0; 4];
        fill(&name, &mut from, &mut start)?;
        let [0, 0, element, rank] = start else {
            return Err(damaged(
                &name,
                format!("it begins with {start:02x?}, an IDX file with [00, 00, type, rank]"),
            ));
        };
        match element {
            0x08 => {}
            0x09 => return Err(other_type(&name, "i8")),
            0x0b => return Err(other_type(&name, "i16")),
            0x0c => return Err(other_type(&name, "i32")),
            0x0d => return Err(other_type(&name, "f32")),
            0x0e => return Err(other_type(&name, "f64")),
            _ => {
                return Err(damaged(
                    &name,
                    format!("the element type {element:#04x} does not exist"),
                ));
            }
        }
        let mut shape = Vec::new();
        for _ in 0..rank {
            let mut size = [0; 4];
            fill(&name, &mut from, &mut size)?;
            shape.push(u32::from_be_bytes(size) as usize);
        }
        let Some(count) = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)) else {
            return Err(damaged(&name, format!("the sizes {shape:?} overflow")));
        };
        if count > MOST_BYTES {
            return Err(Error::size(
                "idx",
                format!(
                    "{name}: the sizes {shape:?} claim {count} bytes; at most {MOST_BYTES} are read"
                ),
            ));
        }
        // The vector grows with what is read, not with what the header claims. One byte beyond is
        // asked for, which also makes gzip check its sum.
        let mut data = Vec::new();
        if let Err(error) = from.take(count as u64 + 1).read_to_end(&mut data) {
            return Err(failure(&name, &error));
        }
        match data.len() {
            got if got > count => Err(damaged(
                &name,
                format!("more bytes follow than the {count} of shape {shape:?}"),
            )),
            got if got < count => Err(damaged(
                &name,
                format!("truncated: {got} of the {count} bytes of shape {shape:?}"),
            )),
            _ => Ok(Self { name, shape, data }),
        }
    }
}

impl std::fmt::Debug for Idx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Idx({}, {:?})", self.name, self.shape)
    }
}

#[track_caller]
fn fill(name: &str, from: &mut impl Read, into: &mut [u8]) -> Result<()> {
    match from.read_exact(into) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(damaged(name, "truncated within the header"))
        }
        Err(error) => Err(failure(name, &error)),
    }
}

#[track_caller]
fn damaged(name: &str, what: impl std::fmt::Display) -> Error {
    Error::format("idx", format!("{name}: {what}"))
}

#[track_caller]
fn other_type(name: &str, element: &str) -> Error {
    damaged(name, format!("it holds {element}; only unsigned bytes (u8), as in MNIST, are read"))
}

/// An error of the system, or of gzip where it blames the data.
#[track_caller]
fn failure(name: &str, error: &io::Error) -> Error {
    let (kind, what) = match error.kind() {
        io::ErrorKind::UnexpectedEof => (ErrorKind::Format, "truncated gzip data: "),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            (ErrorKind::Format, "damaged gzip data: ")
        }
        io::ErrorKind::OutOfMemory => (ErrorKind::Memory, ""),
        _ => (ErrorKind::Io, ""),
    };
    Error::new(kind, "idx", format!("{name}: {what}{error}"))
}
