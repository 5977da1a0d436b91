#![allow(missing_docs, clippy::unwrap_used)]
use wgrad_core::*;
use std::time::Instant;
fn time(name: &str, mut f: impl FnMut()) {
    f(); f();
    let mut best = f64::MAX;
    for _ in 0..5 { let t = Instant::now(); f(); best = best.min(t.elapsed().as_secs_f64()); }
    println!("{name:30} {:10.3} ms", best*1e3);
}
#[test]
fn speed() {
    let d = Device::cpu();
    let x = Tensor::normal([4_000_000], 0.0, 1.0, &d).unwrap();
    let c = x.try_gt(0.0).unwrap();
    let u = c.cast(DType::U32).unwrap();
    time("mask", || { x.mask(&c).unwrap(); });
    for _ in 0..40 { x.mask(&c).unwrap(); }
    return; time("mask u32", || { u.mask(&c).unwrap(); });
    time("mul u32", || { u.try_mul(&u).unwrap(); });
    time("compare eq", || { u.try_eq(&u).unwrap(); });
    time("max", || { u.maximum(&u).unwrap(); });
    time("add", || { x.try_add(&x).unwrap(); });
    time("maxf", || { x.maximum(&x).unwrap(); });
}
