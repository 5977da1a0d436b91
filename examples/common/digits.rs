//! The handwritten digits that lie in the repository.

use wgrad::prelude::*;

/// 10,000 real digits: the first 8,500 train, the last 1,500 test.
pub fn embedded() -> Result<(Dataset, Dataset)> {
    let images = include_bytes!("../data/mnist-10k/t10k-images-idx3-ubyte.gz");
    let labels = include_bytes!("../data/mnist-10k/t10k-labels-idx1-ubyte.gz");
    let images = Idx::from_bytes("the embedded images", images)?;
    let labels = Idx::from_bytes("the embedded labels", labels)?;
    Dataset::from_idx(&images, &labels, 10)?.split(8_500)
}
