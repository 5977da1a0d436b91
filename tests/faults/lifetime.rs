//! D, K: memory over a run, drops in any order, threads, several devices. These open devices of their own.

use crate::{floats, order::Run, read, refused, support::devices};
use std::thread;
use wgrad_core::{Device, ErrorKind, MemoryReport, Tensor};
use wgrad_gpu::Options;

pub const ROWS: &[(&str, fn())] = &[
    ("D8_memory_is_flat_over_steps", memory_is_flat),
    ("D9_memory_comes_back", memory_comes_back),
    ("D11_drops_in_any_order", drops_in_any_order),
    ("K1_threads_share_a_device", threads_share_a_device),
    ("A6_two_devices_of_one_instance", two_devices),
];

fn open() -> Device {
    devices::open(&Options::default()).unwrap()
}

fn held(report: &MemoryReport) -> usize {
    report.in_use() + report.pooled
}

fn memory_is_flat() {
    let device = open();
    let run = Run::new(&device);
    let mut most = 0;
    for step in 0..60 {
        run.step(&[0, 1, 2, 1]).unwrap();
        let now = held(&device.memory());
        if step < 20 {
            most = most.max(now);
        } else {
            assert!(now <= most, "step {step} holds {now} bytes, the first 20 held {most}");
        }
    }
}

fn memory_comes_back() {
    let device = open();
    assert_eq!(device.memory().in_use(), 0, "an open device holds nothing in its ledger");
    let run = Run::new(&device);
    for _ in 0..3 {
        run.step(&[0, 1, 2, 1]).unwrap();
    }
    drop(run);
    let report = device.memory();
    assert_eq!(report.in_use(), 0, "{report}");
    assert!(report.pooled > 0 && report.peak > 0, "{report}");
    device.trim();
    assert_eq!(device.memory().pooled, 0);
    // The state of random numbers is all that a device keeps for itself: 16 bytes, in the pool's smallest size.
    drop(Tensor::uniform([10], 0.0, 1.0, &device).unwrap());
    device.sync().unwrap();
    assert_eq!(device.memory().in_use(), 256);
}

fn drops_in_any_order() {
    // A tensor outlives every handle to its device.
    let device = open();
    let x = floats(&[1.0, 2.0], &[2], &device);
    drop(device);
    assert_eq!(read(&x.try_add(1.0).unwrap()), [2.0, 3.0]);
    drop(x);
    // Work that nobody waits for, and a read that nobody takes.
    let device = open();
    let x = floats(&[1.0; 1000], &[1000], &device);
    let mut y = x.clone();
    for _ in 0..300 {
        y = y.try_mul(1.5).unwrap();
    }
    let read = y.read::<f32>().unwrap();
    drop((x, y));
    drop(device);
    drop(read);
    // A read that is taken after everything else is gone.
    let device = open();
    let read = floats(&[3.0], &[1], &device).try_add(1.0).unwrap().read::<f32>().unwrap();
    drop(device);
    assert_eq!(read.wait(std::time::Duration::from_secs(60)).unwrap(), [4.0]);
}

fn threads_share_a_device() {
    let device = open();
    thread::scope(|scope| {
        for number in 0..8u16 {
            let device = &device;
            scope.spawn(move || {
                let base = f32::from(number);
                let x = floats(&[base; 257], &[257], device);
                for round in 0..40u16 {
                    let y = x.try_mul(2.0).unwrap().try_add(f32::from(round)).unwrap();
                    let sum = y.sum_all().unwrap();
                    assert_eq!(read(&y), [base * 2.0 + f32::from(round); 257]);
                    assert_eq!(read(&sum), [257.0 * (base * 2.0 + f32::from(round))]);
                    let product =
                        y.reshape([257, 1]).unwrap().matmul(&y.reshape([1, 257]).unwrap()).unwrap();
                    assert_eq!(read(&product)[66_048], (base * 2.0 + f32::from(round)).powi(2));
                }
            });
        }
    });
    device.sync().unwrap();
}

fn two_devices() {
    let [a, b] = [open(), open()];
    let (x, y) = (floats(&[1.0], &[1], &a), floats(&[2.0], &[1], &b));
    refused(x.try_add(&y), ErrorKind::Device, &["different devices"]);
    assert_eq!(read(&x.try_add(&y.to(&a).unwrap()).unwrap()), [3.0]);
    drop(a);
    assert_eq!(read(&y.try_mul(2.0).unwrap()), [4.0]);
}
