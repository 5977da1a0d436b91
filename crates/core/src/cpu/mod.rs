//! The CPU backend: what every operation means, in plain Rust, and the judge of all GPU kernels.
//! One file per family. Kernels take strided views; f16 is widened before them and rounded after.

mod adjust;
mod batch_norm;
mod binary;
mod compare;
mod cross_entropy;
mod dropout;
mod exp;
mod gather;
mod gemm;
mod lanes;
mod masked_softmax;
mod matmul;
mod memory;
mod norm;
mod number;
mod operand;
mod optimizer;
mod parallel;
mod plan;
mod random;
mod reduce;
mod select;
mod shape;
mod simd;
mod softmax;
mod unary;

mod conv;
mod pool;

use crate::{
    Backend, Buf, DType, DeviceInfo, DeviceKind, Error, MemoryReport, Op, Pending, Plan, Result,
    Role, Trace, View, foreign_buffer,
};
use memory::{CpuBuf, Memory};
use operand::{In, Out};
use std::{any::Any, ops::Range, sync::Arc};

/// Host memory and the CPU's own kernels. [`Device::cpu`](crate::Device::cpu) holds one of these.
pub struct Cpu {
    info: DeviceInfo,
    memory: Arc<Memory>,
}

impl Cpu {
    /// A backend with a ledger and a pool of its own.
    pub fn new() -> Self {
        let (kind, name) = (DeviceKind::Cpu, "cpu".to_owned());
        Self { info: DeviceInfo { kind, name, driver: String::new() }, memory: Arc::default() }
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

/// An error unless the byte range lies inside the buffer.
fn check_range(op: &'static str, buf: &Buf, range: &Range<usize>) -> Result<()> {
    if range.start <= range.end && range.end <= buf.bytes() {
        return Ok(());
    }
    Err(Error::range(op, format!("bytes {range:?} lie outside a buffer of {}", buf.bytes())))
}

impl Backend for Cpu {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn supports(&self, _: DType) -> bool {
        true
    }

    fn alloc(&self, bytes: usize, role: Role) -> Result<Buf> {
        Ok(Buf::new(Arc::new(CpuBuf::new(bytes, role, &self.memory)?), bytes))
    }

    fn upload(&self, dst: &Buf, at: usize, bytes: &[u8]) -> Result<()> {
        check_range("upload", dst, &(at..at.saturating_add(bytes.len())))?;
        let buffer: &CpuBuf = dst.downcast().ok_or_else(|| foreign_buffer("upload"))?;
        buffer.upload(at, bytes);
        Ok(())
    }

    fn download(&self, src: &Buf, range: Range<usize>) -> Result<Pending> {
        check_range("download", src, &range)?;
        let buffer: &CpuBuf = src.downcast().ok_or_else(|| foreign_buffer("download"))?;
        Ok(Pending::ready(buffer.download(range)))
    }

    fn run(&self, op: &Op, ins: &[View], outs: &[View]) -> Result<()> {
        for view in ins.iter().chain(outs) {
            view.check(op.name())?;
        }
        memory::with_operands(&self.memory, op, ins, outs, |ins, outs| {
            kernel(&self.memory, op, ins, outs)
        })
    }

    fn plan(&self, trace: &Trace) -> Result<Box<dyn Plan>> {
        plan::plan(self, trace)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn memory(&self) -> MemoryReport {
        self.memory.report()
    }

    fn trim(&self) {
        self.memory.trim();
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The kernel of an operation.
fn kernel(memory: &Arc<Memory>, op: &Op, ins: &[In<'_>], outs: &mut [Out<'_>]) -> Result<()> {
    macro_rules! operands {
        ($x:pat, $y:pat => $body:expr) => {
            match (ins, outs) {
                ($x, $y) => $body,
                (ins, outs) => Err(Error::internal(
                    op.name(),
                    format!("no kernel takes {} inputs and {} outputs", ins.len(), outs.len()),
                )),
            }
        };
    }
    match op {
        Op::Unary(op) => operands!([x], [y] => unary::forward(*op, x, y)),
        Op::UnaryBackward(op) => operands!([x, dy], [dx] => unary::backward(op.0, x, dy, dx)),
        Op::Binary(op) => operands!([a, b], [y] => binary::binary(*op, a, b, y)),
        Op::Scalar(op) => operands!([x], [y] => binary::scalar(op, x, y)),
        Op::Compare(op) => operands!([a, b], [y] => compare::compare(*op, a, b, y)),
        Op::CompareScalar(op) => operands!([x], [y] => compare::compare_scalar(op, x, y)),
        Op::Where(_) => operands!([c, a, b], [y] => select::select(c, a, b, y)),
        Op::Mask(op) => operands!([c, x], [y] => select::mask(op.keep, c, x, y)),
        Op::Reduce(op) => operands!([x], [y] => reduce::reduce(op, x, y)),
        Op::ArgReduce(op) => operands!([x], [y] => reduce::arg_reduce(op, x, y)),
        Op::MatMul(_) => operands!([a, b], [y] => matmul::matmul(memory, a, b, y)),
        Op::Linear(op) => {
            operands!([x, w, bias @ ..], [y] => matmul::linear(op, memory, x, w, bias.first(), y))
        }
        Op::Softmax(op) => operands!([x], [y] => softmax::forward(op, x, y)),
        Op::SoftmaxBackward(op) => operands!([y, dy], [dx] => softmax::backward(op, y, dy, dx)),
        Op::MaskedSoftmax(op) => {
            operands!([x, mask @ ..], [y] => masked_softmax::forward(op, x, mask.first(), y))
        }
        Op::MaskedSoftmaxBackward(op) => {
            operands!([y, dy], [dx] => masked_softmax::backward(op, y, dy, dx))
        }
        Op::CrossEntropy(op) => operands!([x, labels, weights @ ..], [loss, gradient @ ..] => {
            let weights = weights.first();
            cross_entropy::cross_entropy(op, [x, labels], weights, loss, gradient.first_mut())
        }),
        Op::Gather(_) => operands!([table, index], [y] => gather::gather(table, index, y)),
        Op::ScatterRows(op) => {
            operands!([x, index], [y] => gather::scatter_rows(op.rows, x, index, y))
        }
        Op::ViewOp(_) => Err(Error::internal(op.name(), "a view is not run")),
        Op::Copy(_) => operands!([x], [y] => shape::copy("copy", x, y)),
        Op::Assign(_) => operands!([_, x], [y] => shape::copy("assign", x, y)),
        Op::Cast(op) => operands!([x], [y] => shape::cast(*op, x, y)),
        Op::Concat(op) => operands!(xs, [y] => shape::concat(op.axis, xs, y)),
        Op::Pad(op) => operands!([x], [y] => shape::pad(op, x, y)),
        Op::Fill(op) => operands!(_, [y] => shape::fill(op, y)),
        Op::Arange(op) => operands!(_, [y] => shape::arange(op, y)),
        Op::OneHot(op) => operands!([index], [y] => gather::one_hot(op.classes, index, y)),
        Op::Random(op) => operands!(_, [y, state] => random::random(op, state, y)),
        Op::Update(op) => optimizer::update(op, ins, outs),
        Op::Adjust(op) => adjust::adjust(op, ins, outs),
        Op::VectorNorm(op) => operands!([x], [y] => adjust::norm(op, x, y)),
        Op::AdaptScale(op) => {
            operands!(_, [scale, flags] => adjust::adapt_scale(op, scale, flags))
        }
        Op::Conv(op) => operands!([x, w, bias @ ..], [y] => {
            conv::forward(op, memory, x, w, bias.first(), y)
        }),
        Op::ConvInput(op) => operands!([dy, w, bias @ ..], [dx] => {
            conv::for_input(op, memory, dy, w, bias.first(), dx)
        }),
        Op::ConvWeight(op) => operands!([x, dy], [dw] => conv::for_weight(op, memory, x, dy, dw)),
        Op::MaxPool(op) => {
            operands!([x], [y, index @ ..] => pool::max(op, x, y, index.first_mut()))
        }
        Op::MaxPoolBackward(op) => {
            operands!([dy, index], [dx] => pool::max_backward(op, dy, index, dx))
        }
        Op::AvgPool(op) => operands!([x], [y] => pool::average(op, x, y)),
        Op::AvgPoolBackward(op) => operands!([dy], [dx] => pool::average_backward(op, dy, dx)),
        Op::Norm(op) => operands!(ins, [y, statistics] => norm::forward(op, ins, y, statistics)),
        Op::NormBackward(op) => operands!([dy, x, statistics, gamma @ ..], [dx] => {
            norm::backward(op, [dy, x, statistics], gamma.first(), dx)
        }),
        Op::NormSums(op) => {
            operands!([dy, x, statistics], [sums] => norm::sums(op, [dy, x, statistics], sums))
        }
        Op::BatchNorm(op) => operands!([x, gamma, beta], [y, statistics] => {
            batch_norm::forward(op, [x, gamma, beta], y, statistics)
        }),
        Op::BatchNormSums(_) => {
            operands!([dy, x, statistics], [sums] => batch_norm::sums([dy, x, statistics], sums))
        }
        Op::BatchNormBackward(_) => operands!([dy, x, statistics, gamma, sums], [dx] => {
            batch_norm::backward([dy, x, statistics, gamma, sums], dx)
        }),
        Op::TakeRandom(op) => operands!(_, [copy, state] => dropout::take(op, copy, state)),
        Op::Dropout(op) => operands!([x, state], [y] => dropout::dropout(op, x, state, y)),
    }
}

/// The error of a kernel that does not know an element type.
fn unsupported(op: &'static str, dtype: DType) -> Error {
    Error::dtype(op, format!("not available for {dtype}; cast first"))
}
