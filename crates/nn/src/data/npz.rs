//! `.npz`, several `.npy` arrays in a zip file, as `numpy.savez` and `savez_compressed` write it.
//! Zip: <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>; stored and deflated entries, no zip64.

use super::Npy;
use flate2::read::DeflateDecoder;
use std::{fs::File, io::Read, path::Path};
use wgrad_core::{Error, Result};

/// No file above 4 GiB is read, since zip64 is not.
const MOST_BYTES: u64 = 1 << 32;

/// The arrays of a `.npz` file by name.
///
/// ```no_run
/// use wgrad_nn::{Npz, Rows};
/// let file = Npz::open("iris.npz")?; // np.savez("iris.npz", x=.., y=..)
/// assert_eq!(file.names(), ["x", "y"]);
/// let samples = Rows::new(vec![file.get("x")?.to_f32()?, file.get("y")?.to_i32()?])?;
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Npz {
    file: String,
    arrays: Vec<(String, Npy)>,
}

impl Npz {
    /// Reads a file with all its arrays.
    ///
    /// # Errors
    /// `Io` with the path, `Format` with path and entry for what is damaged, `Size` beyond 4 GiB.
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display().to_string();
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|f| f.take(MOST_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) => Self::from_bytes(&name, &bytes),
            Err(error) => Err(Error::io("npz", format!("{name}: {error}"))),
        }
    }

    /// Reads a file that is in memory; errors call it `name`.
    #[track_caller]
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 >= MOST_BYTES {
            return Err(Error::size("npz", format!("{name}: {MOST_BYTES} bytes or more")));
        }
        let mut arrays: Vec<(String, Npy)> = Vec::new();
        for entry in entries(name, bytes)? {
            let array = entry.array(name, bytes)?;
            let called = entry.name.strip_suffix(".npy").unwrap_or(&entry.name).to_owned();
            if arrays.iter().any(|(other, _)| *other == called) {
                return Err(damaged(name, format!("the name {called:?} is there twice")));
            }
            arrays.push((called, array));
        }
        Ok(Self { file: name.to_owned(), arrays })
    }

    /// The names of the arrays, in the file's order.
    pub fn names(&self) -> Vec<&str> {
        self.arrays.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// One array.
    #[track_caller]
    pub fn get(&self, name: &str) -> Result<&Npy> {
        match self.arrays.iter().find(|(other, _)| other == name) {
            Some((_, array)) => Ok(array),
            None => Err(Error::argument(
                "npz",
                format!("{}: there is no array {name:?}; there are {:?}", self.file, self.names()),
            )),
        }
    }
}

/// An entry as the central directory has it.
struct Entry {
    name: String,
    deflated: bool,
    sum: u32,
    packed: usize,
    size: usize,
    /// Where its local header is.
    at: usize,
}

/// The entries of the central directory.
#[track_caller]
fn entries(file: &str, bytes: &[u8]) -> Result<Vec<Entry>> {
    // It is the last thing but a comment of at most 64 KiB.
    let from = bytes.len().saturating_sub((1 << 16) + 22);
    let tail = bytes.get(from..).unwrap_or_default();
    let Some(end) = tail.windows(22).rposition(|w| w.starts_with(b"PK\x05\x06")) else {
        return Err(damaged(file, "it does not end like a zip file; is it truncated?"));
    };
    let end = from + end;
    let (Some(count), Some(size), Some(start)) =
        (u16_at(bytes, end + 10), u32_at(bytes, end + 12), u32_at(bytes, end + 16))
    else {
        return Err(damaged(file, "truncated"));
    };
    if start.checked_add(size) != Some(end) {
        return Err(damaged(file, "its directory is not where the file says (zip64 is not read)"));
    }
    let mut at = start;
    let mut entries = Vec::new();
    for number in 0..count {
        let entry = (|| {
            (bytes.get(at..at.checked_add(4)?)? == b"PK\x01\x02").then_some(())?;
            let name_length = usize::from(u16_at(bytes, at + 28)?);
            let extra = usize::from(u16_at(bytes, at + 30)?) + usize::from(u16_at(bytes, at + 32)?);
            let name = std::str::from_utf8(bytes.get(at + 46..at + 46 + name_length)?).ok()?;
            let method = u16_at(bytes, at + 10)?;
            let flags = u16_at(bytes, at + 8)?;
            let entry = Entry {
                name: name.to_owned(),
                deflated: method == 8,
                sum: u32::try_from(u32_at(bytes, at + 16)?).ok()?,
                packed: u32_at(bytes, at + 20)?,
                size: u32_at(bytes, at + 24)?,
                at: u32_at(bytes, at + 42)?,
            };
            at += 46 + name_length + extra;
            (at <= end && matches!(method, 0 | 8) && flags & 1 == 0).then_some(entry)
        })();
        match entry {
            Some(entry) => entries.push(entry),
            None => {
                return Err(damaged(
                    file,
                    format!(
                        "entry {number} of its directory is damaged, encrypted or packed in another way than stored or deflated"
                    ),
                ));
            }
        }
    }
    if at != end {
        return Err(damaged(file, "its directory has more than it says"));
    }
    Ok(entries)
}

impl Entry {
    /// Unpacks and reads the array; the sum of its bytes must be right.
    #[track_caller]
    fn array(&self, file: &str, bytes: &[u8]) -> Result<Npy> {
        let inner = format!("{file}: {:?}", self.name);
        let packed = (|| {
            (bytes.get(self.at..self.at.checked_add(4)?)? == b"PK\x03\x04").then_some(())?;
            let name = usize::from(u16_at(bytes, self.at + 26)?);
            let extra = usize::from(u16_at(bytes, self.at + 28)?);
            let from = self.at + 30 + name + extra;
            bytes.get(from..from.checked_add(self.packed)?)
        })();
        let Some(packed) = packed else {
            return Err(damaged(&inner, "its bytes are not where the directory says"));
        };
        let mut unpacked = Vec::new();
        let limit = self.size as u64 + 1;
        let read = if self.deflated {
            DeflateDecoder::new(packed).take(limit).read_to_end(&mut unpacked)
        } else {
            packed.take(limit).read_to_end(&mut unpacked)
        };
        if let Err(error) = read {
            return Err(damaged(&inner, error));
        }
        if unpacked.len() != self.size || crc32fast::hash(&unpacked) != self.sum {
            return Err(damaged(
                &inner,
                "damaged: size or checksum are not what the directory says",
            ));
        }
        Npy::from_bytes(&inner, &unpacked)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    two.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    four.try_into().ok().map(u32::from_le_bytes).map(|x| x as usize)
}

#[track_caller]
fn damaged(file: &str, what: impl std::fmt::Display) -> Error {
    Error::format("npz", format!("{file}: {what}"))
}
