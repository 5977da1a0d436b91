//! Data sets, their files, and batches.

mod array;
mod batches;
mod csv;
mod dataset;
mod idx;
#[cfg(feature = "images")]
mod images;
mod loader;
mod npy;
mod npz;
mod samples;
mod standard;
mod text;

pub use array::Array;
pub use batches::Batches;
pub use csv::{Csv, CsvOptions};
pub use dataset::Dataset;
pub use idx::Idx;
#[cfg(feature = "images")]
pub use images::ImageFolder;
pub use loader::{Loader, LoaderBatches};
pub use npy::Npy;
pub use npz::Npz;
pub use samples::{Rows, Samples};
pub use standard::Standard;
pub use text::{Vocabulary, Windows};
