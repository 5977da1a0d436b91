//! Tensors from nothing. A row's one input only says on which device and in which type.

use crate::support::{
    devices,
    inputs::given,
    row::{Case, Row, row},
};
use wgrad_core::{DType, Device, Result, Tensor};

fn anywhere() -> Case {
    Case::new([given(&[], &[0.0])])
}

fn made(
    name: &str,
    rule: &'static str,
    make: impl Fn(DType, &Device) -> Result<Tensor> + Send + Sync + 'static,
) -> Row {
    row(name, rule, move |x| make(x[0].dtype(), x[0].device()))
        .case(anywhere())
        .kernels(&["generate"])
        .no_gradient("made from nothing")
}

/// Two draws from one seed, so that the second shows whether the stream went on.
fn draws(draw: impl Fn(&[usize]) -> Result<Tensor>, device: &Device) -> Result<Tensor> {
    let _alone = devices::stream();
    device.seed(0xdead_beef_0042)?;
    let all = [draw(&[33])?, draw(&[4, 64])?.reshape([256])?, draw(&[1])?];
    Tensor::concat(&[&all[0], &all[1], &all[2]], 0)
}

pub fn rows() -> Vec<Row> {
    let uniform = made("uniform", "uniform", |_, device| {
        draws(|shape| Tensor::uniform(shape, -2.0, 3.0, device), device)
    });
    let normal = made("normal", "normal", |_, device| {
        draws(|shape| Tensor::normal(shape, 0.5, 2.0, device), device)
    });
    let random = [uniform, normal].map(|row| row.kernels(&["random", "random_advance", "map1"]));
    let mut rows = vec![
        made("full", "exact", |dtype, device| Tensor::full([5, 7], -1.25, dtype, device)),
        made("full rank_0", "exact", |dtype, device| Tensor::full([], 3.0, dtype, device)),
        made("full i32", "exact", |_, device| Tensor::full([65], -7.0, DType::I32, device)),
        made("full bool", "exact", |_, device| Tensor::full([65], 2.0, DType::Bool, device)),
        made("zeros", "exact", |_, device| Tensor::zeros([129], device)),
        made("ones", "exact", |_, device| Tensor::ones([3, 0, 2], device)).kernels(&[]),
        made("full_like", "exact", |dtype, device| {
            Tensor::full_like(&Tensor::full([3, 4], 1.0, dtype, device)?, 6.0)
        }),
        made("arange", "arithmetic", |dtype, device| {
            Tensor::arange(-1.5, 60.0, 0.25, dtype, device)
        }),
        made("arange falling", "exact", |_, device| {
            Tensor::arange(5.0, -60.0, -3.0, DType::I32, device)
        }),
        made("arange u32", "exact", |_, device| Tensor::arange(2.0, 40.0, 3.0, DType::U32, device)),
    ];
    rows.extend(random);
    rows
}
