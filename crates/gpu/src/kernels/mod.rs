//! From operations to launches: pure functions of operation, layouts and capabilities.

mod batch_norm;
pub mod chain;
mod conv;
mod create;
mod cross_entropy;
mod dropout;
mod gather;
mod half;
mod map;
mod masked_softmax;
mod matmul;
mod norm;
mod optimizer;
mod pool;
mod reduce;
mod softmax;

pub(crate) use matmul::turned;
pub use matmul::{Joined, MatMulVariant, RowSums, Sizes, Square, Tile, choose as choose_matmul};
pub use reduce::takes_chains;

use crate::{
    Caps,
    launch::{Grid, Launch, Operand, Program, Slot},
};
use wgrad_core::{DType, Error, Layout, Op, Result, ops::reduce::Reduce};
use wgrad_shaders::Kernel;

/// What runs an operation on an adapter with these capabilities.
pub fn lower(op: &Op, ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Program> {
    check_operands(op.name(), ins, outs, caps)?;
    let inner = |ins: &[Operand], outs: &[Operand]| lower_wide(op, ins, outs, caps);
    let program = if has_halves(ins, outs) {
        half::lower(op.name(), half::guarded(op), ins, outs, caps, inner)?
    } else {
        inner(ins, outs)?
    };
    check_program(op.name(), program, caps)
}

/// Whether any operand is 16 bits wide.
fn has_halves(ins: &[Operand], outs: &[Operand]) -> bool {
    ins.iter().chain(outs).any(|x| x.dtype == DType::F16)
}

/// What runs a chain of element-wise operations on f32 or f16.
pub fn lower_chain(
    links: &[chain::Link],
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    check_operands("chain", ins, outs, caps)?;
    let inner = |ins: &[Operand], outs: &[Operand]| {
        let launches = chain::chain(links, ins, outs, caps)?;
        Ok(Program { launches, scratch: Vec::new() })
    };
    let program = if has_halves(ins, outs) {
        half::lower("chain", false, ins, outs, caps, inner)?
    } else {
        inner(ins, outs)?
    };
    check_program("chain", program, caps)
}

/// What runs a product with what is joined to it.
pub fn lower_joined(
    what: &Joined,
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    check_operands("matmul", ins, outs, caps)?;
    let inner = |ins: &[Operand], outs: &[Operand]| matmul::joined(what, ins, outs, caps);
    let program = if has_halves(ins, outs) {
        half::lower("matmul", false, ins, outs, caps, inner)?
    } else {
        inner(ins, outs)?
    };
    check_program("matmul", program, caps)
}

/// What runs a reduction between chains of element-wise operations: one that makes what is reduced, of operands of
/// one shape, and one that goes on with the result.
pub fn lower_reduced_chain(
    op: &Reduce,
    chains: [&[chain::Link]; 2],
    ins: &[Operand],
    outs: &[Operand],
    caps: &Caps,
) -> Result<Program> {
    check_operands("reduce", ins, outs, caps)?;
    let inner = |ins: &[Operand], outs: &[Operand]| {
        let layouts: Vec<Layout> = ins.iter().map(|x| x.layout).collect();
        reduce::reduce_chain(op, chains, &layouts, DType::F32, &outs[0], caps)
    };
    let program = if has_halves(ins, outs) {
        half::lower("reduce", false, ins, outs, caps, inner)?
    } else {
        inner(ins, outs)?
    };
    check_program("reduce", program, caps)
}

/// An error for operands beyond what kernels count or adapters bind.
fn check_operands(op: &'static str, ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<()> {
    for x in ins.iter().chain(outs) {
        let reach = x.layout.end().max(1) as u64 * x.dtype.size() as u64;
        // Kernels count in u32, and a thread adds its step (at most 2^23) before it compares.
        let counted = x.layout.numel().max(x.layout.end()) as u64;
        if counted > u64::from(u32::MAX) - (1 << 23) {
            return Err(Error::size(
                op,
                format!(
                    "{:?} has {counted} elements; kernels count to 2^32 - 2^23; split it",
                    x.layout.shape
                ),
            ));
        }
        if reach > caps.max_binding {
            return Err(Error::size(
                op,
                format!(
                    "{:?} {} reaches over {reach} bytes of its storage; this adapter binds at most {} at once; \
                     split the tensor",
                    x.layout.shape, x.dtype, caps.max_binding
                ),
            ));
        }
    }
    Ok(())
}

/// An error for launches beyond what the adapter can do.
fn check_program(op: &'static str, program: Program, caps: &Caps) -> Result<Program> {
    if let Some(bytes) = program.scratch.iter().find(|&&b| b as u64 > caps.max_binding) {
        return Err(Error::size(
            op,
            format!(
                "needs {bytes} bytes of working space; this adapter binds at most {} at once; split the tensor",
                caps.max_binding
            ),
        ));
    }
    // Better no result than the wrong one that such an adapter would give.
    match program.launches.iter().find(|launch| launch.steps > caps.max_steps) {
        Some(launch) => Err(Error::size(
            op,
            format!(
                "a thread of {} would loop {} times, and software adapters may stop it after {}; split the tensor",
                launch.kernel.name, launch.steps, caps.max_steps
            ),
        )),
        None => Ok(program),
    }
}

/// The same for operations without 16-bit operands.
fn lower_wide(op: &Op, ins: &[Operand], outs: &[Operand], caps: &Caps) -> Result<Program> {
    let launches = match op {
        Op::Unary(op) => map::unary(*op, ins, outs, caps)?,
        Op::UnaryBackward(op) => map::unary_backward(op.0, ins, outs, caps)?,
        Op::Binary(op) => map::binary(*op, ins, outs, caps)?,
        Op::Scalar(op) => map::scalar(op, ins, outs, caps)?,
        Op::Compare(op) => map::compare(*op, ins, outs, caps)?,
        Op::CompareScalar(op) => map::compare_scalar(op, ins, outs, caps)?,
        Op::Where(_) => map::choose(ins, outs, caps)?,
        Op::Mask(op) => map::mask(op.keep, ins, outs, caps)?,
        Op::Cast(_) => map::cast(ins, outs, caps)?,
        Op::Copy(_) => map::copy(Slot::In(0), ins[0], outs[0], false, caps)?,
        Op::Assign(_) => map::copy(Slot::In(1), ins[1], outs[0], true, caps)?,
        Op::Concat(op) => map::concat(op.axis, ins, outs, caps)?,
        Op::Pad(op) => map::pad(op, ins, outs, caps)?,
        Op::Fill(op) => create::fill(op.value, outs, caps)?,
        Op::Arange(op) => create::arange(op, outs, caps)?,
        Op::OneHot(op) => create::one_hot(op.classes, ins, outs, caps)?,
        Op::Random(op) => create::random(op, ins, outs, caps)?,
        Op::Gather(_) => gather::gather(ins, outs, caps)?,
        Op::ScatterRows(op) => gather::scatter_rows(op.rows, ins, outs, caps)?,
        Op::TakeRandom(op) => dropout::take(op, outs)?,
        Op::Dropout(op) => dropout::dropout(op, ins, outs, caps)?,
        Op::Update(op) => optimizer::update(op, ins, outs, caps)?,
        Op::Adjust(op) => optimizer::adjust(op, ins, outs, caps)?,
        Op::AdaptScale(op) => optimizer::adapt_scale(op, ins),
        Op::VectorNorm(_) => return optimizer::norm(ins, outs, caps),
        Op::ArgReduce(op) => return reduce::arg_reduce(op, ins, outs, caps),
        Op::Reduce(op) => return reduce::reduce(op, ins, outs, caps),
        Op::MatMul(_) => return matmul::matmul(ins, outs, caps),
        Op::Linear(op) => return matmul::linear(op, ins, outs, caps),
        Op::Softmax(op) => return softmax::softmax(op, ins, outs, caps),
        Op::SoftmaxBackward(op) => return softmax::backward(op, ins, outs, caps),
        Op::MaskedSoftmax(op) => masked_softmax::forward(op, ins, outs, caps)?,
        Op::MaskedSoftmaxBackward(op) => masked_softmax::backward(op, ins, outs, caps)?,
        Op::CrossEntropy(op) => return cross_entropy::cross_entropy(op, ins, outs, caps),
        Op::Conv(op) => return conv::forward(op, ins, outs, caps),
        Op::ConvInput(op) => return conv::for_input(op, ins, outs, caps),
        Op::ConvWeight(op) => return conv::for_weight(op, ins, outs, caps),
        Op::MaxPool(op) => pool::max(op, ins, outs, caps)?,
        Op::MaxPoolBackward(op) => pool::max_backward(op, ins, outs, caps)?,
        Op::AvgPool(op) => pool::average(op, ins, outs, caps)?,
        Op::AvgPoolBackward(op) => pool::average_backward(op, ins, outs, caps)?,
        Op::Norm(op) => return norm::norm(op, ins, outs, caps),
        Op::NormBackward(op) => return norm::backward(op, ins, outs, caps),
        Op::BatchNorm(op) => return batch_norm::forward(op, ins, outs, caps),
        Op::BatchNormBackward(_) => return batch_norm::backward(ins, outs, caps),
        Op::BatchNormSums(_) => return batch_norm::sums(ins, outs, caps),
        Op::NormSums(op) => return norm::sums(op, ins, outs, caps),
        Op::ViewOp(_) => return Err(Error::internal(op.name(), "a view is not run")),
    };
    Ok(Program { launches, scratch: Vec::new() })
}

/// A number that WGSL counts in u32; `lower` has checked that operands fit.
pub(crate) fn word(x: usize) -> u32 {
    u32::try_from(x).unwrap_or(u32::MAX)
}

/// Sizes or strides, innermost first, as two vec4.
pub(crate) fn list(values: &[usize], fill: u32) -> [u32; 8] {
    let mut words = [fill; 8];
    for (to, &x) in words.iter_mut().zip(values.iter().rev()) {
        *to = word(x);
    }
    words
}

/// The rank as a kernel constant: at least 1.
pub(crate) fn rank_of(layout: &Layout) -> u32 {
    word(layout.shape.rank().max(1))
}

/// Workgroups of 64 for `threads` threads that step by the size of the grid: enough to fill the
/// adapter; on software a few for each CPU, and more where a thread would loop too often. For one of
/// its elements a thread goes round inner loops `inner` times.
pub(crate) fn grid(threads: usize, inner: usize, caps: &Caps) -> Grid {
    let threads = threads as u64;
    let each = inner as u64 + 1;
    let fill = if caps.software { u64::from(caps.threads * 8).max(8) } else { 65_535 };
    let few_steps = (threads * each).div_ceil(64 * (caps.max_steps / 2));
    let groups = threads.div_ceil(64).clamp(1, fill.max(few_steps).min(caps.max_groups.into()));
    Grid { groups: [groups as u32, 1], steps: threads.div_ceil(groups * 64) * each }
}

/// A launch whose threads go through `count` elements as `lib/walk.wgsl` says: side by side on GPUs, each workgroup in a
/// run of its own on software. For one element a thread goes round inner loops `inner` times.
pub(crate) fn walk(
    mut kernel: Kernel,
    count: usize,
    inner: usize,
    work: u64,
    caps: &Caps,
) -> Launch {
    kernel.parts.push("walk");
    let lanes = if caps.software { 8 } else { 64 };
    kernel.values.extend([("WG", lanes), ("BLOCKED", u32::from(caps.software))]);
    let (lanes, elements, each) = (u64::from(lanes), count as u64, inner as u64 + 1);
    // On software enough for each CPU to have a few, and more where a thread would loop too often.
    let fill = if caps.software { u64::from(caps.threads * 16).max(16) } else { 65_535 };
    let few_steps = (elements * each).div_ceil(lanes * (caps.max_steps / 2));
    let most = fill.max(few_steps).min(caps.max_groups.into());
    let groups = elements.div_ceil(lanes).clamp(1, most);
    let steps = elements.div_ceil(groups * lanes) * each;
    Launch::new(kernel, [groups as u32, 1], work).steps(steps)
}

/// Workgroups for work that takes a whole workgroup each, whose threads go round inner loops `inner` times.
pub(crate) fn grid_of_groups(count: usize, inner: usize, caps: &Caps) -> Grid {
    let groups = word(count).clamp(1, caps.max_groups.min(65_535));
    Grid { groups: [groups, 1], steps: count.div_ceil(groups as usize) as u64 * (inner as u64 + 1) }
}

/// 1 where no number is too large for `lib/over.wgsl` to divide it by way of floats.
pub(crate) fn small(numbers: &[usize]) -> u32 {
    u32::from(numbers.iter().all(|&n| n < 1 << 21))
}

/// The name of a type in WGSL.
pub(crate) fn wgsl(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::I32 => Ok("i32"),
        DType::U32 | DType::Bool => Ok("u32"),
        DType::F16 | DType::F64 => {
            Err(Error::internal("lower", format!("{dtype} reached a 32-bit kernel")))
        }
    }
}

/// Four of a type in WGSL.
pub(crate) fn wgsl4(dtype: DType) -> Result<&'static str> {
    Ok(match wgsl(dtype)? {
        "f32" => "vec4<f32>",
        "i32" => "vec4<i32>",
        _ => "vec4<u32>",
    })
}

/// The kernel that an expression table lacks: a slip in this crate.
pub(crate) fn missing(what: &str) -> Error {
    Error::internal("lower", format!("no WGSL expression for {what}"))
}

/// Whether a launch list contains a kernel; for tests.
pub fn uses(program: &Program, kernel: &str) -> bool {
    program.launches.iter().any(|launch: &Launch| launch.kernel.name == kernel)
}
