//! Batch norm over [n, channels, size] and its gradients; everything in f64, rounded once.

use super::{
    number::{Float, Number, for_float},
    operand::{In, Out},
    parallel,
};
use crate::{Error, Result, ops::batch_norm::BatchNorm};

/// Channels and their size.
fn sizes(x: &In<'_>) -> Result<(usize, usize)> {
    match x.layout.shape[..] {
        [_, channels, size] if channels > 0 && size > 0 => Ok((channels, size)),
        _ => Err(Error::internal("batch_norm", "works on [n, channels, size]")),
    }
}

/// All pieces of one channel.
fn pieces<T>(
    x: &[T],
    channels: usize,
    size: usize,
    c: usize,
) -> impl Iterator<Item = &[T]> + Clone {
    x.chunks(size).skip(c).step_by(channels)
}

/// What turns an element into its normalised value, as the statistics give it.
fn normal<T: Float>(statistics: &[T], channels: usize, c: usize) -> impl Fn(T) -> f64 + Copy {
    let of = |row: usize| statistics.get(row * channels + c).map_or(0.0, |x| x.to_f64());
    let (pivot, shift, scale) = (of(0), of(1), of(3));
    move |x| (x.to_f64() - pivot - shift) * scale
}

pub(super) fn forward(
    op: &BatchNorm,
    [x, gamma, beta]: [&In<'_>; 3],
    y: &mut Out<'_>,
    statistics: &mut Out<'_>,
) -> Result<()> {
    let (channels, size) = sizes(x)?;
    for_float!(x.dtype, "batch_norm", T => {
        let (x, gamma) = (x.of::<T>().elements(), gamma.of::<T>().elements());
        let (x, beta) = (&x[..], beta.of::<T>().elements());
        let mut found = vec![[T::ZERO; 5]; channels];
        let threads = parallel::threads(x.len());
        parallel::run(threads, found.iter_mut().enumerate().collect(), |(c, found)| {
            let pieces = pieces(x, channels, size, c);
            let count = (x.len() / channels) as f64;
            let pivot = pieces.clone().next().and_then(<[T]>::first).map_or(0.0, |x| x.to_f64());
            let sum = |f: &dyn Fn(f64) -> f64| -> f64 {
                pieces.clone().map(|piece| piece.iter().map(|x| f(x.to_f64())).sum::<f64>()).sum()
            };
            let shift = T::from_f64(sum(&|x| x - pivot) / count);
            let away = |x: f64| x - pivot - shift.to_f64();
            let variance = sum(&|x| away(x) * away(x)) / count;
            let scale = T::from_f64(1.0 / (variance + op.eps).sqrt());
            let mean = T::from_f64(pivot + shift.to_f64());
            *found = [T::from_f64(pivot), shift, T::from_f64(variance), scale, mean];
        });
        let mut statistics = statistics.of::<T>();
        let statistics = statistics.elements_mut();
        for (c, found) in found.iter().enumerate() {
            statistics.iter_mut().skip(c).step_by(channels).zip(found).for_each(|(to, x)| *to = *x);
        }
        let statistics = &*statistics;
        let mut y = y.of::<T>();
        let tasks = y.elements_mut().chunks_mut(size * channels).zip(x.chunks(size * channels));
        parallel::run(threads, tasks.collect(), |(y, x)| {
            for (c, (y, x)) in y.chunks_mut(size).zip(x.chunks(size)).enumerate() {
                let normal = normal(statistics, channels, c);
                let (gamma, beta) = (gamma[c].to_f64(), beta[c].to_f64());
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = T::from_f64(normal(x) * gamma + beta));
            }
        });
    });
    Ok(())
}

pub(super) fn sums([dy, x, statistics]: [&In<'_>; 3], out: &mut Out<'_>) -> Result<()> {
    let (channels, size) = sizes(x)?;
    for_float!(x.dtype, "batch_norm", T => {
        let (dy, x) = (dy.of::<T>().elements(), x.of::<T>().elements());
        let statistics = statistics.of::<T>().elements();
        let mut out = out.of::<T>();
        let (along, plain) = out.elements_mut().split_at_mut(channels);
        let tasks = along.iter_mut().zip(plain).enumerate().collect();
        parallel::run(parallel::threads(x.len()), tasks, |(c, (along, plain))| {
            let normal = normal(&statistics, channels, c);
            let (mut sum_along, mut sum) = (0.0, 0.0);
            let pairs = pieces(&x, channels, size, c).zip(pieces(&dy, channels, size, c));
            for (x, dy) in pairs.flat_map(|(x, dy)| x.iter().zip(dy)) {
                sum_along += dy.to_f64() * normal(*x);
                sum += dy.to_f64();
            }
            (*along, *plain) = (T::from_f64(sum_along), T::from_f64(sum));
        });
    });
    Ok(())
}

pub(super) fn backward(
    [dy, x, statistics, gamma, sums]: [&In<'_>; 5],
    dx: &mut Out<'_>,
) -> Result<()> {
    let (channels, size) = sizes(x)?;
    for_float!(x.dtype, "batch_norm", T => {
        let (dy, x) = (dy.of::<T>().elements(), x.of::<T>().elements());
        let (gamma, sums) = (gamma.of::<T>().elements(), sums.of::<T>().elements());
        let statistics = statistics.of::<T>().elements();
        let count = (x.len() / channels) as f64;
        let mut dx = dx.of::<T>();
        let whole = size * channels;
        let tasks = dx.elements_mut().chunks_mut(whole).zip(x.chunks(whole).zip(dy.chunks(whole)));
        parallel::run(parallel::threads(x.len()), tasks.collect(), |(dx, (x, dy))| {
            let rows = dx.chunks_mut(size).zip(x.chunks(size).zip(dy.chunks(size)));
            for (c, (dx, (x, dy))) in rows.enumerate() {
                let normal = normal(&statistics, channels, c);
                let (along, mean) = (sums[c].to_f64() / count, sums[channels + c].to_f64() / count);
                let scale = gamma[c].to_f64() * statistics[3 * channels + c].to_f64();
                for (dx, (x, dy)) in dx.iter_mut().zip(x.iter().zip(dy)) {
                    *dx = T::from_f64(scale * (dy.to_f64() - mean - normal(*x) * along));
                }
            }
        });
    });
    Ok(())
}
