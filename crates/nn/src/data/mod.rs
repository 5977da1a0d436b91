//! Data sets, their files, and batches.

mod batches;
mod dataset;
mod idx;

pub use batches::Batches;
pub use dataset::Dataset;
pub use idx::Idx;
