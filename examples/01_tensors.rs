//! Part 1 of the course: what a tensor is, how to make one, look at it, compute with it, and get the
//! numbers back.
//!
//! ```text
//! cargo run --release --example 01_tensors
//! ```

use wgrad::prelude::*;

fn main() -> Result<()> {
    // A tensor lives on a device. `best_device` opens a GPU if there is one, else it gives the CPU and
    // an error that says why. Nothing below depends on which one it is.
    let (device, why_no_gpu) = wgrad::best_device();
    println!("device: {}", device.info());
    if let Some(why) = why_no_gpu {
        println!("no GPU: {why}");
    }

    // ---- making tensors --------------------------------------------------------------------------

    // Numbers in row-major order (row after row), and the shape: 2 rows, 3 columns. The type of the
    // numbers is the type of the tensor. `f32` is the usual one.
    let x = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3], &device)?;
    println!("\nx = {:?}", x.to_vec::<f32>()?);
    println!("    shape {:?}, rank {}, {} elements", x.shape(), x.rank(), x.numel());
    println!("    type {}, on {}", x.dtype(), x.device().info().name);

    let zeros = Tensor::zeros([2, 3], &device)?;
    let counts = Tensor::arange(0.0, 6.0, 1.0, DType::I32, &device)?;
    println!("zeros  {:?}", zeros.to_vec::<f32>()?);
    println!("arange {:?}", counts.to_vec::<i32>()?);

    // Random numbers come from the device's own stream: the same seed, the same numbers.
    device.seed(7)?;
    let noise = Tensor::uniform([3], -1.0, 1.0, &device)?;
    println!("noise  {:?}", noise.to_vec::<f32>()?);

    // ---- computing -------------------------------------------------------------------------------

    // Operations never change their operands: each gives a new tensor. Most are methods that return a
    // `Result`. The operators + - * / read better, and panic where the method would return an error
    // about shapes, types or devices.
    let doubled = &x * 2.0;
    let sum = &x + &doubled;
    let root = sum.sqrt()?;
    println!("\n3x       = {:?}", sum.to_vec::<f32>()?);
    println!("sqrt(3x) = {:?}", root.to_vec::<f32>()?);

    // Reductions take the axes that disappear: axis 0 counts rows, axis 1 columns, -1 is the last.
    println!("column sums {:?}", x.sum([0])?.to_vec::<f32>()?);
    println!("row means   {:?}", x.mean([-1])?.to_vec::<f32>()?);
    println!("largest     {}", x.max_all()?.item::<f32>()?);

    // `matmul` is the matrix product: [2, 3] times [3, 2] is [2, 2].
    let square = x.matmul(&x.t()?)?;
    println!("x xT        {:?}, shape {:?}", square.to_vec::<f32>()?, square.shape());

    // ---- types are never mixed silently ----------------------------------------------------------

    if let Err(error) = x.try_add(&counts.reshape([2, 3])?) {
        println!("\nfloats + integers:\n  {error}");
    }
    let sum = x.try_add(&counts.reshape([2, 3])?.cast(DType::F32)?)?;
    println!("after a cast: {:?}", sum.to_vec::<f32>()?);

    // ---- views share memory ----------------------------------------------------------------------

    // Transposing, slicing and most reshaping give another look at the same numbers, for free. A view
    // has a stride for each axis: how many elements lie between neighbours. Part 3 uses this.
    let t = x.t()?;
    println!("\nx   shape {:?} strides {:?}", x.shape(), x.layout().strides);
    println!("xT  shape {:?} strides {:?}", t.shape(), t.layout().strides);
    println!("same memory: {}", x.storage()?.id() == t.storage()?.id());
    let last = x.slice(1, 2..3)?;
    println!("last column {:?}, from element {}", last.to_vec::<f32>()?, last.layout().offset);

    // ---- where the time goes ---------------------------------------------------------------------

    // On a GPU an operation is only written down when you call it. It runs when someone wants to see a
    // number: `to_vec` and `item` send off what is written down and wait. So read seldom: once at the
    // end of this chain rather than after each line.
    let mut y = x.clone();
    for _ in 0..10 {
        y = y.tanh()?;
    }
    println!("\ntanh ten times: {:?}", y.to_vec::<f32>()?);
    Ok(())
}
