//! scratch
use std::time::Instant;
use wgrad::prelude::*;

fn best(mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    f()?;
    f()?;
    let mut least = f64::INFINITY;
    for _ in 0..7 {
        let start = Instant::now();
        f()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least * 1e3)
}
fn done(y: &Tensor) -> Result<()> {
    let mut one = y.clone();
    for axis in 0..y.rank() {
        one = one.slice(axis as isize, 0..1)?;
    }
    one.item::<f32>()?;
    Ok(())
}
fn main() -> Result<()> {
    let only = std::env::args().nth(1).unwrap_or_default();
    for d in [wgrad::gpu()?, wgrad::cpu()] {
        println!("{}", d.info());
        for n in [512, 256] {
            if only.len() > 0 && only != "matmul" {
                continue;
            }
            let (a, b) =
                (Tensor::uniform([n, n], -1.0, 1.0, &d)?, Tensor::uniform([n, n], -1.0, 1.0, &d)?);
            let t = best(|| done(&a.matmul(&b)?))?;
            println!("matmul {n}: {t:.2} ms {:.1} GFLOP/s", 2.0 * (n * n * n) as f64 / t / 1e6);
        }
        if only.is_empty() || only == "matmul" {
            let (a, b) = (
                Tensor::uniform([64, 288], -1.0, 1.0, &d)?,
                Tensor::uniform([288, 12544], -1.0, 1.0, &d)?,
            );
            let t = best(|| done(&a.matmul(&b)?))?;
            println!(
                "matmul 64x288x12544: {t:.2} ms {:.1} GFLOP/s",
                2.0 * 64.0 * 288.0 * 12544.0 / t / 1e6
            );
        }
        let one = Conv2dOptions::new();
        for (name, x, w, options) in [
            ("3x3 32->64 14", [64, 32, 14, 14], [64, 32, 3, 3], one.padding(1)),
            ("3x3 32->64 28", [32, 32, 28, 28], [64, 32, 3, 3], one.padding(1)),
            ("lenet1", [64, 1, 28, 28], [6, 1, 5, 5], one.padding(2)),
            ("lenet2", [64, 6, 14, 14], [16, 6, 5, 5], one),
            ("stride2 32->64", [64, 32, 14, 14], [64, 32, 3, 3], one.padding(1).stride(2)),
            ("1x1 64->128", [32, 64, 14, 14], [128, 64, 1, 1], one),
            ("depthwise 64", [32, 64, 14, 14], [64, 1, 3, 3], one.padding(1).groups(64)),
        ] {
            if !only.is_empty() && !name.starts_with(&only) {
                continue;
            }
            let xt = Tensor::uniform(x, -1.0, 1.0, &d)?;
            let wt = Tensor::uniform(w, -1.0, 1.0, &d)?;
            let y = xt.conv2d(&wt, None, &options)?;
            let flop = 2.0 * y.numel() as f64 * (w[1] * w[2] * w[3]) as f64;
            let dy = Tensor::uniform(y.shape(), -1.0, 1.0, &d)?;
            let f = best(|| done(&xt.conv2d(&wt, None, &options)?))?;
            let (xg, wg) = (xt.requiring_grad(), wt.requiring_grad());
            let yx = xg.conv2d(&wt, None, &options)?;
            let bx = best(|| done(yx.backward_with(&dy)?.wrt(&xg)?))?;
            let yw = xt.conv2d(&wg, None, &options)?;
            let bw = best(|| done(yw.backward_with(&dy)?.wrt(&wg)?))?;
            let g = |t: f64| flop / t / 1e6;
            println!(
                "{name:16} forward {f:.2} ms {:.1} | input {bx:.2} ms {:.1} | weight {bw:.2} ms {:.1} GFLOP/s",
                g(f),
                g(bx),
                g(bw)
            );
        }
        if only.is_empty() || only == "pool" {
            let xt = Tensor::uniform([64, 32, 28, 28], -1.0, 1.0, &d)?.requiring_grad();
            let o = Pool2dOptions::new(2);
            for (name, f) in [
                ("max", Tensor::max_pool2d as fn(&Tensor, &Pool2dOptions) -> Result<Tensor>),
                ("avg", Tensor::avg_pool2d),
            ] {
                let y = f(&xt, &o)?;
                let t = best(|| done(&f(&xt, &o)?))?;
                let dy = Tensor::ones(y.shape(), &d)?;
                let b = best(|| done(y.backward_with(&dy)?.wrt(&xt)?))?;
                println!("{name}_pool 2x2 of [64,32,28,28]: {t:.2} ms, backward {b:.2} ms");
            }
        }
    }
    Ok(())
}
