//! What a device's memory and arithmetic allow, measured before anything is set against it.

use std::{hint::black_box, time::Instant};
use wgrad::{Device, DeviceKind, Result, Roofline, roofline};

/// Measures a device.
pub fn measure(device: &Device) -> Result<Roofline> {
    match device.info().kind {
        DeviceKind::Cpu => Ok(Roofline { bytes: copy_rate(), flops: multiply_add_rate() }),
        _ => roofline(device),
    }
}

/// The least time in seconds for so much work; 0 where nothing bounds it.
pub fn floor(roofline: &Roofline, flops: f64, bytes: f64) -> f64 {
    (flops / roofline.flops).max(bytes / roofline.bytes)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Rate of `work` done by all threads together, the best of a few tries.
fn rate(work: f64, run: impl Fn() + Sync) -> f64 {
    let threads = threads();
    let once = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(&run);
            }
        });
        work * threads as f64 / start.elapsed().as_secs_f64()
    };
    (0..5).map(|_| once()).fold(0.0, f64::max)
}

/// Bytes per second, read and written ones together.
fn copy_rate() -> f64 {
    const BYTES: usize = 16 << 20;
    const TIMES: usize = 8;
    rate((2 * BYTES * TIMES) as f64, || {
        let (from, mut to) = (vec![1u8; BYTES], vec![0u8; BYTES]);
        for _ in 0..TIMES {
            black_box(&mut to).copy_from_slice(black_box(&from));
        }
    })
}

/// f32 operations per second, a multiply-add counting two.
fn multiply_add_rate() -> f64 {
    const TURNS: usize = 1 << 19;
    rate((TURNS * CHAINS * LANES * 2) as f64, || {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the feature was just detected.
                return unsafe { chains_avx512(TURNS) };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                // SAFETY: the features were just detected.
                return unsafe { chains_avx2(TURNS) };
            }
            chains(TURNS, |a, b, c| a * b + c);
        }
        #[cfg(not(target_arch = "x86_64"))]
        chains(TURNS, f32::mul_add)
    })
}

const LANES: usize = 16;
/// Side by side, so that none waits for itself.
const CHAINS: usize = 10;

#[inline(always)]
fn chains(turns: usize, multiply_add: impl Fn(f32, f32, f32) -> f32) {
    let mut sums = [[1.0f32; LANES]; CHAINS];
    let (factor, term) = (black_box(0.999f32), black_box(0.001f32));
    for _ in 0..turns {
        for chain in &mut sums {
            for x in chain {
                *x = multiply_add(*x, factor, term);
            }
        }
    }
    black_box(&sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn chains_avx512(turns: usize) {
    chains(turns, f32::mul_add);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn chains_avx2(turns: usize) {
    chains(turns, f32::mul_add);
}
