//! D: each request of a training step to its device failing in turn. Nothing panics, no memory stays, the model is as
//! it was, and the next step works.

use crate::{Fault, floats, read, whole};
use std::{
    any::Any,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use wgrad::{
    Step,
    nn::{State, StateEntry, StateVisitor},
    prelude::*,
};
use wgrad_core::{Backend, Buf, DeviceInfo, MemoryReport, Op, Pending, Plan, Role, Trace, View};

pub const ROWS: &[Fault] = &[
    ("D1_any_request_of_a_step_may_fail", |d| each_request_fails(d, false)),
    ("D1_any_request_of_a_recorded_step_may_fail", |d| each_request_fails(d, true)),
];

/// Fails one request, counted from 1; 0 for none.
#[derive(Clone, Default)]
struct Trap {
    requests: Arc<AtomicUsize>,
    fails: Arc<AtomicUsize>,
}

impl Trap {
    fn set(&self, fails: usize) {
        self.requests.store(0, Ordering::Relaxed);
        self.fails.store(fails, Ordering::Relaxed);
    }

    fn pass(&self, what: &'static str) -> Result<()> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if number == self.fails.load(Ordering::Relaxed) {
            return Err(Error::memory(what, "injected"));
        }
        Ok(())
    }
}

/// Another device, but for what the trap catches.
struct Trapped {
    inner: Device,
    trap: Trap,
}

impl Backend for Trapped {
    fn run(&self, op: &Op, ins: &[View], outs: &[View]) -> Result<()> {
        self.trap.pass("run")?;
        self.inner.backend().run(op, ins, outs)
    }
    fn info(&self) -> &DeviceInfo {
        self.inner.info()
    }
    fn supports(&self, dtype: DType) -> bool {
        self.inner.backend().supports(dtype)
    }
    fn alloc(&self, bytes: usize, role: Role) -> Result<Buf> {
        self.trap.pass("alloc")?;
        self.inner.backend().alloc(bytes, role)
    }
    fn upload(&self, dst: &Buf, at: usize, bytes: &[u8]) -> Result<()> {
        self.trap.pass("upload")?;
        self.inner.backend().upload(dst, at, bytes)
    }
    fn download(&self, src: &Buf, range: Range<usize>) -> Result<Pending> {
        self.trap.pass("download")?;
        self.inner.backend().download(src, range)
    }
    fn plan(&self, trace: &Trace) -> Result<Box<dyn Plan>> {
        self.trap.pass("plan")?;
        self.inner.backend().plan(trace)
    }
    fn sync(&self) -> Result<()> {
        self.inner.backend().sync()
    }
    fn memory(&self) -> MemoryReport {
        self.inner.backend().memory()
    }
    fn trim(&self) {
        self.inner.backend().trim();
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Net {
    conv: Conv2d,
    norm: BatchNorm2d,
    attention: MultiHeadAttention,
    head: Linear,
}
module!(Net { conv, norm, attention, head });

impl Net {
    fn loss(&self, x: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let x = self.norm.forward(&self.conv.forward(x)?)?.gelu()?;
        let x = x.max_pool2d(&Pool2dOptions::new(2))?.reshape([4, 4, 4])?.t()?;
        let x = self.attention.forward(&x)?.dropout(0.2)?.mean([1])?;
        self.head.forward(&x)?.cross_entropy(labels)
    }
}

/// The parameters, and the optimizer's state.
fn kept(net: &Net, adam: &AdamW) -> Vec<Vec<f32>> {
    let mut all = vec![read(net.parameters().unwrap().values())];
    for (_, entry) in StateVisitor::over(adam as &dyn State) {
        if let StateEntry::Tensor(tensor) = entry {
            all.push(match tensor.dtype() {
                DType::F32 => read(&tensor),
                _ => read(&tensor.cast(DType::F32).unwrap()),
            });
        }
    }
    all
}

fn each_request_fails(d: &Device, recorded: bool) {
    let trap = Trap::default();
    let device = Device::new(Box::new(Trapped { inner: d.clone(), trap: trap.clone() }));
    let mut init = Init::new(1);
    let net = Net {
        conv: Conv2d::new(1, 4, 3, &mut init).unwrap().padding(1),
        norm: BatchNorm2d::new(4).unwrap(),
        attention: MultiHeadAttention::new(4, 2, &mut init).unwrap(),
        head: Linear::new(4, 3, &mut init).unwrap(),
    };
    let net = net.on(&device).unwrap();
    let adam = AdamW::new(&net, 0.01).unwrap();
    let pixels: Vec<f32> = (0..64).map(|i| (i * 7 % 11) as f32 / 5.0 - 1.0).collect();
    let (x, labels) = (floats(&pixels, &[4, 1, 4, 4], &device), whole(&[0, 2, 1, 2], &device));
    let work = |batch: &[Tensor]| {
        let loss = net.loss(&batch[0], &batch[1])?;
        adam.step(&loss.backward()?)?;
        Ok(vec![loss])
    };
    let run = || -> Result<f32> {
        let loss = match recorded {
            // Recorded anew each time, so that its making fails as well.
            true => Step::new(&device, work).run(&[&x, &labels])?,
            false => work(&[x.clone(), labels.clone()])?,
        };
        loss[0].item()
    };
    device.random_state().unwrap();
    let first = kept(&net, &adam);
    assert!(run().unwrap().is_finite());
    // Rates stay what they are.
    let moves: Vec<bool> = kept(&net, &adam).iter().zip(&first).map(|(a, b)| a != b).collect();
    assert!(moves[0] && moves.iter().filter(|&&moves| moves).count() > 2);
    device.sync().unwrap();
    let memory = d.memory().in_use();
    let mut fails = 1;
    loop {
        let before = kept(&net, &adam);
        trap.set(fails);
        let result = run();
        let requests = trap.requests.load(Ordering::Relaxed);
        trap.set(0);
        device.sync().unwrap();
        assert_eq!(d.memory().in_use(), memory, "request {fails}");
        let Err(error) = result else {
            assert!(requests < fails, "request {fails} failed and nobody heard of it");
            assert_ne!(kept(&net, &adam), before);
            break;
        };
        assert_eq!(error.kind(), ErrorKind::Memory, "{error}");
        assert!(error.message().contains("injected"), "{error}");
        // All is old, or all is new if only the loss was still to be read.
        let now = kept(&net, &adam);
        let changed: Vec<bool> = now.iter().zip(&before).map(|(a, b)| a != b).collect();
        let old = changed.iter().all(|&changed| !changed);
        assert!(old || changed == moves, "request {fails}: {changed:?}");
        assert!(old || error.op() == "download", "request {fails}: {error}");
        fails += 1;
    }
    // A recorded step asks its device for a plan, and for the loss.
    let least = if recorded { 2 } else { 60 };
    assert!(fails > least, "only {fails} requests");
    assert!(run().unwrap().is_finite());
}
