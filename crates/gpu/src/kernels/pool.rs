//! Pooling: one thread per element written, which walks its window, or backward the windows that show it.

use super::{small, walk, word};
use crate::{
    Caps,
    launch::{Launch, Operand, Slot},
};
use wgrad_core::{
    Error, Layout, Result,
    ops::pool::{Averages, AvgPool, AvgPoolBackward, MaxPool, MaxPoolBackward, Pool2dOptions},
};
use wgrad_shaders::Kernel;

/// Numbers that kernels count places with, padding included.
const MOST: usize = 1 << 30;

/// The launch of a kernel over all elements of `y`, without bindings. `image` is the larger side: x or dx.
fn pooled(
    name: &'static str,
    averages: &Averages,
    [x, y]: [&Layout; 2],
    [image, windows]: [[usize; 2]; 2],
    backward: bool,
    caps: &Caps,
) -> Result<Launch> {
    if !y.is_contiguous() {
        return Err(Error::internal(name, "the result is not contiguous"));
    }
    let (options, adaptive) = match averages {
        Averages::Sliding(options) => (*options, false),
        Averages::Adaptive(_) => {
            let most = |axis: usize| image[axis].div_ceil(windows[axis]) + 1;
            (Pool2dOptions::new([most(0), most(1)]).count_include_pad(false), true)
        }
    };
    let numbers = [options.kernel, options.stride, options.padding, image, windows];
    if numbers.iter().flatten().any(|&n| n > MOST) {
        return Err(Error::size(
            name,
            format!("windows of {:?} over {image:?}: GPUs count to {MOST} here", options.kernel),
        ));
    }
    // How many elements a window shows, or how many windows an element is in.
    let met = |axis: usize| match (backward, adaptive) {
        (false, _) => options.kernel[axis].min(image[axis]),
        (true, false) => options.kernel[axis].div_ceil(options.stride[axis]).min(windows[axis]),
        (true, true) => windows[axis].div_ceil(image[axis]) + 1,
    };
    let (inner, count) = (met(0).saturating_mul(met(1) + 1), y.numel());
    let mut kernel = Kernel { name, parts: vec!["over", "pool_windows"], ..Kernel::default() };
    if name == "max_pool" {
        kernel.parts.push("nan");
        kernel.aliases = vec![("elem", "f32"), ("bits", "u32"), ("mask", "bool")];
    }
    let area = |size: [usize; 2]| size[0].saturating_mul(size[1]);
    let product = |axis: usize| (image[axis] + 1).saturating_mul(windows[axis] + 1);
    let numbers = [
        area(image),
        area(windows),
        count / area(image).min(area(windows)).max(1),
        if adaptive { product(0).max(product(1)) } else { 0 },
        image.into_iter().max().unwrap_or(0) + options.padding.into_iter().max().unwrap_or(0),
        options.stride.into_iter().max().unwrap_or(0),
    ];
    kernel.values = vec![("ADAPTIVE", adaptive.into()), ("SMALL", small(&numbers))];
    let work = (count as u64).saturating_mul(inner as u64);
    let [kernel_1, kernel_2] = options.kernel;
    Ok(walk(kernel, count, inner, work, caps)
        .params([count, y.shape[1], image[0], image[1]].map(word))
        .params([windows[0], windows[1], kernel_1, kernel_2].map(word))
        .params([options.stride, options.padding].as_flattened().iter().map(|&n| word(n)))
        .params([x.offset, x.strides[0], x.strides[1], x.strides[2]].map(word))
        .params([x.strides[3], y.offset, 0, 0].map(word))
        .params([u32::from(options.count_include_pad), 0, 0, 0]))
}

/// Height and width.
fn sides(x: &Layout) -> [usize; 2] {
    [x.shape[2], x.shape[3]]
}

/// Places in the parameters.
const INDEX_OFFSET: usize = 18;
const WITH_INDEX: usize = 19;

pub(super) fn max(
    op: &MaxPool,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let (x, y) = (&ins[0].layout, &outs[0].layout);
    let averages = Averages::Sliding(op.options);
    let mut launch = pooled("max_pool", &averages, [x, y], [sides(x), sides(y)], false, caps)?
        .read(1, Slot::In(0))
        .write(2, Slot::Out(0));
    let index = outs.get(1).filter(|_| op.index);
    if let Some(index) = index {
        if !index.layout.is_contiguous() {
            return Err(Error::internal("max_pool", "the places are not contiguous"));
        }
        launch.params[INDEX_OFFSET] = word(index.layout.offset);
        launch.params[WITH_INDEX] = 1;
    }
    Ok(vec![launch.write(3, index.map_or(Slot::Spare, |_| Slot::Out(1)))])
}

pub(super) fn max_backward(
    op: &MaxPoolBackward,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let (dy, index, dx) = (&ins[0].layout, &ins[1].layout, &outs[0].layout);
    if !index.is_contiguous() {
        return Err(Error::internal("max_pool_backward", "the places are not contiguous"));
    }
    let averages = Averages::Sliding(op.options);
    let sides = [op.size, sides(dy)];
    let mut launch = pooled("max_pool_backward", &averages, [dy, dx], sides, true, caps)?;
    launch.params[INDEX_OFFSET] = word(index.offset);
    Ok(vec![launch.read(1, Slot::In(0)).read(2, Slot::In(1)).write(3, Slot::Out(0))])
}

pub(super) fn average(
    op: &AvgPool,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let (x, y) = (&ins[0].layout, &outs[0].layout);
    let launch = pooled("avg_pool", &op.0, [x, y], [sides(x), sides(y)], false, caps)?;
    Ok(vec![launch.read(1, Slot::In(0)).write(2, Slot::Out(0))])
}

pub(super) fn average_backward(
    op: &AvgPoolBackward,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Vec<Launch>> {
    let (dy, dx) = (&ins[0].layout, &outs[0].layout);
    let sides = [op.size, sides(dy)];
    let launch = pooled("avg_pool_backward", &op.averages, [dy, dx], sides, true, caps)?;
    Ok(vec![launch.read(1, Slot::In(0)).write(2, Slot::Out(0))])
}
