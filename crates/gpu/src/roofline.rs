//! What an adapter's memory and arithmetic allow, measured: the yardstick of `wgrad bench`.

use crate::{
    Caps, Gpu,
    kernels::word,
    launch::{Launch, Program, Slot},
};
use std::time::{Duration, Instant};
use wgrad_core::{Backend, DType, Device, Error, Layout, Result, Role, Shape, View};
use wgrad_shaders::Kernel;

/// Measured rates of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roofline {
    /// Bytes per second, read and written ones together, of a plain copy beyond the caches.
    pub bytes: f64,
    /// f32 operations per second in registers; a multiply-add counts as two.
    pub flops: f64,
}

/// How long each rate is measured, at least.
const BUDGET: Duration = Duration::from_millis(150);
/// vec4 multiply-adds in one turn of the kernel's loop.
const PER_TURN: f64 = 32.0;

/// Measures the copy bandwidth and the multiply-add rate of a GPU device: two kernels, a third of a second.
///
/// # Errors
/// `Device` if it is not a GPU device; what running on it reports.
///
/// ```no_run
/// let rates = wgrad_gpu::roofline(&wgrad_gpu::gpu()?)?;
/// println!("{:.0} GB/s, {:.0} GFLOP/s", rates.bytes / 1e9, rates.flops / 1e9);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[track_caller]
pub fn roofline(device: &Device) -> Result<Roofline> {
    let gpu = Gpu::of(device)
        .ok_or_else(|| Error::device("roofline", "measures GPU devices; this is the CPU"))?;
    // Four times what large GPUs cache; on software a little more than CPUs do.
    let bytes = if gpu.caps.software { 16 << 20 } else { (256 << 20).min(gpu.caps.max_binding) };
    let count = bytes as usize / 16;
    let (x, y) = (array(gpu, count)?, array(gpu, count)?);
    let copy = copy(count, &gpu.caps);
    let once = fastest(gpu, &copy, std::slice::from_ref(&x), std::slice::from_ref(&y))?;
    let threads = if gpu.caps.software { 1 << 10 } else { 1 << 17 };
    let turns = if gpu.caps.software { 4 << 10 } else { 1 << 10 };
    let chains = chains(threads, turns);
    let computed = fastest(gpu, &chains, &[], std::slice::from_ref(&y))?;
    Ok(Roofline {
        bytes: 2.0 * bytes as f64 / once,
        flops: threads as f64 * turns as f64 * PER_TURN * 8.0 / computed,
    })
}

/// The launches of the measurement, for tests.
pub fn roofline_launches(caps: &Caps) -> Vec<Launch> {
    [copy(1 << 10, caps), chains(1 << 10, 1)].into_iter().flat_map(|p| p.launches).collect()
}

/// Memory for so many vec4.
fn array(gpu: &Gpu, count: usize) -> Result<View> {
    let layout = Layout::contiguous(Shape::from_checked(&[count * 4]));
    Ok(View { buf: gpu.alloc(count * 16, Role::Scratch)?, layout, dtype: DType::F32 })
}

fn copy(count: usize, caps: &Caps) -> Program {
    let kernel = Kernel { name: "roofline_copy", ..Kernel::default() };
    let launch = crate::kernels::walk(kernel, count, 0, count as u64 * 4, caps)
        .params([word(count)])
        .read(1, Slot::In(0))
        .write(2, Slot::Out(0));
    Program { launches: vec![launch], scratch: Vec::new() }
}

fn chains(threads: usize, turns: usize) -> Program {
    let kernel = Kernel { name: "roofline_multiply_add", ..Kernel::default() };
    let launch = Launch::new(kernel, [word(threads / 64), 1], (threads * turns) as u64 * 128)
        .steps(turns as u64)
        .params([word(turns), 0.999_f32.to_bits(), 0.001_f32.to_bits()])
        .write(1, Slot::Out(0));
    Program { launches: vec![launch], scratch: Vec::new() }
}

/// Seconds of the fastest run; several are submitted at once where one is short, so that what is measured is
/// the kernel and not the way to it.
fn fastest(gpu: &Gpu, program: &Program, ins: &[View], outs: &[View]) -> Result<f64> {
    let time = |repeats: u32| -> Result<f64> {
        let start = Instant::now();
        for _ in 0..repeats {
            gpu.recorder.record("roofline", program, ins, outs)?;
        }
        gpu.sync()?;
        Ok(start.elapsed().as_secs_f64() / f64::from(repeats))
    };
    let first = time(1).and_then(|_| time(1))?; // the very first compiles
    let repeats = (5e-3 / first).clamp(1.0, 100.0) as u32;
    let (begin, mut best) = (Instant::now(), f64::INFINITY);
    while begin.elapsed() < BUDGET {
        best = time(repeats)?.min(best);
    }
    Ok(best)
}
