//! GPU devices, opened once per process: the adapter with its software kernels, with the kernels meant
//! for real GPUs, with each matmul variant forced, and with one kernel broken on purpose.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};
use wgrad_core::{Device, Error, Result};
use wgrad_gpu::{AdapterChoice, Caps, Edit, Gpu, MatMulVariant, Options, Square, Tile};

/// Which kernels an adapter is made to choose.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Those for software adapters: on lavapipe the adapter as it is.
    Software,
    /// Those for real GPUs: on one the adapter as it is.
    Hardware,
    /// One matmul variant wherever there is a product.
    MatMul(MatMulVariant),
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Software => f.write_str("gpu_software"),
            Mode::Hardware => f.write_str("gpu_hardware"),
            Mode::MatMul(MatMulVariant::Tiled) => f.write_str("gpu_tiled"),
            Mode::MatMul(MatMulVariant::Registers { tile, parts }) => {
                write!(f, "gpu_registers_{tile:?}_{parts}")
            }
            Mode::MatMul(MatMulVariant::Thin { parts }) => write!(f, "gpu_thin_{parts}"),
            Mode::MatMul(MatMulVariant::Cooperative { square, parts }) => {
                write!(f, "gpu_cooperative_{square:?}_{parts}")
            }
            Mode::MatMul(MatMulVariant::Lanes { rows, cols4, shuffle }) => {
                let how = if *shuffle { "shuffle" } else { "loads" };
                write!(f, "gpu_lanes_{rows}x{cols4}_{how}")
            }
        }
    }
}

impl Mode {
    /// Whether products round their operands to f16.
    pub fn coarse(self) -> bool {
        matches!(self, Mode::MatMul(MatMulVariant::Cooperative { .. }))
    }
}

/// The matmul variants that tests force one by one; shuffles only where subgroups have 8 lanes,
/// cooperative matrices only where the adapter lists them.
pub fn matmul_variants() -> Vec<MatMulVariant> {
    let lanes = |rows, cols4, shuffle| MatMulVariant::Lanes { rows, cols4, shuffle };
    let mut variants = vec![
        MatMulVariant::Tiled,
        MatMulVariant::Registers { tile: Tile::Small, parts: 1 },
        MatMulVariant::Registers { tile: Tile::Medium, parts: 1 },
        MatMulVariant::Registers { tile: Tile::Large, parts: 1 },
        MatMulVariant::Registers { tile: Tile::Wide, parts: 1 },
        MatMulVariant::Registers { tile: Tile::Small, parts: 3 },
        MatMulVariant::Thin { parts: 1 },
        MatMulVariant::Thin { parts: 3 },
        lanes(8, 1, false),
        lanes(16, 1, false),
        lanes(24, 2, false),
    ];
    if has_eight_lanes() {
        variants.extend(
            [(8, 1), (16, 1), (16, 2), (32, 2)].map(|(rows, cols4)| lanes(rows, cols4, true)),
        );
    }
    if matrix_units() {
        variants.extend(
            [(Square::Of64, 1), (Square::Of128, 3)]
                .map(|(square, parts)| MatMulVariant::Cooperative { square, parts }),
        );
    }
    variants
}

/// Whether subgroups of this adapter have 8 lanes, as kernels with shuffles need.
pub fn has_eight_lanes() -> bool {
    native_caps().is_ok_and(|caps| caps.subgroups == Some((8, 8)))
}

/// Whether the adapter has matrix units that kernels can use.
pub fn matrix_units() -> bool {
    static UNITS: OnceLock<bool> = OnceLock::new();
    *UNITS.get_or_init(|| {
        let options = Options { fast_f16_products: true, ..Options::default() };
        let opened = open(&options);
        opened.is_ok_and(|device| {
            Gpu::of(&device).is_some_and(|gpu| gpu.caps().cooperative.is_some())
        })
    })
}

/// A device, and the turn to use it: the list of kernels that ran is kept per device, so one row at a
/// time may run there.
pub struct Opened {
    pub device: Device,
    turn: Mutex<()>,
}

impl Opened {
    pub fn new(device: Device) -> Opened {
        Opened { device, turn: Mutex::new(()) }
    }

    /// The backend behind the device.
    pub fn gpu(&self) -> &Gpu {
        Gpu::of(&self.device).expect("a device opened as a GPU")
    }

    /// Waits until nobody else uses the device.
    pub fn turn(&self) -> std::sync::MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new device of the adapter that the environment asks for.
pub fn open(options: &Options) -> Result<Device> {
    pollster::block_on(wgrad_gpu::open_with(&AdapterChoice::Auto, options))
}

/// What the adapter itself can do.
fn native_caps() -> Result<Caps> {
    static CAPS: OnceLock<Result<Caps>> = OnceLock::new();
    CAPS.get_or_init(|| {
        let device = open(&Options::default())?;
        Gpu::of(&device)
            .map(|gpu| *gpu.caps())
            .ok_or_else(|| Error::internal("open", "the opened device is no GPU"))
    })
    .clone()
}

/// What kernels are chosen by in a mode.
pub fn caps(mode: Mode) -> Result<Caps> {
    let native = native_caps()?;
    Ok(match mode {
        Mode::Software => Caps { software: true, threads: native.threads.max(4), ..native },
        Mode::Hardware => Caps { software: false, threads: 0, ..native },
        Mode::MatMul(variant) => Caps { force_matmul: Some(variant), ..native },
    })
}

/// The device of a mode.
pub fn device(mode: Mode) -> Result<Arc<Opened>> {
    static DEVICES: Mutex<Option<HashMap<Mode, Result<Arc<Opened>>>>> = Mutex::new(None);
    let mut devices = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
    let devices = devices.get_or_insert_default();
    let made = devices.entry(mode).or_insert_with(|| {
        let options = Options { caps: Some(caps(mode)?), ..Options::default() };
        Ok(Arc::new(Opened::new(open(&options)?)))
    });
    made.clone()
}

/// A device of a mode on which one kernel's text is changed.
pub fn sabotaged(mode: Mode, kernel: &str, from: &str, to: &str) -> Result<Opened> {
    let edit = Edit { kernel: kernel.to_owned(), from: from.to_owned(), to: to.to_owned() };
    let options = Options { caps: Some(caps(mode)?), edit: Some(edit), ..Options::default() };
    Ok(Opened::new(open(&options)?))
}

/// Held while a row draws from a device's stream: the CPU device and its stream are the whole process's, and another
/// row's draw in between would give other numbers than the seed.
pub fn stream() -> MutexGuard<'static, ()> {
    static STREAM: Mutex<()> = Mutex::new(());
    STREAM.lock().unwrap_or_else(PoisonError::into_inner)
}
