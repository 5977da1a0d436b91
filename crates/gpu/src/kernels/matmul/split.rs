//! Long products with a small result: parts of k side by side into working space, then their sum, always in
//! the same order.

use super::{
    MatMulVariant, Product, Sizes,
    epilogue::{Epilogue, specialise},
    launch, operands,
};
use crate::{
    Caps,
    kernels::{grid, word},
    launch::{Launch, Program, Slot},
};
use wgrad_core::{Layout, Result, Shape};
use wgrad_shaders::Kernel;

pub(super) fn split(product: &Product, variant: MatMulVariant, caps: &Caps) -> Result<Program> {
    let sizes = &product.sizes;
    let shape = Shape::from_checked(&[sizes.batches * variant.parts(), sizes.m, sizes.n]);
    let y = Layout::contiguous(shape);
    let plain = Epilogue::default();
    let parts = Product { y, epilogue: &plain, ..*product };
    let between = Slot::Scratch(0);
    Ok(Program {
        launches: vec![
            launch(&parts, variant, between, caps)?,
            sum(product, variant.parts(), between, caps)?,
        ],
        scratch: vec![y.numel() * 4],
    })
}

fn sum(product: &Product, parts: usize, from: Slot, caps: &Caps) -> Result<Launch> {
    let Sizes { m, n, batches, .. } = product.sizes;
    launch_sum([m, n, batches], parts, product.y.offset, product.epilogue, from, caps)
}

/// The sum of so many parts of `count` results each, side by side in working space, into the first output.
pub(crate) fn sum_of_parts(
    count: usize,
    parts: usize,
    y_offset: usize,
    from: Slot,
    caps: &Caps,
) -> Result<Launch> {
    launch_sum([1, count, 1], parts, y_offset, &Epilogue::default(), from, caps)
}

fn launch_sum(
    [m, n, batches]: [usize; 3],
    parts: usize,
    y_offset: usize,
    epilogue: &Epilogue,
    from: Slot,
    caps: &Caps,
) -> Result<Launch> {
    let vec4 = n.is_multiple_of(4) && y_offset.is_multiple_of(4) && epilogue.by_four();
    let mut kernel =
        Kernel { name: "matmul_sum", values: vec![("vec4", u32::from(vec4))], ..Kernel::default() };
    let numbers = specialise(&mut kernel, epilogue)?;
    let results = m * n * batches;
    let threads = results / if vec4 { 4 } else { 1 };
    let [bias_offset, bias_col] = epilogue.bias_at();
    let launch = Launch::new(kernel, grid(threads, parts, caps), (results * parts) as u64)
        .params([m, n, 0, batches].map(word))
        .params([0; 4])
        .params([0, 0, word(y_offset), word(n)])
        .params([word(m * n), 0, 0, 0])
        .params([0, bias_offset, bias_col, epilogue.extra_at()])
        .params([0; 12])
        .params([word(parts), 0])
        .params(numbers)
        .read(1, from);
    Ok(operands(launch, epilogue, 2, Slot::Out(0)))
}
