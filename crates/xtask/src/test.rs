//! `cargo xtask test`: all tests, on a GPU adapter.

use crate::adapter;
use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

pub struct Options {
    yes: bool,
    floor: bool,
    checked: bool,
    rest: Vec<OsString>,
}

impl Options {
    pub fn parse(mut args: lexopt::Parser) -> Result<Options, String> {
        let mut options = Options { yes: false, floor: false, checked: false, rest: Vec::new() };
        while let Some(arg) = args.next().map_err(|e| e.to_string())? {
            match arg {
                lexopt::Arg::Long("yes") => options.yes = true,
                lexopt::Arg::Long("floor") => options.floor = true,
                lexopt::Arg::Long("checked") => options.checked = true,
                lexopt::Arg::Value(value) => options.rest.push(value),
                other => return Err(other.unexpected().to_string()),
            }
        }
        Ok(options)
    }
}

pub fn run(options: Options) -> Result<ExitCode, String> {
    adapter::ensure(options.yes)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut test = Command::new(cargo);
    test.arg("test");
    if !options.rest.iter().any(|arg| arg == "--package" || arg == "-p") {
        test.arg("--workspace");
    }
    test.args(&options.rest).env("WGRAD_REQUIRE_GPU", "1");
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // Mesa complains on stderr where it is not set.
        test.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    }
    if options.floor {
        test.env("WGRAD_LIMITS", "floor");
    }
    if options.checked {
        test.env("WGRAD_CHECKS", "forced");
    }
    let status = test.status().map_err(|e| format!("cargo does not start: {e}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
