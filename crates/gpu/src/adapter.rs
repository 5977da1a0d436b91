//! Which adapter: by kind, index or name, from the program or from environment variables.

use crate::{Caps, Cooperative, pipeline::Checks};
use std::sync::OnceLock;
use wgrad_core::{DeviceKind, Error, Result};

/// Which adapter to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// What `WGRAD_ADAPTER` says, else the best: a discrete GPU, an integrated one, then software.
    #[default]
    Auto,
    /// A real GPU only.
    Gpu,
    /// A software adapter only.
    Software,
    /// By its place in [`adapters`].
    Index(usize),
    /// The first whose name contains this text, in any case.
    Name(String),
}

impl AdapterChoice {
    /// Reads `auto`, `gpu`, `software`, a number, or part of a name.
    pub fn parse(text: &str) -> AdapterChoice {
        match text {
            "auto" | "" => AdapterChoice::Auto,
            "gpu" => AdapterChoice::Gpu,
            "software" => AdapterChoice::Software,
            _ => match text.parse() {
                Ok(index) => AdapterChoice::Index(index),
                Err(_) => AdapterChoice::Name(text.to_owned()),
            },
        }
    }
}

/// An adapter in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSummary {
    /// Its name.
    pub name: String,
    /// Driver and version.
    pub driver: String,
    /// Vulkan, Metal or DX12.
    pub api: String,
    /// A real GPU or software.
    pub kind: DeviceKind,
}

/// The one instance of this process: objects of two instances must never meet.
fn instance() -> Result<&'static wgpu::Instance> {
    static INSTANCE: OnceLock<Result<wgpu::Instance>> = OnceLock::new();
    let made = INSTANCE.get_or_init(|| {
        let backends = match setting("WGRAD_BACKEND", &["vulkan", "metal", "dx12"])? {
            None => wgpu::Backends::PRIMARY,
            Some("vulkan") => wgpu::Backends::VULKAN,
            Some("metal") => wgpu::Backends::METAL,
            Some(_) => wgpu::Backends::DX12,
        };
        Ok(wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends,
            flags: wgpu::InstanceFlags::from_env_or_default(),
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        }))
    });
    made.as_ref().map_err(Clone::clone)
}

/// An environment variable that must be one of `allowed` if it is set.
pub(crate) fn setting(
    name: &str,
    allowed: &'static [&'static str],
) -> Result<Option<&'static str>> {
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    let found = allowed.iter().find(|a| value == **a);
    found.copied().map(Some).ok_or_else(|| {
        Error::config(
            "open",
            format!("{name} is {value:?}; it may be {}, or not set", allowed.join(", ")),
        )
    })
}

fn kind(info: &wgpu::AdapterInfo) -> DeviceKind {
    if info.device_type == wgpu::DeviceType::Cpu {
        DeviceKind::SoftwareGpu
    } else {
        DeviceKind::Gpu
    }
}

pub(crate) fn summary(info: &wgpu::AdapterInfo) -> AdapterSummary {
    AdapterSummary {
        name: info.name.clone(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        api: format!("{:?}", info.backend),
        kind: kind(info),
    }
}

/// All adapters of this machine in a fixed order, best kind first.
async fn enumerate() -> Result<Vec<wgpu::Adapter>> {
    let mut all: Vec<wgpu::Adapter> = instance()?.enumerate_adapters(wgpu::Backends::all()).await;
    // Adapters that do nothing are of no use to anyone.
    all.retain(|a| a.get_info().backend != wgpu::Backend::Noop);
    all.sort_by_key(|a| {
        let info = a.get_info();
        let rank = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        };
        (rank, info.name, info.device_pci_bus_id)
    });
    Ok(all)
}

/// All adapters of this machine, best kind first; the order is the same each time.
pub fn adapters() -> Result<Vec<AdapterSummary>> {
    let all = pollster::block_on(enumerate())?;
    Ok(all.iter().map(|a| summary(&a.get_info())).collect())
}

/// What to do where no adapter is found.
pub fn help() -> &'static str {
    if cfg!(target_os = "linux") {
        "install a Vulkan driver for your GPU, or Mesa's software Vulkan: `apt install mesa-vulkan-drivers` \
         on Debian and Ubuntu, `dnf install mesa-vulkan-drivers` on Fedora, `pacman -S vulkan-swrast` on Arch"
    } else if cfg!(target_os = "macos") {
        "every Mac since 2012 has Metal; check that this is not a virtual machine without a GPU"
    } else {
        "install your GPU's driver; Windows itself carries a software adapter for DX12"
    }
}

pub(crate) async fn find(choice: &AdapterChoice) -> Result<wgpu::Adapter> {
    let from_env = match (choice, std::env::var("WGRAD_ADAPTER")) {
        (AdapterChoice::Auto, Ok(text)) => Some(AdapterChoice::parse(&text)),
        _ => None,
    };
    let asked = from_env.as_ref().unwrap_or(choice);
    let all = enumerate().await?;
    let found = match asked {
        AdapterChoice::Auto => all.first(),
        AdapterChoice::Gpu => all.iter().find(|a| kind(&a.get_info()) == DeviceKind::Gpu),
        AdapterChoice::Software => {
            all.iter().find(|a| kind(&a.get_info()) == DeviceKind::SoftwareGpu)
        }
        AdapterChoice::Index(i) => all.get(*i),
        AdapterChoice::Name(name) => {
            let wanted = name.to_lowercase();
            all.iter().find(|a| a.get_info().name.to_lowercase().contains(&wanted))
        }
    };
    found.cloned().ok_or_else(|| {
        let names: Vec<String> = all.iter().map(|a| a.get_info().name).collect();
        let by = if from_env.is_some() { " (WGRAD_ADAPTER)" } else { "" };
        let text = if names.is_empty() {
            format!("no GPU adapter found: looked for Vulkan, Metal and DX12; {}", help())
        } else {
            format!("no adapter fits {asked:?}{by}; there is: {}", names.join("; "))
        };
        // A variable that names no adapter is a mistake in the settings, not a lack of hardware.
        if from_env.is_some() && !names.is_empty() {
            return Error::config("open", text);
        }
        Error::device("open", text)
    })
}

/// An opened adapter.
pub(crate) struct Opened {
    pub info: AdapterSummary,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub caps: Caps,
    pub checks: Checks,
}

/// Cooperative matrices of f16 with sums in f32, as the adapter lists them; the larger ones where it has two.
/// wgpu does not check a shader against this list, and what is not on it gives wrong numbers.
fn cooperative(adapter: &wgpu::Adapter, info: &wgpu::AdapterInfo) -> Option<Cooperative> {
    use wgpu::{CooperativeMatrixProperties as Listed, CooperativeScalarType as Scalar};
    let subgroup = match info.backend {
        // Metal says 4 to 64, but every GPU of Apple's with matrix units has 32.
        wgpu::Backend::Metal => 32,
        _ if info.subgroup_min_size == info.subgroup_max_size => info.subgroup_max_size,
        // AMD and some of Intel: a driver may choose anew for each pipeline, and wgpu cannot pin it.
        _ => return None,
    };
    let usable = |x: &Listed| {
        matches!(x.m_size, 8 | 16)
            && (x.n_size, x.k_size) == (x.m_size, x.m_size)
            && (x.ab_type, x.cr_type) == (Scalar::F16, Scalar::F32)
    };
    let listed = adapter.cooperative_matrix_properties();
    let edge = listed.iter().filter(|x| usable(x)).map(|x| x.m_size).max()?;
    let has = adapter.features().contains(COOPERATIVE);
    let packed = info.backend == wgpu::Backend::Vulkan;
    (has && subgroup > 0).then_some(Cooperative { edge, subgroup, packed })
}

/// What kernels with cooperative matrices need.
const COOPERATIVE: wgpu::Features =
    wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(wgpu::Features::SHADER_F16);

/// Opens an adapter; with `fast_f16` with its matrix units, if it has any.
pub(crate) async fn open(choice: &AdapterChoice, fast_f16: bool) -> Result<Opened> {
    let floor = setting("WGRAD_LIMITS", &["floor", "adapter"])? == Some("floor");
    let checks = match setting("WGRAD_CHECKS", &["forced", "trusted"])? {
        Some("forced") => Checks::Forced,
        _ => Checks::Trusted,
    };
    let adapter = find(choice).await?;
    let raw = adapter.get_info();
    let info = summary(&raw);
    let software = info.kind == DeviceKind::SoftwareGpu;
    let threads = if software {
        std::thread::available_parallelism().map_or(4, |n| n.get() as u32).min(32)
    } else {
        0
    };
    let limits = if floor { wgpu::Limits::default() } else { adapter.limits() };
    let wanted = if floor { wgpu::Features::empty() } else { wgpu::Features::SUBGROUP };
    let cooperative = if fast_f16 && !floor { cooperative(&adapter, &raw) } else { None };
    let (wanted, experimental) = match cooperative {
        // SAFETY: wgpu asks that we accept that experimental features may have bugs that are unsound. They
        // are only on where the caller asked for f16 products, and only `matmul_cooperative` uses them, with
        // indices that follow from shapes.
        Some(_) => (wanted | COOPERATIVE, unsafe { wgpu::ExperimentalFeatures::enabled() }),
        None => (wanted, wgpu::ExperimentalFeatures::disabled()),
    };
    let features = wanted & adapter.features();
    let (device, queue) = adapter
        .request_device(&wgpu::DeviceDescriptor {
            label: Some("wgrad"),
            required_features: features,
            required_limits: limits.clone(),
            experimental_features: experimental,
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        })
        .await
        .map_err(|e| {
            Error::device("open", format!("{} is there but does not open: {e}", info.name))
        })?;
    let subgroups = features
        .contains(wgpu::Features::SUBGROUP)
        .then_some((raw.subgroup_min_size, raw.subgroup_max_size));
    let caps = if floor {
        Caps::floor(software, threads)
    } else {
        Caps {
            software,
            subgroups,
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            max_groups: limits.max_compute_workgroups_per_dimension,
            max_lanes: limits.max_compute_invocations_per_workgroup,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            max_steps: Caps::steps(software),
            threads,
            cooperative,
            force_matmul: None,
        }
    };
    log::info!("opened {} ({}, {}), {caps:?}", info.name, info.api, info.driver);
    Ok(Opened { info, device, queue, caps, checks })
}
