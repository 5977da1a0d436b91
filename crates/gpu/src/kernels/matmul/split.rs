//! Long products with a small result: parts of k side by side into working space, then their sum, always in
//! the same order.

use super::{
    MatMulVariant, Product,
    epilogue::{Epilogue, extra_offset, slope, specialise},
    launch,
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
    let parts = Product { y, epilogue: Epilogue::default(), ..*product };
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
    let (y, epilogue) = (&product.y, &product.epilogue);
    let [m, n, batches] = [product.sizes.m, product.sizes.n, product.sizes.batches];
    let vec4 = n.is_multiple_of(4) && y.offset.is_multiple_of(4);
    let mut kernel =
        Kernel { name: "matmul_sum", values: vec![("vec4", u32::from(vec4))], ..Kernel::default() };
    specialise(&mut kernel, epilogue)?;
    let threads = y.numel() / if vec4 { 4 } else { 1 };
    let (bias_offset, bias_col) = epilogue.bias.map_or((0, 0), |b| (b.offset, b.strides[0]));
    let launch = Launch::new(kernel, grid(threads, parts, caps), (y.numel() * parts) as u64)
        .params([m, n, 0, batches].map(word))
        .params([0; 4])
        .params([0, 0, word(y.offset), word(n)])
        .params([word(m * n), 0, 0, 0])
        .params([
            slope(epilogue).to_bits(),
            word(bias_offset),
            word(bias_col),
            extra_offset(epilogue),
        ])
        .params([0; 12])
        .params([word(parts), 0, 0, 0])
        .read(1, from);
    Ok(match epilogue.operand() {
        Some(slot) => launch.read(2, slot).write(3, Slot::Out(0)),
        None => launch.write(2, Slot::Out(0)),
    })
}
