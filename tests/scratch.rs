mod support;
use wgrad_core::*;
#[test]
fn scratch() {
    let gpu = support::devices::device(support::devices::Mode::Software).unwrap();
    for n in [20000usize, 30000, 40000, 70000] {
    for d in [Device::cpu(), gpu.device.clone()] {
        let x = Tensor::full([1, n], 1.0, DType::F32, &d).unwrap();
        let y = x.softmax(-1).unwrap().to_vec::<f32>().unwrap();
        println!("softmax {n} {:?} {:?}", y[0] * n as f32, y[n-1] * n as f32);
    }
    }
    for n in [100_000usize, 300_000, 1_000_000, 4_000_000, 10_000_000] {
        let d = &gpu.device;
        let x = Tensor::full([n], 1.0, DType::F32, &d).unwrap();
        println!("{n} sum {:?} ", x.sum_all().unwrap().item::<f32>());
        println!("{n} dot {:?} ", x.matmul(&x).unwrap().item::<f32>());
        println!("{n} strided sum {:?} ", x.reshape([n/10, 10]).unwrap().slice(1, 0..5).unwrap().sum_all().unwrap().item::<f32>());
        let idx = Tensor::full([n], 0.0, DType::I32, &d).unwrap();
        println!("{n} scatter {:?} ", x.scatter_rows(&idx, 1).unwrap().item::<f32>());
    }
}
