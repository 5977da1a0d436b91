//! Rows of a table by index (an embedding), and the sum of rows back into a table.

use super::{need_index, need_number};
use crate::{
    Error, Grad, Meta, Result, Shape, Tensor,
    op::{Family, Saves},
};

/// table `[rows, ..]`, indices `[i..]` -> `[i.., ..]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather;

impl Family for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let (table, index) = (&ins[0], &ins[1]);
        need_number("gather", table)?;
        need_index("gather", index)?;
        let Some((_, row)) = table.shape.split_first() else {
            return Err(Error::rank("gather", "the table needs rank 1 or more, got rank 0"));
        };
        if table.shape[0] == 0 && index.shape.numel() > 0 {
            return Err(Error::index(
                "gather",
                "every index lies outside 0..0: the table has no rows",
            ));
        }
        let mut sizes = index.shape.to_vec();
        sizes.extend_from_slice(row);
        Ok(vec![Meta { shape: Shape::new("gather", &sizes)?, dtype: table.dtype }])
    }
    fn saves(&self) -> Saves {
        Saves::inputs(0b10)
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        let rows = g.input_meta(0).shape[0];
        g.each(|i| g.last(i, ScatterRows { rows }, &[g.cotangent()?, g.input(1)?]))
    }
}

/// Rows `[i.., ..]` summed by indices `[i..]` into a table `[rows, ..]`, in the order of the
/// indices, so the bits are the same each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScatterRows {
    /// Rows of the table.
    pub rows: usize,
}

impl Family for ScatterRows {
    fn name(&self) -> &'static str {
        "scatter_rows"
    }
    fn outputs(&self, ins: &[Meta]) -> Result<Vec<Meta>> {
        let (x, index) = (&ins[0], &ins[1]);
        need_number("scatter_rows", x)?;
        need_index("scatter_rows", index)?;
        let Some(row) = x.shape.strip_prefix(&*index.shape) else {
            return Err(Error::shape(
                "scatter_rows",
                format!(
                    "rows {:?} do not begin with the shape of indices {:?}",
                    x.shape, index.shape
                ),
            ));
        };
        if self.rows == 0 && index.shape.numel() > 0 {
            return Err(Error::index(
                "scatter_rows",
                "every index lies outside 0..0: the table has no rows",
            ));
        }
        let mut sizes = vec![self.rows];
        sizes.extend_from_slice(row);
        Ok(vec![Meta { shape: Shape::new("scatter_rows", &sizes)?, dtype: x.dtype }])
    }
    fn saves(&self) -> Saves {
        Saves::inputs(0b10)
    }
    fn gradient(&self, g: &Grad) -> Result<Vec<Option<Tensor>>> {
        g.each(|i| g.last(i, Gather, &[g.cotangent()?, g.input(1)?]))
    }
}

impl Tensor {
    /// Rows of this table `[rows, ..]` by index (i32 or u32, any shape): an embedding. An index outside
    /// `0..rows` is an error with its value and position: at once on the CPU, on a GPU at the next
    /// read or sync; until then the rows read as zero.
    ///
    /// ```
    /// # use wgrad_core::{Device, Tensor};
    /// let cpu = Device::cpu();
    /// let table = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], [2, 2], &cpu)?;
    /// let index = Tensor::from_vec([1i32, 1, 0], [3], &cpu)?;
    /// assert_eq!(table.gather(&index)?.to_vec::<f32>()?, [3.0, 4.0, 3.0, 4.0, 1.0, 2.0]);
    /// # Ok::<(), wgrad_core::Error>(())
    /// ```
    #[track_caller]
    pub fn gather(&self, index: &Tensor) -> Result<Tensor> {
        Tensor::run(Gather, &[self, index])
    }

    /// Sums these rows `[i.., ..]` into a new table `[rows, ..]` by index `[i..]`: the reverse of
    /// [`gather`](Tensor::gather). Equal indices add up, in order.
    #[track_caller]
    pub fn scatter_rows(&self, index: &Tensor, rows: usize) -> Result<Tensor> {
        Tensor::run(ScatterRows { rows }, &[self, index])
    }
}
