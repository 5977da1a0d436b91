//! Devices: choice of adapter, asynchronous reads, loss. On a GPU adapter, shown as ignored without one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails by panicking"
)]

mod support;

use std::time::Duration;
use support::devices;
use wgrad::{AdapterChoice, Device, Error, ErrorKind, Result, Step, Tensor};
use wgrad_gpu::{Edit, Gpu, Options};

/// A device of this test's own, so that losing it harms no other.
fn own() -> Result<Device> {
    wgrad::open(&AdapterChoice::Auto)
}

fn gpu(device: &Device) -> Result<&Gpu> {
    Gpu::of(device).ok_or_else(|| Error::device("test", "not a GPU device"))
}

fn reads_can_be_awaited() -> Result<()> {
    let device = own()?;
    let x = Tensor::from_vec([1.0f32, 2.0, 3.0], [3], &device)?;
    let y = x.try_mul(2.0)?;
    let values = pollster::block_on(async { y.read::<f32>()?.await })?;
    assert_eq!(values, [2.0, 4.0, 6.0]);
    Ok(())
}

fn two_reads_wait_in_any_order() -> Result<()> {
    let device = own()?;
    let x = Tensor::from_vec([1.0f32, 2.0], [2], &device)?;
    let first = x.read::<f32>()?;
    let second = x.try_add(1.0)?.read::<f32>()?;
    assert_eq!(second.wait(Duration::from_secs(60))?, [2.0, 3.0]);
    assert_eq!(first.wait(Duration::from_secs(60))?, [1.0, 2.0]);
    Ok(())
}

/// Pipelines of a plan are built side by side; one that cannot be built is told by its operation all the same.
fn a_kernel_that_a_plan_lacks_is_an_error_with_its_line() -> Result<()> {
    let edit = Edit {
        kernel: "arg_reduce".to_owned(),
        from: "fn main(".to_owned(),
        to: "fn other(".to_owned(),
    };
    let device = devices::open(&Options { edit: Some(edit), ..Options::default() })?;
    let x = Tensor::from_vec([1.0f32, 3.0, 2.0, 0.0], [2, 2], &device)?;
    let line = line!() + 2;
    let step = Step::new(&device, |x| {
        let at = x[0].argmax(1)?;
        Ok(vec![x[0].softmax(1)?, at])
    });
    let error = step.run(&[&x]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Kernel, "{error}");
    assert!(error.message().contains("arg_reduce") || error.op() == "arg_reduce", "{error}");
    assert_eq!((error.location().file(), error.location().line()), (file!(), line), "{error}");
    assert_eq!(x.sum_all()?.item::<f32>()?, 6.0, "the device works on");
    Ok(())
}

fn a_lost_device_says_so_everywhere_and_does_not_hang() -> Result<()> {
    let device = own()?;
    let x = Tensor::from_vec([1.0f32, 2.0], [2], &device)?;
    let pending = x.try_add(1.0)?.read::<f32>()?;
    gpu(&device)?.destroy();
    // Either the answer was already on its way, or the loss is reported; never a hang.
    if let Err(error) = pending.wait(Duration::from_secs(10)) {
        assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    }
    for result in [
        x.try_add(1.0).map(|_| ()),
        x.to_vec::<f32>().map(|_| ()),
        Tensor::zeros([4], &device).map(|_| ()),
        device.sync(),
    ] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Lost);
    }
    let failed = &x + &x;
    assert_eq!(failed.to_vec::<f32>().unwrap_err().kind(), ErrorKind::Lost);
    // A new device works.
    let again = own()?;
    assert_eq!(Tensor::ones([2], &again)?.to_vec::<f32>()?, [1.0, 1.0]);
    Ok(())
}

fn adapters_are_found_by_kind_index_and_name() -> Result<()> {
    let all = wgrad::adapters()?;
    let first = &all[0];
    let name = first.name.to_uppercase();
    for choice in [AdapterChoice::Index(0), AdapterChoice::Name(name)] {
        assert_eq!(wgrad::open(&choice)?.info().name, first.name);
    }
    for choice in [AdapterChoice::Index(99), AdapterChoice::Name("no such adapter".into())] {
        let error = wgrad::open(&choice).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Device);
        assert!(error.message().contains(&first.name), "{error}");
    }
    assert_eq!(AdapterChoice::parse("1"), AdapterChoice::Index(1));
    assert_eq!(AdapterChoice::parse("gpu"), AdapterChoice::Gpu);
    Ok(())
}

fn large_tensors_are_refused_by_name() -> Result<()> {
    let device = own()?;
    let too_many = usize::try_from(gpu(&device)?.caps().max_buffer).unwrap() / 4 + 1024;
    let error = Tensor::zeros([too_many], &device).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Size, "{error}");
    assert_eq!(Tensor::ones([2], &device)?.to_vec::<f32>()?, [1.0, 1.0]);
    Ok(())
}

/// A name and what it tests.
type Row = (&'static str, fn() -> Result<()>);

fn main() -> std::process::ExitCode {
    let rows: [Row; 6] = [
        ("reads_can_be_awaited", reads_can_be_awaited),
        ("two_reads_wait_in_any_order", two_reads_wait_in_any_order),
        (
            "a_kernel_that_a_plan_lacks_is_an_error_with_its_line",
            a_kernel_that_a_plan_lacks_is_an_error_with_its_line,
        ),
        ("a_lost_device_says_so_everywhere", a_lost_device_says_so_everywhere_and_does_not_hang),
        ("adapters_by_kind_index_name", adapters_are_found_by_kind_index_and_name),
        ("large_tensors_are_refused", large_tensors_are_refused_by_name),
    ];
    support::runner::main(|suite| {
        for (name, row) in rows {
            suite.gpu(name, move || row().map_err(|e| e.to_string()));
        }
    })
}
