#![allow(missing_docs, clippy::unwrap_used)]
use wgrad_core::*;
use std::time::Instant;
fn time(name: &str, per: f64, unit: &str, mut f: impl FnMut()) {
    f(); f();
    let mut best = f64::MAX;
    for _ in 0..5 { let t = Instant::now(); f(); best = best.min(t.elapsed().as_secs_f64()); }
    println!("{name:30} {:10.3} ms  {:8.2} {unit}", best*1e3, per/best/1e9);
}
#[test]
fn speed() {
    let d = Device::cpu();
    let n = 4_000_000usize;
    let x = Tensor::normal([2000, 2000], 0.0, 1.0, &d).unwrap();
    let y = Tensor::normal([2000, 2000], 0.0, 1.0, &d).unwrap();
    let b = Tensor::normal([2000], 0.0, 1.0, &d).unwrap();
    let gb = 4.0 * n as f64;
    time("add", 3.0*gb, "GB/s", || { x.try_add(&y).unwrap(); });
    time("add row", 2.0*gb, "GB/s", || { x.try_add(&b).unwrap(); });
    time("add transposed", 3.0*gb, "GB/s", || { x.try_add(&y.t().unwrap()).unwrap(); });
    time("mul number", 2.0*gb, "GB/s", || { x.try_mul(2.0).unwrap(); });
    time("relu", 2.0*gb, "GB/s", || { x.relu().unwrap(); });
    time("gt", 2.0*gb, "GB/s", || { x.try_gt(0.0).unwrap(); });
    time("mask", 3.0*gb, "GB/s", || { x.mask(&y.try_gt(0.0).unwrap()).unwrap(); });
    let c = y.try_gt(0.0).unwrap();
    time("mask only", 3.0*gb, "GB/s", || { x.mask(&c).unwrap(); });
    time("gt again", 3.0*gb, "GB/s", || { y.try_gt(0.0).unwrap(); });
    for (name, f) in [("exp", Tensor::exp as fn(&Tensor)->Result<Tensor>), ("tanh", Tensor::tanh), ("sigmoid", Tensor::sigmoid), ("gelu", Tensor::gelu), ("gelu_tanh", Tensor::gelu_tanh), ("silu", Tensor::silu)] {
        time(name, n as f64, "Gelem/s", || { f(&x).unwrap(); });
    }
    time("sum all", gb, "GB/s", || { x.sum_all().unwrap(); });
    time("sum rows", gb, "GB/s", || { x.sum([1]).unwrap(); });
    time("sum cols", gb, "GB/s", || { x.sum([0]).unwrap(); });
    time("sum cols of t", gb, "GB/s", || { x.t().unwrap().sum([0]).unwrap(); });
    time("max rows", gb, "GB/s", || { x.max([1]).unwrap(); });
    time("argmax rows", gb, "GB/s", || { x.argmax(1).unwrap(); });
    time("argmax cols", gb, "GB/s", || { x.argmax(0).unwrap(); });
    let short = x.reshape([1_000_000, 4]).unwrap();
    time("sum of 4", gb, "GB/s", || { short.sum([1]).unwrap(); });
    time("softmax rows", n as f64, "Gelem/s", || { x.softmax(1).unwrap(); });
    time("softmax cols", n as f64, "Gelem/s", || { x.softmax(0).unwrap(); });
    time("copy t", 2.0*gb, "GB/s", || { x.t().unwrap().contiguous().unwrap(); });
    time("concat", 2.0*gb, "GB/s", || { Tensor::concat(&[&x, &b.unsqueeze(0).unwrap()], 0).unwrap(); });
    time("normal", n as f64, "Gelem/s", || { Tensor::normal([n], 0.0, 1.0, &d).unwrap(); });
    time("uniform", n as f64, "Gelem/s", || { Tensor::uniform([n], 0.0, 1.0, &d).unwrap(); });
    let flops = 2.0 * 1e9;
    let a = Tensor::normal([1000, 1000], 0.0, 1.0, &d).unwrap();
    time("matmul 1000", flops, "GFLOP/s", || { a.matmul(&a).unwrap(); });
    time("matmul 1000 t", flops, "GFLOP/s", || { a.matmul(&a.t().unwrap()).unwrap(); });
    time("linear 1000", flops, "GFLOP/s", || { a.linear(&a, None, None).unwrap(); });
    time("matvec", 2.0*4e6, "GFLOP/s", || { x.matmul(&b).unwrap(); });
    let idx = Tensor::full([2000], 3.0, DType::I32, &d).unwrap();
    time("gather", 2.0*gb, "GB/s", || { x.gather(&idx).unwrap(); });
    time("scatter", gb, "GB/s", || { x.scatter_rows(&idx, 2000).unwrap(); });
    let lab = Tensor::full([2000], 3.0, DType::I32, &d).unwrap();
    let xl = x.requiring_grad();
    time("cross entropy+grad", n as f64, "Gelem/s", || { xl.cross_entropy(&lab).unwrap(); });
    let h = x.cast(DType::F16).unwrap();
    time("to f16", 1.5*gb, "GB/s", || { x.cast(DType::F16).unwrap(); });
    time("from f16", 1.5*gb, "GB/s", || { h.cast(DType::F32).unwrap(); });
    time("where", 4.0*gb, "GB/s", || { y.try_gt(0.0).unwrap().select(&x, &y).unwrap(); });
    time("zeros", gb, "GB/s", || { Tensor::zeros([n], &d).unwrap(); });
    time("f16 add", 1.5*gb, "GB/s", || { h.try_add(&h).unwrap(); });
    let flat = FlatParameters::new(&[("p", &[n][..], vec![1.0; n])], &d).unwrap();
    let g = flat.get("p").unwrap().try_mul(&x.reshape([n]).unwrap()).unwrap().sum_all().unwrap().backward().unwrap();
    let hyper = flat.hyper(&[0.1, 0.9, 0.0]).unwrap();
    let v = flat.zeros_like().unwrap(); let m = flat.zeros_like().unwrap();
    time("sgd momentum", 5.0*gb, "GB/s", || { flat.sgd(&g, &hyper, Some(&v), false).unwrap(); });
    let hyper = flat.hyper(&[0.01, 0.9, 0.999, 1e-8, 0.0, 0.0, 0.1, 0.001, -0.105, -0.001]).unwrap();
    time("adam", 7.0*gb, "GB/s", || { flat.adam(&g, &hyper, (&m, &v), true).unwrap(); });
    let s = Tensor::normal([4], 0.0, 1.0, &d).unwrap();
    time("tiny add x1000", 1e3, "Gop/s", || { for _ in 0..1000 { s.try_add(&s).unwrap(); } });
}
