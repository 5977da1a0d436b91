//! What is saved: handles with names, through which values are read and, after all is checked, written.

use super::{
    header::{CHECKSUM, Header, MARK, Stored},
    hints::{self, Purpose},
    replace::{Disk, Replacement},
    shown,
};
use crate::{Count, Module, Real, State, StateEntry, StateVisitor};
use half::{bf16, f16};
use safetensors::tensor::Dtype;
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    fs::File,
    io::{BufReader, Read},
    panic::Location,
    path::Path,
};
use wgrad_core::{DType, Device, Element, Error, ErrorKind, READ_TIMEOUT, Result, Tensor};

/// Something to save under a name.
#[derive(Clone)]
pub(super) struct Entry {
    pub name: String,
    pub handle: Handle,
}

#[derive(Clone)]
pub(super) enum Handle {
    Tensor(Tensor),
    Count(Count),
    Real(Real),
    /// Where a device's random numbers stand.
    Random(Device),
    /// Not restored, but compared.
    Setting(u64),
}

/// The entries of a module: its parameters and buffers.
#[track_caller]
pub(super) fn of_module<M: Module + ?Sized>(path: &str, module: &M) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let name = |name: String| if path.is_empty() { name } else { format!("{path}.{name}") };
    for (part, parameter) in module.named_parameters() {
        let handle = Handle::Tensor(parameter.tensor()?.clone());
        entries.push(Entry { name: name(part), handle });
    }
    for (part, buffer) in module.named_buffers() {
        let handle = Handle::Tensor(buffer.tensor()?.clone());
        entries.push(Entry { name: name(part), handle });
    }
    Ok(entries)
}

/// The entries of a state.
pub(super) fn of_state<S: State + ?Sized>(path: &str, state: &S) -> Vec<Entry> {
    let pieces = StateVisitor::over(state).into_iter();
    let entries = pieces.map(|(name, piece)| Entry {
        name: format!("{path}.{name}"),
        handle: match piece {
            StateEntry::Tensor(tensor) => Handle::Tensor(tensor),
            StateEntry::Count(count) => Handle::Count(count),
            StateEntry::Real(real) => Handle::Real(real),
            StateEntry::Setting(value) => Handle::Setting(value),
        },
    });
    entries.collect()
}

impl Entry {
    /// How it lies in a file; `None` for a setting, which is a note.
    fn stored(&self) -> Option<Stored> {
        let (dtype, shape) = match &self.handle {
            Handle::Tensor(tensor) => (in_file(tensor.dtype()), tensor.shape().to_vec()),
            Handle::Count(_) => (Dtype::U64, Vec::new()),
            Handle::Real(_) => (Dtype::F64, Vec::new()),
            Handle::Random(_) => (Dtype::U32, vec![4]),
            Handle::Setting(_) => return None,
        };
        Some(Stored { name: self.name.clone(), dtype, shape })
    }
}

fn in_file(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::F64 => Dtype::F64,
        DType::I32 => Dtype::I32,
        DType::U32 => Dtype::U32,
        DType::Bool => Dtype::BOOL,
    }
}

/// An error if two entries have one name.
#[track_caller]
pub(super) fn distinct(op: &'static str, entries: &[Entry]) -> Result<()> {
    let mut names = HashSet::new();
    for entry in entries {
        if !names.insert(entry.name.as_str()) {
            return Err(Error::argument(
                op,
                format!("the name {} is given twice; give each part its own", shown(&entry.name)),
            ));
        }
    }
    Ok(())
}

// ---- saving ------------------------------------------------------------------------------------

const SETTING: &str = "wgrad.setting.";
/// Reads that are under way while one is written.
const READS_AHEAD: usize = 8;
/// Bytes written at once.
const PIECE: usize = 1 << 20;

/// Writes all entries and notes to a file that replaces the one at `path`.
#[track_caller]
pub(super) fn save(
    op: &'static str,
    path: &Path,
    entries: &[Entry],
    notes: &BTreeMap<String, String>,
    disk: &mut dyn Disk,
) -> Result<()> {
    distinct(op, entries)?;
    let mut notes = notes.clone();
    let mut listed = Vec::new();
    for entry in entries {
        match (entry.stored(), &entry.handle) {
            (Some(stored), handle) => listed.push((stored, handle)),
            (None, Handle::Setting(value)) => {
                notes.insert(format!("{SETTING}{}", entry.name), value.to_string());
            }
            (None, _) => return Err(Error::internal(op, "an entry without place")),
        }
    }
    // Wide types first, so that all numbers lie at a multiple of their size.
    listed.sort_by(|(a, _), (b, _)| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
    let (tensors, handles): (Vec<_>, Vec<_>) = listed.into_iter().unzip();
    let (start, digits) = Header::write(op, &tensors, &notes)?;

    let file = path.display().to_string();
    let at = Location::caller();
    let io = |error: std::io::Error| super::failed(op, &file, &error).at(at);
    let mut out = Replacement::begin(path, disk).map_err(io)?;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&start);
    out.write(&start).map_err(io)?;
    let mut handles = handles.into_iter();
    let mut ahead = VecDeque::new();
    loop {
        while ahead.len() < READS_AHEAD {
            match handles.next() {
                Some(handle) => ahead.push_back(begin(handle)?),
                None => break,
            }
        }
        let Some(read) = ahead.pop_front() else { break };
        let bytes = read.wait()?;
        for piece in bytes.chunks(PIECE) {
            sum.update(piece);
            out.write(piece).map_err(io)?;
        }
    }
    out.seek(digits).map_err(io)?;
    out.write(format!("{:08x}", sum.finalize()).as_bytes()).map_err(io)?;
    out.finish().map_err(io)
}

/// Bytes on their way from a device.
enum Reading {
    Here(Vec<u8>),
    F32(wgrad_core::Read<f32>),
    F16(wgrad_core::Read<f16>),
    F64(wgrad_core::Read<f64>),
    I32(wgrad_core::Read<i32>),
    U32(wgrad_core::Read<u32>),
    Bool(wgrad_core::Read<bool>),
}

#[track_caller]
fn begin(handle: &Handle) -> Result<Reading> {
    Ok(match handle {
        Handle::Tensor(tensor) => match tensor.dtype() {
            DType::F32 => Reading::F32(tensor.read()?),
            DType::F16 => Reading::F16(tensor.read()?),
            DType::F64 => Reading::F64(tensor.read()?),
            DType::I32 => Reading::I32(tensor.read()?),
            DType::U32 => Reading::U32(tensor.read()?),
            DType::Bool => Reading::Bool(tensor.read()?),
        },
        Handle::Count(count) => Reading::Here(count.get().to_le_bytes().to_vec()),
        Handle::Real(real) => Reading::Here(real.get().to_le_bytes().to_vec()),
        Handle::Random(device) => {
            Reading::Here(device.random_state()?.iter().flat_map(|x| x.to_le_bytes()).collect())
        }
        Handle::Setting(_) => Reading::Here(Vec::new()),
    })
}

impl Reading {
    /// The bytes, little-endian whatever the host is.
    #[track_caller]
    fn wait(self) -> Result<Vec<u8>> {
        macro_rules! bytes {
            ($read:expr, $x:ident => $bytes:expr) => {
                $read.wait(READ_TIMEOUT)?.into_iter().flat_map(|$x| $bytes).collect()
            };
        }
        Ok(match self {
            Reading::Here(bytes) => bytes,
            Reading::F32(read) => bytes!(read, x => x.to_le_bytes()),
            Reading::F16(read) => bytes!(read, x => x.to_le_bytes()),
            Reading::F64(read) => bytes!(read, x => x.to_le_bytes()),
            Reading::I32(read) => bytes!(read, x => x.to_le_bytes()),
            Reading::U32(read) => bytes!(read, x => x.to_le_bytes()),
            Reading::Bool(read) => bytes!(read, x => [u8::from(x)]),
        })
    }
}

// ---- loading -----------------------------------------------------------------------------------

/// What loading found beside the values themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    pub(super) notes: BTreeMap<String, String>,
    pub(super) not_finite: Vec<String>,
}

impl Loaded {
    /// A note that was saved with the values.
    pub fn note(&self, name: &str) -> Option<&str> {
        self.notes.get(name).map(String::as_str)
    }

    /// All notes in the file, by name.
    pub fn notes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.notes.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The names of the tensors that hold a NaN or an infinity. They are loaded all the same.
    pub fn not_finite(&self) -> &[String] {
        &self.not_finite
    }
}

/// Whether notes are those of a file that may be loaded; what is wrong, otherwise.
pub(super) type Check = fn(&BTreeMap<String, String>) -> Result<(), String>;

/// How to load.
pub(super) struct How<'a> {
    pub op: &'static str,
    pub purpose: Purpose,
    /// Float types other than the entry's are rounded or widened.
    pub convert: bool,
    /// Only what lies under this name, which the entries' names lack.
    pub part: &'a str,
    /// Names in the file, without the part's, that nobody wants.
    pub ignore: &'a dyn Fn(&str) -> bool,
    /// Looks at the notes before anything is compared.
    pub check: Check,
}

/// A value that is ready to be written.
enum Value<'a> {
    Tensor(&'a Tensor, Tensor),
    Count(&'a Count, u64),
    Real(&'a Real, f64),
    Random(&'a Device, [u32; 4]),
}

/// Reads a file into the entries: all or nothing. Every name, shape and type is compared first, then all
/// numbers are brought to their devices and their checksum is compared, and only then is anything changed.
#[track_caller]
pub(super) fn load(path: &Path, entries: &[Entry], how: &How) -> Result<Loaded> {
    let op = how.op;
    distinct(op, entries)?;
    let file = path.display().to_string();
    let at = Location::caller();
    let io = |error: std::io::Error| super::failed(op, &file, &error).at(at);
    let opened = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::io(op, format!("{file}: {}", hints::missing(path, how.purpose))));
        }
        opened => opened.map_err(io)?,
    };
    let about = opened.metadata().map_err(io)?;
    if !about.is_file() {
        return Err(Error::io(op, format!("{file}: this is no file")));
    }
    let mut from = BufReader::new(opened);
    let header = Header::read(op, &file, &mut from, about.len())?;
    if let Err(what) = (how.check)(&header.notes) {
        return Err(Error::mismatch(op, format!("{file}: {what}")));
    }
    compare(&file, &header, entries, how)?;

    let by_name: HashMap<&str, &Entry> = entries.iter().map(|e| (e.name.as_str(), e)).collect();
    let Header { tensors, mut notes, mut checksum } = header;
    let mut values = Vec::with_capacity(entries.len());
    let mut not_finite = Vec::new();
    for stored in &tensors {
        let entry = stored.name.strip_prefix(how.part).and_then(|name| by_name.get(name));
        let mut bytes = Vec::new();
        let mut left = stored.bytes();
        while left > 0 {
            // Grows with what is read; what nobody wants only passes through.
            if entry.is_none() {
                bytes.clear();
            }
            let (before, piece) = (bytes.len(), left.min(PIECE));
            (&mut from).take(piece as u64).read_to_end(&mut bytes).map_err(io)?;
            let new = bytes.get(before..).unwrap_or_default();
            if new.len() != piece {
                return Err(Error::format(op, format!("{file}: truncated while it was read")));
            }
            if let Some((_, sum)) = &mut checksum {
                sum.update(new);
            }
            left -= piece;
        }
        let Some(entry) = entry else { continue };
        let (value, finite) = value(op, &entry.handle, stored, &bytes)?;
        values.extend(value);
        if !finite {
            not_finite.push(entry.name.clone());
        }
    }
    if let Some((want, sum)) = checksum {
        let got = sum.finalize();
        if got != want {
            return Err(Error::format(
                op,
                format!(
                    "{file}: damaged: its checksum is {got:08x} instead of {want:08x}; nothing was loaded"
                ),
            ));
        }
    }
    // A fault that is pending on a device would make it ignore the writes: it is reported first.
    for value in &values {
        if let Value::Tensor(tensor, _) = value {
            tensor.device().sync()?;
        }
    }
    for value in values {
        match value {
            Value::Tensor(to, from) => to.assign(&from)?,
            Value::Count(to, from) => to.set(from),
            Value::Real(to, from) => to.set(from),
            Value::Random(to, from) => to.set_random_state(from)?,
        }
    }
    notes.retain(|name, _| !name.starts_with(SETTING) && name != CHECKSUM && name != MARK);
    Ok(Loaded { notes, not_finite })
}

/// An error that lists every difference between a file and the entries.
#[track_caller]
fn compare(file: &str, header: &Header, entries: &[Entry], how: &How) -> Result<()> {
    let found: HashMap<&str, &Stored> = header
        .tensors
        .iter()
        .filter_map(|stored| Some((stored.name.strip_prefix(how.part)?, stored)))
        .collect();
    let mut differences = Vec::new();
    let mut types_only = true;
    let mut convertible = false;
    let mut another_rule = false;
    let mut wanted = HashSet::new();
    let mut settings = HashSet::new();
    for entry in entries {
        let name = shown(&entry.name);
        if let Handle::Setting(here) = entry.handle {
            settings.insert(entry.name.as_str());
            let text = header.notes.get(&format!("{SETTING}{}{}", how.part, entry.name));
            match text.map(|text| (text, text.parse::<u64>())) {
                Some((_, Ok(there))) if there == here => continue,
                Some((text, there)) => {
                    let rule = |value| hints::rule(&entry.name, value);
                    let rules = (there.ok().and_then(rule), rule(here));
                    differences.push(match rules {
                        (Some(there), Some(here)) => {
                            another_rule = true;
                            format!("{name} is {there} in the file, {here} here")
                        }
                        _ => {
                            format!("{name} is {} in the file, {here} here", super::printable(text))
                        }
                    });
                }
                None => differences.push(format!("{name} is not in the file")),
            }
            types_only = false;
            continue;
        }
        let Some(want) = entry.stored() else { continue };
        wanted.insert(entry.name.as_str());
        let Some(stored) = found.get(entry.name.as_str()) else {
            types_only = false;
            differences.push(format!("{name} {} {:?} is not in the file", want.dtype, want.shape));
            continue;
        };
        if stored.shape != want.shape {
            types_only = false;
            differences.push(format!(
                "{name} has the shape {:?} in the file, {:?} here",
                stored.shape, want.shape
            ));
        }
        if stored.dtype != want.dtype {
            let both_float = is_float(stored.dtype) && is_float(want.dtype);
            if how.convert && both_float {
                continue;
            }
            convertible |= both_float;
            differences
                .push(format!("{name} is {} in the file, {} here", stored.dtype, want.dtype));
        }
    }
    // What is too much in a file is listed in the file's order.
    for stored in &header.tensors {
        if let Some(name) = stored.name.strip_prefix(how.part)
            && !wanted.contains(name)
            && !(how.ignore)(name)
        {
            types_only = false;
            differences.push(format!(
                "{} {} {:?} is only in the file",
                shown(name),
                stored.dtype,
                stored.shape
            ));
        }
    }
    // So are settings, where there are any here: those of a whole run are nothing to who loads weights.
    for (name, value) in &header.notes {
        if let Some(name) = name.strip_prefix(SETTING).and_then(|name| name.strip_prefix(how.part))
            && !settings.is_empty()
            && !settings.contains(name)
        {
            types_only = false;
            differences.push(format!(
                "{} is {} in the file and not set here",
                shown(name),
                super::printable(value)
            ));
        }
    }
    if differences.is_empty() {
        return Ok(());
    }
    let kind = if types_only { ErrorKind::DType } else { ErrorKind::Mismatch };
    let count = differences.len();
    let plural = if count == 1 { "" } else { "s" };
    let mut hints = Vec::new();
    if convertible {
        hints.push("float types are converted only if asked for (`convert()`)".to_owned());
    }
    if how.purpose == Purpose::Weights {
        let names: Vec<&str> = header.tensors.iter().map(|stored| stored.name.as_str()).collect();
        hints.extend(hints::part(&names, how.part, &wanted));
    }
    if another_rule {
        hints.push(hints::ANOTHER_RULE.to_owned());
    }
    let hints: String = hints.iter().map(|hint| format!("; {hint}")).collect();
    Err(Error::new(
        kind,
        how.op,
        format!(
            "{file}: {count} difference{plural}, nothing was loaded{hints}:\n  {}",
            differences.join("\n  ")
        ),
    ))
}

fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
}

/// The value for an entry from its bytes, and whether all of it is finite.
#[track_caller]
fn value<'a>(
    op: &'static str,
    handle: &'a Handle,
    stored: &Stored,
    bytes: &[u8],
) -> Result<(Option<Value<'a>>, bool)> {
    let at = Location::caller();
    let internal =
        || Error::internal(op, format!("{} bytes of {}", bytes.len(), stored.dtype)).at(at);
    Ok(match handle {
        Handle::Count(count) => {
            let value = one(bytes).map(u64::from_le_bytes).ok_or_else(internal)?;
            (Some(Value::Count(count, value)), true)
        }
        Handle::Real(real) => {
            let value = one(bytes).map(f64::from_le_bytes).ok_or_else(internal)?;
            (Some(Value::Real(real, value)), true)
        }
        Handle::Random(device) => match words(bytes, u32::from_le_bytes)[..] {
            [a, b, c, d] => (Some(Value::Random(device, [a, b, c, d])), true),
            _ => return Err(internal()),
        },
        Handle::Setting(_) => (None, true),
        Handle::Tensor(to) => {
            let (from, finite) = match to.dtype() {
                // Of one type: to the bit, NaNs too.
                DType::F32 if stored.dtype == Dtype::F32 => {
                    exact(to, words(bytes, f32::from_le_bytes), |x| x.is_finite())?
                }
                DType::F64 if stored.dtype == Dtype::F64 => {
                    exact(to, words(bytes, f64::from_le_bytes), |x| x.is_finite())?
                }
                DType::F16 if stored.dtype == Dtype::F16 => {
                    exact(to, words(bytes, f16::from_le_bytes), |x| x.is_finite())?
                }
                DType::F32 => floats(op, to, stored.dtype, bytes, |x| x as f32)?,
                DType::F64 => floats(op, to, stored.dtype, bytes, |x| x)?,
                DType::F16 => floats(op, to, stored.dtype, bytes, f16::from_f64)?,
                DType::I32 => (made(to, words(bytes, i32::from_le_bytes))?, true),
                DType::U32 => (made(to, words(bytes, u32::from_le_bytes))?, true),
                DType::Bool => (made(to, bytes.iter().map(|&b| b != 0).collect())?, true),
            };
            (Some(Value::Tensor(to, from)), finite)
        }
    })
}

#[track_caller]
fn made<T: Element>(like: &Tensor, values: Vec<T>) -> Result<Tensor> {
    Tensor::from_vec(values, like.shape(), like.device())
}

#[track_caller]
fn exact<T: Element>(
    like: &Tensor,
    values: Vec<T>,
    finite: impl Fn(&T) -> bool,
) -> Result<(Tensor, bool)> {
    let finite = values.iter().all(finite);
    Ok((made(like, values)?, finite))
}

/// Floats of another type as those of a tensor, rounded once.
#[track_caller]
fn floats<T: Element>(
    op: &'static str,
    like: &Tensor,
    dtype: Dtype,
    bytes: &[u8],
    narrow: impl Fn(f64) -> T,
) -> Result<(Tensor, bool)> {
    let wide: Vec<f64> = match dtype {
        Dtype::F32 => words(bytes, |word| f64::from(f32::from_le_bytes(word))),
        Dtype::F16 => words(bytes, |word| f16::from_le_bytes(word).to_f64()),
        Dtype::BF16 => words(bytes, |word| bf16::from_le_bytes(word).to_f64()),
        Dtype::F64 => words(bytes, f64::from_le_bytes),
        other => return Err(Error::internal(op, format!("{other} as floats"))),
    };
    let finite = wide.iter().all(|x| x.is_finite());
    Ok((made(like, wide.into_iter().map(narrow).collect())?, finite))
}

fn one<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn words<const N: usize, T>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&word| from(word)).collect()
}
