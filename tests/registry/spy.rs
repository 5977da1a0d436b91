//! A device that runs on the CPU and notes what it is asked to run.

use std::{
    any::Any,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};
use wgrad_core::{
    Backend, Buf, DType, Device, DeviceInfo, MemoryReport, Op, Pending, Plan, Result, Role, Trace,
    View, cpu::Cpu,
};
use wgrad_gpu::launch::Operand;

/// One operation with its operands.
#[derive(Clone, Debug)]
pub struct Call {
    pub op: Op,
    pub ins: Vec<Operand>,
    pub outs: Vec<Operand>,
}

#[derive(Clone, Default)]
pub struct Spy {
    calls: Arc<Mutex<Vec<Call>>>,
    traces: Arc<Mutex<Vec<Trace>>>,
}

struct Watched {
    cpu: Cpu,
    spy: Spy,
}

impl Spy {
    /// A device, and the spy on it.
    pub fn device() -> (Device, Spy) {
        let spy = Spy::default();
        (Device::new(Box::new(Watched { cpu: Cpu::new(), spy: spy.clone() })), spy)
    }

    /// The steps recorded since the last time.
    pub fn take_traces(&self) -> Vec<Trace> {
        std::mem::take(&mut self.traces.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was run since the last time.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Backend for Watched {
    fn run(&self, op: &Op, ins: &[View], outs: &[View]) -> Result<()> {
        let operands = |views: &[View]| {
            views.iter().map(|view| Operand { layout: view.layout, dtype: view.dtype }).collect()
        };
        let call = Call { op: op.clone(), ins: operands(ins), outs: operands(outs) };
        self.spy.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        self.cpu.run(op, ins, outs)
    }
    fn info(&self) -> &DeviceInfo {
        self.cpu.info()
    }
    fn supports(&self, dtype: DType) -> bool {
        self.cpu.supports(dtype)
    }
    fn alloc(&self, bytes: usize, role: Role) -> Result<Buf> {
        self.cpu.alloc(bytes, role)
    }
    fn upload(&self, dst: &Buf, at: usize, bytes: &[u8]) -> Result<()> {
        self.cpu.upload(dst, at, bytes)
    }
    fn download(&self, src: &Buf, range: Range<usize>) -> Result<Pending> {
        self.cpu.download(src, range)
    }
    fn plan(&self, trace: &Trace) -> Result<Box<dyn Plan>> {
        self.spy.traces.lock().unwrap_or_else(PoisonError::into_inner).push(trace.clone());
        self.cpu.plan(trace)
    }
    fn sync(&self) -> Result<()> {
        self.cpu.sync()
    }
    fn memory(&self) -> MemoryReport {
        self.cpu.memory()
    }
    fn trim(&self) {
        self.cpu.trim();
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
