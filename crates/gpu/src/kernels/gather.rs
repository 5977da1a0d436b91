//! Rows by index, and their sum back.

use super::{grid, list, rank_of, walk, wgsl, word};
use crate::{
    Caps,
    launch::{Launch, Operand, Slot},
};
use wgrad_core::{Layout, Result, Shape, collapse_together};
use wgrad_shaders::Kernel;

/// Axes `from..to` of a layout, from element 0.
fn axes(layout: &Layout, from: usize, to: usize) -> Result<Layout> {
    Ok(Layout {
        shape: Shape::from_checked(&layout.shape[from..to]),
        strides: Shape::from_checked(&layout.strides[from..to]),
        offset: 0,
    })
}

pub(super) fn gather(ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Vec<Launch>> {
    let (table, index) = (&ins[0].layout, ins[1].layout.collapse());
    let row = axes(table, 1, table.shape.rank())?.collapse();
    let (count, cols, rows) = (outs[0].layout.numel(), row.numel(), table.shape[0]);
    let kernel = Kernel {
        name: "gather_rows",
        parts: vec!["index", "row_index", "watch"],
        aliases: vec![("elem", wgsl(ins[0].dtype)?)],
        values: vec![("ROW_RANK", rank_of(&row)), ("INDEX_RANK", rank_of(&index))],
        ..Kernel::default()
    };
    let launch = walk(kernel, count, row.shape.rank() + index.shape.rank(), count as u64, caps)
        .params([word(count), word(cols), word(rows), 0])
        .params([table.offset, index.offset, outs[0].layout.offset, table.strides[0]].map(word))
        .params(list(&row.shape, 1))
        .params(list(&row.strides, 0))
        .params(list(&index.shape, 1))
        .params(list(&index.strides, 0))
        .read(1, Slot::In(0))
        .read(2, Slot::In(1))
        .write(3, Slot::Out(0))
        .watch(1, rows, 3);
    Ok(vec![launch])
}

pub(super) fn scatter_rows(
    rows: usize,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let (x, index) = (&ins[0].layout, &ins[1].layout);
    let split = index.shape.rank();
    let row = axes(x, split, x.shape.rank())?.collapse();
    let over = Layout { offset: 0, ..axes(x, 0, split)? };
    let [index_view, over] = collapse_together([*index, over]);
    let (count, cols) = (index.numel(), row.numel());
    // Enough owners to fill the adapter, but each walks all indices: no more parts than needed.
    let wanted = if caps.software { 64 } else { 16_384 };
    let bound = usize::try_from(caps.max_steps / 8).unwrap_or(usize::MAX);
    let parts = (wanted / cols.max(1)).max(rows.div_ceil(bound)).clamp(1, rows.max(1));
    let part_rows = rows.div_ceil(parts);
    // Long lists of indices go in pieces, one after the other.
    let per_index = 2 * index_view.shape.rank().max(1);
    let piece = (2 * bound / per_index).clamp(1, 1 << 16);
    let kernel = Kernel {
        name: "scatter_rows",
        parts: vec!["index", "row_index", "watch"],
        aliases: vec![("elem", wgsl(ins[0].dtype)?)],
        values: vec![("ROW_RANK", rank_of(&row)), ("INDEX_RANK", rank_of(&index_view))],
        ..Kernel::default()
    };
    let owners = parts * cols;
    let launch = |start: usize| {
        let end = count.min(start + piece);
        let inner = part_rows + (end - start) * per_index + row.shape.rank();
        let work = owners * (end - start + part_rows);
        Launch::new(kernel.clone(), grid(owners, inner, caps), work as u64)
            .params([end, cols, rows, 0].map(word))
            .params([x.offset, index.offset, outs[0].layout.offset, 0].map(word))
            .params([parts, part_rows, owners, start].map(word))
            .params(list(&row.shape, 1))
            .params(list(&row.strides, 0))
            .params(list(&index_view.shape, 1))
            .params(list(&index_view.strides, 0))
            .params(list(&over.strides, 0))
            .read(1, Slot::In(0))
            .read(2, Slot::In(1))
            .write(3, Slot::Out(0))
            .watch(1, rows, 3)
    };
    // Even without an index the table must be zeroed.
    Ok((0..count.max(1)).step_by(piece).map(launch).collect())
}
