//! The header of a safetensors file: eight bytes with its length, then JSON that names each tensor with
//! type, shape and place, then the numbers without a gap.
//! Format: <https://github.com/huggingface/safetensors>, whose crate checks places and sizes here.

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::de::{self, MapAccess, Visitor};
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    io::Read,
    panic::Location,
};
use wgrad_core::{Error, Result};

/// Bytes of a header that are read: some 50,000 tensors. The format itself allows 100 MB.
const MOST_HEADER: u64 = 8 << 20;
/// Tensors in one file.
const MOST_TENSORS: usize = 1 << 16;
/// Axes of one tensor.
const MOST_AXES: usize = 64;
/// Where the header begins.
pub(super) const START: u64 = 8;
/// The key of a checksum over header and numbers; while it is computed its digits are zeros.
pub(super) const CHECKSUM: &str = "wgrad.crc32";
/// Says that there must be a checksum: no single damage can take both away.
pub(super) const MARK: &str = "wgrad.file";
const METADATA: &str = "__metadata__";

/// One tensor of a file.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
}

impl Stored {
    /// Bytes of its numbers; the header's check has made sure that this cannot overflow.
    pub fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
}

/// What a header says.
pub(super) struct Header {
    /// In the order of their numbers in the file.
    pub tensors: Vec<Stored>,
    pub notes: BTreeMap<String, String>,
    /// Of the file so far, if the file has a checksum: what it must be, and that of the header.
    pub checksum: Option<(u32, crc32fast::Hasher)>,
}

impl Header {
    /// Reads and checks the header of a file that has `length` bytes. Nothing larger than the header is
    /// asked for, and the header must lie within the file.
    #[track_caller]
    pub fn read(op: &'static str, name: &str, from: &mut impl Read, length: u64) -> Result<Self> {
        let at = Location::caller();
        let damaged = |what: String| Error::format(op, format!("{name}: {what}")).at(at);
        let mut size = [0; START as usize];
        if length < START {
            return Err(damaged(format!(
                "truncated: {length} bytes; a safetensors file begins with {START} bytes of length"
            )));
        }
        if let Err(error) = from.read_exact(&mut size) {
            return Err(super::failed(op, name, &error));
        }
        let claimed = u64::from_le_bytes(size);
        if claimed > MOST_HEADER {
            if let Some(how) = super::hints::of_pytorch(name, &size) {
                return Err(damaged(how));
            }
            return Err(damaged(format!(
                "its header claims {claimed} bytes, of at most {MOST_HEADER}; is it a safetensors file?"
            )));
        }
        if claimed > length - START {
            return Err(damaged(format!(
                "truncated: its header claims {claimed} bytes, {} are left",
                length - START
            )));
        }
        let mut text = Vec::new();
        if let Err(error) = from.take(claimed).read_to_end(&mut text) {
            return Err(super::failed(op, name, &error));
        }
        if text.len() as u64 != claimed {
            return Err(damaged("truncated within the header".to_owned()));
        }
        if text.first() != Some(&b'{') {
            return Err(damaged("the header is no JSON object".to_owned()));
        }
        let parsed: Parsed = match serde_json::from_slice(&text) {
            Ok(parsed) => parsed,
            Err(error) => {
                return Err(damaged(format!(
                    "the header is damaged: {}",
                    super::printable(&error)
                )));
            }
        };
        let Parsed { mut tensors, notes } = parsed;
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        if let Some((name, info)) = tensors.iter().find(|(_, info)| info.shape.len() > MOST_AXES) {
            return Err(damaged(format!(
                "{} has {} axes, of at most {MOST_AXES}",
                super::shown(name),
                info.shape.len()
            )));
        }
        let listed = tensors
            .iter()
            .map(|(name, info)| Stored {
                name: name.clone(),
                dtype: info.dtype,
                shape: info.shape.clone(),
            })
            .collect();
        let checked = match Metadata::new(None, tensors) {
            Ok(checked) => checked,
            Err(error) => {
                return Err(damaged(format!("the header is damaged: {}", escaped(&error))));
            }
        };
        let data = checked.data_len() as u64;
        let left = length - START - claimed;
        if data != left {
            let what = if left < data { "truncated" } else { "bytes follow after the end" };
            return Err(damaged(format!("{what}: {left} bytes of numbers instead of {data}")));
        }
        let checksum = match notes.get(CHECKSUM) {
            None if notes.contains_key(MARK) => {
                return Err(damaged("the checksum is missing".to_owned()));
            }
            None => None,
            Some(digits) => match checksum_of(&size, &text, digits) {
                Some(checksum) => Some(checksum),
                None => return Err(damaged("the checksum is damaged".to_owned())),
            },
        };
        Ok(Self { tensors: listed, notes, checksum })
    }

    /// The first bytes of a file with these tensors and notes, with a checksum of zeros, and where the
    /// checksum's digits lie.
    #[track_caller]
    pub fn write(
        op: &'static str,
        tensors: &[Stored],
        notes: &BTreeMap<String, String>,
    ) -> Result<(Vec<u8>, u64)> {
        let count = tensors.len();
        let mut at = 0usize;
        let mut infos = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let end = at.saturating_add(tensor.bytes());
            let info = TensorInfo {
                dtype: tensor.dtype,
                shape: tensor.shape.clone(),
                data_offsets: (at, end),
            };
            infos.push((tensor.name.clone(), info));
            at = end;
        }
        // A checksum must lie at one known place, so the notes are written here and not by the crate.
        let mut all = notes.clone();
        all.insert(CHECKSUM.to_owned(), ZEROS.to_owned());
        all.insert(MARK.to_owned(), "1".to_owned());
        let at = Location::caller();
        let internal = |error: String| Error::internal(op, error).at(at);
        let checked = Metadata::new(None, infos).map_err(|error| internal(error.to_string()))?;
        let json = |error: serde_json::Error| internal(error.to_string());
        let tensors = serde_json::to_string(&checked).map_err(json)?;
        let notes = serde_json::to_string(&all).map_err(json)?;
        let rest = tensors.strip_prefix('{').unwrap_or(&tensors);
        let comma = if rest == "}" { "" } else { "," };
        let mut text = format!("{{\"{METADATA}\":{notes}{comma}{rest}");
        // The numbers begin at a multiple of 8, so that they may be used where they lie.
        while !text.len().is_multiple_of(8) {
            text.push(' ');
        }
        let length = text.len() as u64;
        if length > MOST_HEADER || count > MOST_TENSORS {
            return Err(Error::size(
                op,
                format!(
                    "{count} tensors of at most {MOST_TENSORS}, whose names and notes take {length} bytes of at most {MOST_HEADER}"
                ),
            ));
        }
        let Some(place) = place_of(text.as_bytes(), ZEROS) else {
            return Err(Error::argument(
                op,
                format!("no name or note may contain \"{CHECKSUM}\", which the file itself needs"),
            ));
        };
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        Ok((bytes, START + place as u64))
    }
}

const ZEROS: &str = "00000000";

/// Where the digits of the checksum begin: after its key, which must be there just once.
fn place_of(text: &[u8], digits: &str) -> Option<usize> {
    let key = format!("\"{CHECKSUM}\":\"");
    let pattern = format!("{key}{digits}\"");
    let mut found = text
        .windows(pattern.len())
        .enumerate()
        .filter(|(_, window)| *window == pattern.as_bytes())
        .map(|(at, _)| at + key.len());
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The checksum a file must have, and that of its beginning with zeros for the digits.
fn checksum_of(size: &[u8], text: &[u8], digits: &str) -> Option<(u32, crc32fast::Hasher)> {
    if digits.len() != ZEROS.len() {
        return None;
    }
    let want = u32::from_str_radix(digits, 16).ok()?;
    let at = place_of(text, digits)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(size);
    hasher.update(text.get(..at)?);
    hasher.update(ZEROS.as_bytes());
    hasher.update(text.get(at + ZEROS.len()..)?);
    Some((want, hasher))
}

fn escaped(error: &safetensors::SafeTensorError) -> String {
    match error {
        safetensors::SafeTensorError::InvalidOffset(name) => {
            format!("the numbers of {} lie at the wrong place", super::shown(name))
        }
        other => super::printable(other),
    }
}

/// The JSON, with every name just once.
struct Parsed {
    tensors: Vec<(String, TensorInfo)>,
    notes: BTreeMap<String, String>,
}

impl<'de> de::Deserialize<'de> for Parsed {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed, A::Error> {
        let mut tensors = Vec::new();
        let mut names = HashSet::new();
        let mut notes = None;
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                if notes.replace(map.next_value::<Notes>()?.0).is_some() {
                    return Err(de::Error::custom("the metadata are there twice"));
                }
                continue;
            }
            if tensors.len() == MOST_TENSORS {
                return Err(de::Error::custom(format_args!("more than {MOST_TENSORS} tensors")));
            }
            if !names.insert(name.clone()) {
                let text = format!("the name {} is there twice", super::shown(&name));
                return Err(de::Error::custom(text));
            }
            tensors.push((name, map.next_value()?));
        }
        Ok(Parsed { tensors, notes: notes.unwrap_or_default() })
    }
}

/// Texts by name; a name that is there twice is an error.
struct Notes(BTreeMap<String, String>);

impl<'de> de::Deserialize<'de> for Notes {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Notes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Notes, A::Error> {
                let mut notes = BTreeMap::new();
                while let Some((name, text)) = map.next_entry::<String, String>()? {
                    if notes.insert(name, text).is_some() {
                        return Err(de::Error::custom("a name in the metadata is there twice"));
                    }
                }
                Ok(Notes(notes))
            }
        }
        deserializer.deserialize_map(Texts)
    }
}
