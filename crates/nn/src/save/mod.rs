//! Saving and loading: weights, and the whole state of a training run.

mod checkpoint;
mod entries;
mod folder;
mod header;
mod hints;
mod replace;
#[cfg(test)]
mod tests;
mod weights;

pub use checkpoint::Checkpoint;
pub use entries::Loaded;
pub use folder::{Checkpoints, Resumed};
pub use weights::{LoadWeights, load_weights, save_weights};

#[cfg(feature = "trainer")]
pub(crate) use replace::{System, replace};

use std::{fmt, io};
use wgrad_core::{Error, ErrorKind};

/// An error of the system about a file.
#[track_caller]
fn failed(op: &'static str, file: &str, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::UnexpectedEof => ErrorKind::Format,
        io::ErrorKind::OutOfMemory => ErrorKind::Memory,
        _ => ErrorKind::Io,
    };
    Error::new(kind, op, format!("{file}: {error}"))
}

/// Characters of a name or of another library's message that errors show.
const MOST_SHOWN: usize = 160;

/// A name from a file as errors print it: in quotes, with escapes, and not without end.
fn shown(name: &str) -> String {
    match name.char_indices().nth(MOST_SHOWN) {
        None => format!("{name:?}"),
        Some((at, _)) => format!("{:?}.. ({} bytes)", name.get(..at).unwrap_or(""), name.len()),
    }
}

/// A message that may quote a file, without its control characters.
fn printable(message: impl fmt::Display) -> String {
    let mut text = String::new();
    for c in message.to_string().chars().take(2 * MOST_SHOWN) {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}
