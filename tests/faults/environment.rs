//! E: environment variables. They are read once per process, so each case is a child of this one.

use std::process::{Command, ExitCode};
use wgrad_core::Error;
use wgrad_gpu::{AdapterChoice, Gpu};

pub const ROWS: &[(&str, fn())] = &[
    ("E15_bad_values_of_variables", bad_values),
    ("E1_an_adapter_that_is_not_there", no_such_adapter),
    ("E2_floor_limits", floor),
];

/// Set in a child: it opens a device and says how that went.
const CHILD: &str = "WGRAD_TEST_OPEN";

/// What a child does instead of the tests.
pub fn child() -> Option<ExitCode> {
    std::env::var_os(CHILD)?;
    let opened = wgrad_gpu::open(&AdapterChoice::Auto).and_then(|device| {
        let caps = Gpu::of(&device).map(|gpu| *gpu.caps());
        caps.ok_or_else(|| Error::internal("open", "the opened device is no GPU"))
    });
    match opened {
        Ok(caps) => println!("{caps:?}"),
        Err(error) => println!("{:?} {error}", error.kind()),
    }
    Some(ExitCode::SUCCESS)
}

/// This program again, through the same loader if it was run through one.
fn this_program() -> Command {
    let program = std::env::args().next().unwrap();
    let line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    let words: Vec<String> =
        line.split(|&b| b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
    match words.iter().position(|word| *word == program) {
        Some(at) if at > 0 => {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..=at]);
            command
        }
        _ => Command::new(program),
    }
}

/// What a child says with a variable set.
fn open_with(name: &str, value: &str) -> String {
    let mut command = this_program();
    let output = command.env(CHILD, "1").env(name, value).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn bad_values() {
    for (name, allowed) in [
        ("WGRAD_BACKEND", "vulkan, metal, dx12"),
        ("WGRAD_LIMITS", "floor, adapter"),
        ("WGRAD_CHECKS", "forced, trusted"),
    ] {
        for value in ["nonsense", "", "VULKAN "] {
            let said = open_with(name, value);
            assert!(said.starts_with("Config"), "{name}={value}: {said}");
            assert!(said.contains(name) && said.contains(allowed), "{said}");
        }
    }
}

fn no_such_adapter() {
    let said = open_with("WGRAD_ADAPTER", "no such adapter");
    assert!(said.starts_with("Config") && said.contains("WGRAD_ADAPTER"), "{said}");
    let said = open_with("WGRAD_ADAPTER", "4096");
    assert!(said.starts_with("Config"), "{said}");
}

fn floor() {
    let said = open_with("WGRAD_LIMITS", "floor");
    assert!(said.contains("subgroups: None") && said.contains("max_lanes: 256"), "{said}");
}
