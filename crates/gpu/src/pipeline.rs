//! Pipelines: built at first use, kept by kernel.

use crate::{
    Caps,
    fault::scoped,
    launch::{Binding, Launch},
};
use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use wgrad_core::{Error, Result};
use wgrad_shaders::Kernel;

/// Whether modules are built with wgpu's run-time checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// Kernels whose indices follow from shapes alone go without; the others are checked.
    Trusted,
    /// All kernels are checked.
    Forced,
}

pub(crate) struct Pipeline {
    pub raw: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// Binding numbers with whether they are written: what a layout depends on.
type Signature = Vec<(u32, bool)>;

pub(crate) struct Pipelines {
    device: wgpu::Device,
    checks: Checks,
    edit: Option<crate::Edit>,
    built: Mutex<HashMap<Kernel, Arc<Pipeline>>>,
    layouts: Mutex<HashMap<Signature, (wgpu::BindGroupLayout, wgpu::PipelineLayout)>>,
}

/// Bytes of parameters a launch may have; also the distance of parameters in the arena.
pub(crate) const PARAMS_BYTES: u64 = 256;

impl Pipelines {
    pub fn new(device: wgpu::Device, checks: Checks, edit: Option<crate::Edit>) -> Pipelines {
        Pipelines { device, checks, edit, built: Mutex::default(), layouts: Mutex::default() }
    }

    /// How many pipelines exist.
    pub fn count(&self) -> usize {
        self.built.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The pipeline for a launch.
    pub fn get(&self, launch: &Launch, caps: &Caps) -> Result<Arc<Pipeline>> {
        if let Some(pipeline) =
            self.built.lock().unwrap_or_else(PoisonError::into_inner).get(&launch.kernel)
        {
            return Ok(pipeline.clone());
        }
        let pipeline = Arc::new(self.build(&launch.kernel, &launch.bindings, caps)?);
        self.built
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(launch.kernel.clone(), pipeline.clone());
        Ok(pipeline)
    }

    /// Builds the pipelines that these launches lack, on all of the machine's threads: drivers of GPUs take tens of
    /// milliseconds for each. One that fails is left out; [`Pipelines::get`] tries it again and says why.
    pub fn prepare<'a>(&self, launches: impl Iterator<Item = &'a Launch>, caps: &Caps) {
        let missing: Vec<&Launch> = {
            let built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
            let mut seen = HashSet::new();
            launches
                .filter(|launch| !built.contains_key(&launch.kernel) && seen.insert(&launch.kernel))
                .collect()
        };
        if missing.len() < 2 {
            return;
        }
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(launch) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                drop(self.get(launch, caps));
            }
        };
        thread::scope(|scope| {
            let helpers = threads.min(missing.len()).saturating_sub(1);
            // Where no thread is to be had, this one does all.
            let helpers: Vec<_> = (0..helpers)
                .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
                .collect();
            work();
            for helper in helpers {
                drop(helper.join());
            }
        });
    }

    fn build(&self, kernel: &Kernel, bindings: &[Binding], _: &Caps) -> Result<Pipeline> {
        let name = kernel.name;
        let source = wgrad_shaders::source(kernel).map_err(|e| Error::kernel(name, e))?;
        let source = match &self.edit {
            Some(edit) if edit.kernel == name => {
                if !source.contains(&edit.from) {
                    return Err(Error::kernel(name, format!("the text has no {:?}", edit.from)));
                }
                source.replace(&edit.from, &edit.to)
            }
            _ => source,
        };
        let start = std::time::Instant::now();
        let signature: Signature = bindings.iter().map(|b| (b.at, b.write)).collect();
        let (layout, pipeline_layout) = self.layout(&signature)?;
        let refused = |e: Error| {
            Error::kernel(
                name,
                format!("this adapter's driver refuses the kernel: {}", e.message()),
            )
        };
        let raw = scoped(&self.device, name, || {
            let descriptor = wgpu::ShaderModuleDescriptor {
                label: Some(name),
                source: wgpu::ShaderSource::Wgsl(source.into()),
            };
            let module = if self.checks == Checks::Trusted && trusted(name) {
                // SAFETY: `trusted` lists kernels whose every index follows from shapes that `lower`
                // checked against the operands' storage, and whose loops count up to such sizes.
                unsafe {
                    self.device.create_shader_module_trusted(
                        descriptor,
                        wgpu::ShaderRuntimeChecks::unchecked(),
                    )
                }
            } else {
                self.device.create_shader_module(descriptor)
            };
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(name),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                // Every kernel writes workgroup memory before it reads it.
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &[],
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            })
        })
        .map_err(refused)?;
        log::debug!("pipeline {name} built in {:?}", start.elapsed());
        Ok(Pipeline { raw, layout })
    }

    fn layout(
        &self,
        signature: &Signature,
    ) -> Result<(wgpu::BindGroupLayout, wgpu::PipelineLayout)> {
        let mut layouts = self.layouts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = layouts.get(signature) {
            return Ok(layout.clone());
        }
        let entry = |binding, ty, has_dynamic_offset| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, true)];
        entries.extend(signature.iter().map(|&(at, write)| {
            entry(at, wgpu::BufferBindingType::Storage { read_only: !write }, false)
        }));
        let made = scoped(&self.device, "pipeline", || {
            let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some("wgrad"),
                entries: &entries,
            });
            let pipeline = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some("wgrad"),
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            (layout, pipeline)
        })?;
        layouts.insert(signature.clone(), made.clone());
        Ok(made)
    }
}

/// Kernels that go without run-time checks because they would pay for them (benches/LOG.md), and whose
/// indices follow from shapes alone.
fn trusted(name: &str) -> bool {
    matches!(name, "matmul_lanes" | "matmul_registers" | "matmul_thin" | "matmul_cooperative")
        || matches!(name, "conv_lanes" | "conv_tiles")
}
