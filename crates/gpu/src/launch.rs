//! Launches as plain data: what would run, before anything runs.

use wgrad_core::{DType, Layout};
use wgrad_shaders::Kernel;

/// What a launch binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// An input of the operation.
    In(usize),
    /// An output of the operation.
    Out(usize),
    /// Working space of the operation.
    Scratch(usize),
    /// The device's fault word.
    Fault,
    /// A few zeros: a bias where there is none.
    Zeros,
    /// A few bytes to write that nobody reads: a result that is not wanted.
    Spare,
}

/// One binding of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Its number in the shader.
    pub at: u32,
    /// What is bound.
    pub slot: Slot,
    /// Whether the shader may write it.
    pub write: bool,
}

/// An index operand that a launch checks: for the message, should it report a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Which input holds the indices.
    pub input: usize,
    /// One past the largest legal index.
    pub limit: usize,
    /// The word of the parameters that takes the serial number.
    pub serial_word: usize,
}

/// One dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// Which kernel, in which variant.
    pub kernel: Kernel,
    /// Its parameters, as words.
    pub params: Vec<u32>,
    /// What it binds.
    pub bindings: Vec<Binding>,
    /// Workgroups along x and y.
    pub grid: [u32; 2],
    /// How often its busiest thread goes round in loops, at most.
    pub steps: u64,
    /// Roughly how many multiply-adds or element accesses: bounds the work of one submit.
    pub work: u64,
    /// Indices that it checks.
    pub watch: Option<Watch>,
}

/// All dispatches of one operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Program {
    /// In order.
    pub launches: Vec<Launch>,
    /// Sizes of working spaces in bytes.
    pub scratch: Vec<usize>,
}

/// An operand as far as the choice of kernels depends on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operand {
    /// Where its elements lie.
    pub layout: Layout,
    /// Their type.
    pub dtype: DType,
}

/// The size of a grid, and how often its busiest thread goes round in loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub groups: [u32; 2],
    pub steps: u64,
}

impl From<[u32; 2]> for Grid {
    /// A grid in which no thread loops.
    fn from(groups: [u32; 2]) -> Grid {
        Grid { groups, steps: 1 }
    }
}

impl Launch {
    /// A launch of `kernel` without bindings yet.
    pub(crate) fn new(kernel: Kernel, grid: impl Into<Grid>, work: u64) -> Launch {
        let Grid { groups: grid, steps } = grid.into();
        let (params, bindings) = (Vec::new(), Vec::new());
        Launch { kernel, params, bindings, grid, steps, work, watch: None }
    }

    pub(crate) fn steps(mut self, steps: u64) -> Launch {
        self.steps = steps;
        self
    }

    pub(crate) fn params(mut self, words: impl IntoIterator<Item = u32>) -> Launch {
        self.params.extend(words);
        self
    }

    pub(crate) fn read(mut self, at: u32, slot: Slot) -> Launch {
        self.bindings.push(Binding { at, slot, write: false });
        self
    }

    pub(crate) fn write(mut self, at: u32, slot: Slot) -> Launch {
        self.bindings.push(Binding { at, slot, write: true });
        self
    }

    pub(crate) fn watch(mut self, input: usize, limit: usize, serial_word: usize) -> Launch {
        self.watch = Some(Watch { input, limit, serial_word });
        self.write(9, Slot::Fault)
    }
}
