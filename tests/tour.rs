//! The library in a minute: one idea per test, from a single number to a network that learns. Each
//! runs on the CPU and, where there is an adapter, on the GPU too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[allow(dead_code, reason = "the table serves other tests too")]
#[path = "support/tolerance.rs"]
mod tolerance;

use std::sync::{Mutex, PoisonError};
use wgrad::{Role, prelude::*};

/// The CPU, and the GPU if there is one. What is tested is the same on both. One test at a time: they
/// share the devices, and with them the count of bytes and the report of wrong labels.
fn on_each_device(test: impl Fn(&Device) -> Result<()>) -> Result<()> {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    test(&wgrad::cpu())?;
    let (best, why_no_gpu) = wgrad::best_device();
    match why_no_gpu {
        None => test(&best),
        Some(why) if std::env::var_os("WGRAD_REQUIRE_GPU").is_some_and(|v| v == "1") => Err(why),
        Some(why) => {
            eprintln!("on the CPU only: {why}");
            Ok(())
        }
    }
}

/// Numbers with a shape, on a device.
#[test]
fn tensors() -> Result<()> {
    on_each_device(|device| {
        let x = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3], device)?;
        assert_eq!((x.shape(), x.rank(), x.numel(), x.dtype()), (&[2, 3][..], 2, 6, DType::F32));

        // Operators for sketches, methods with a `Result` for everything.
        assert_eq!((&x * 2.0 - &x).to_vec::<f32>()?, x.to_vec::<f32>()?);
        assert_eq!(x.square()?.sqrt()?.to_vec::<f32>()?, x.to_vec::<f32>()?);
        assert_eq!(x.sum([0])?.to_vec::<f32>()?, [5.0, 7.0, 9.0]);
        assert_eq!(x.argmax(1)?.to_vec::<i32>()?, [2, 2]);
        assert_eq!(x.matmul(&x.t()?)?.to_vec::<f32>()?, [14.0, 32.0, 32.0, 77.0]);

        // A view is another look at the same memory.
        let t = x.t()?;
        assert_eq!((t.shape(), &t.layout().strides[..]), (&[3, 2][..], &[1, 3][..]));
        assert_eq!(t.storage()?.id(), x.storage()?.id());
        assert_eq!(x.slice(1, 1..3)?.to_vec::<f32>()?, [2.0, 3.0, 5.0, 6.0]);
        Ok(())
    })
}

/// NumPy's rule: aligned at the right, sizes must be equal or 1.
#[test]
fn broadcasting() -> Result<()> {
    on_each_device(|device| {
        let rows = Tensor::zeros([2, 3], device)?;
        let bias = Tensor::from_vec([1.0f32, 2.0, 3.0], [3], device)?;
        let column = Tensor::from_vec([10.0f32, 20.0], [2, 1], device)?;
        let sum = rows.try_add(&bias)?.try_add(&column)?;
        assert_eq!(sum.to_vec::<f32>()?, [11.0, 12.0, 13.0, 21.0, 22.0, 23.0]);
        assert_eq!(bias.broadcast_to([2, 3])?.layout().strides[..], [0, 1]);
        Ok(())
    })
}

/// `backward` returns the gradients of the leaves; nothing is kept in the tensors.
#[test]
fn gradients() -> Result<()> {
    on_each_device(|device| {
        let w = Tensor::from_vec([3.0f32, -1.0], [2], device)?.requiring_grad();
        let loss = w.square()?.sum_all()?; // Σw², so dw = 2w
        assert_eq!(loss.backward()?.wrt(&w)?.to_vec::<f32>()?, [6.0, -2.0]);

        // A number that broadcasting used twice has the sum of two gradients.
        let x = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], [2, 2], device)?;
        let loss = x.try_mul(&w)?.sum_all()?;
        assert_eq!(loss.backward()?.wrt(&w)?.to_vec::<f32>()?, [4.0, 6.0]);

        assert!(!no_grad(|| w.exp())?.requires_grad());
        assert!(!w.exp()?.detach().requires_grad());
        Ok(())
    })
}

/// A layer is a struct with parameters that have names.
#[test]
fn a_layer() -> Result<()> {
    on_each_device(|device| {
        let layer =
            Linear::new(3, 2, &mut Init::new(1))?.activation(Activation::Relu).on(device)?;
        assert_eq!(layer.names(), ["weight", "bias"]);
        assert_eq!(layer.count_parameters(), 3 * 2 + 2);

        // relu(X Wᵀ + b), the long way round.
        let x = Tensor::from_vec([1.0f32, -2.0, 0.5, 0.0, 1.0, -1.0], [2, 3], device)?;
        let (w, b) = (layer.weight.tensor()?, layer.bias.as_ref().unwrap().tensor()?);
        let by_hand = x.matmul(&w.t()?)?.try_add(b)?.relu()?.to_vec::<f32>()?;
        // Three products, the sum of their sizes below 2.
        let layer_scale = tolerance::Context { scale: 2.0, terms: 3, half: false, coarse: false };
        for (got, want) in layer.forward(&x)?.to_vec::<f32>()?.iter().zip(by_hand) {
            let near = tolerance::of("linear").bound(0.0, &layer_scale);
            assert!(f64::from((got - want).abs()) <= near, "{got} {want}");
        }
        Ok(())
    })
}

/// Losses are methods: mean squared error, and cross-entropy from logits with integer labels.
#[test]
fn a_loss() -> Result<()> {
    on_each_device(|device| {
        let y = Tensor::from_vec([1.0f32, 2.0], [2], device)?;
        let target = Tensor::from_vec([1.0f32, 4.0], [2], device)?;
        assert_eq!(y.mse(&target)?.item::<f32>()?, 2.0);

        // Equal logits say that each of 4 classes is as likely: the loss is ln 4.
        let logits = Tensor::zeros([3, 4], device)?.requiring_grad();
        let labels = Tensor::from_vec([0i32, 1, 3], [3], device)?;
        let loss = logits.cross_entropy(&labels)?;
        let near = |got: f32, want| tolerance::of("cross_entropy").allows(f64::from(got), want);
        assert!(near(loss.item::<f32>()?, 4f64.ln()));
        // Its gradient is (softmax - one_hot) / rows.
        let gradient = loss.backward()?.wrt(&logits)?.to_vec::<f32>()?;
        assert!(near(gradient[0], (0.25 - 1.0) / 3.0));
        assert!(near(gradient[1], 0.25 / 3.0));
        Ok(())
    })
}

/// A model, an optimizer, and a loop. XOR is what one layer alone cannot learn.
#[test]
fn training() -> Result<()> {
    on_each_device(|device| {
        let x = Tensor::from_vec([0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], [4, 2], device)?;
        let labels = Tensor::from_vec([0i32, 1, 1, 0], [4], device)?;

        let model = Mlp::with_seed(&[2, 16, 2], 1, device)?;
        let adam = Adam::new(&model, 0.05)?;
        for _ in 0..100 {
            let loss = model.forward(&x)?.cross_entropy(&labels)?;
            adam.step(&loss.backward()?)?;
        }
        let logits = no_grad(|| model.forward(&x))?;
        assert!(logits.cross_entropy(&labels)?.item::<f32>()? < 0.1);
        assert_eq!(accuracy(&logits, &labels)?, 1.0);
        Ok(())
    })
}

/// Every device counts its bytes by what they are for.
#[test]
fn memory() -> Result<()> {
    on_each_device(|device| {
        const MIB: usize = 1 << 20;
        let x = Tensor::zeros([4, MIB / 4], device)?; // 4 MiB of f32
        let model = Mlp::new(&[64, 64], device)?;
        let report = device.memory();
        assert!(report.role(Role::Activations) >= 4 * MIB);
        assert!(report.role(Role::Parameters) >= 4 * model.count_parameters());
        assert!(report.peak >= report.in_use());
        assert!(report.to_string().contains("activations"));

        // Memory that nobody holds any more goes back at once, to a pool for the next tensor.
        drop(x);
        assert!(device.memory().in_use() <= report.in_use() - 4 * MIB);
        Ok(())
    })
}

/// An error names the operation, the shapes or types, and the line that asked for it.
#[test]
fn errors_that_tell() -> Result<()> {
    on_each_device(|device| {
        let (a, b) = (Tensor::zeros([2, 3], device)?, Tensor::zeros([4, 2], device)?);
        let line = line!() + 1;
        let error = a.matmul(&b).unwrap_err();
        assert_eq!((error.kind(), error.op()), (ErrorKind::Shape, "matmul"));
        let text = error.to_string();
        assert!(text.contains("inner sizes differ, [2, 3] x [4, 2]"), "{text}");
        assert_eq!((error.location().file(), error.location().line()), (file!(), line));

        // Nothing is converted silently.
        let whole = Tensor::from_vec([1i32, 2, 3], [3], device)?;
        assert_eq!(a.try_add(&whole).unwrap_err().kind(), ErrorKind::DType);

        // A wrong label is in the data, which a GPU sees later: the next read reports it, with value
        // and position, and until then no optimizer's step takes effect.
        let logits = Tensor::zeros([3, 4], device)?;
        let labels = Tensor::from_vec([0i32, 7, 1], [3], device)?;
        let error = logits.cross_entropy(&labels).and_then(|loss| loss.item::<f32>()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Index);
        assert!(error.message().contains("index 7 at position 1 lies outside 0..4"), "{error}");

        // The device is as good as before.
        let labels = Tensor::from_vec([0i32, 2, 1], [3], device)?;
        assert!(logits.cross_entropy(&labels)?.item::<f32>()? > 0.0);
        Ok(())
    })
}
