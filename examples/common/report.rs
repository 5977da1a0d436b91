//! What is said: to people on stdout, or on stderr when stdout is for one line of JSON.

use serde_json::Value;
use std::{
    io::{self, Write},
    path::Path,
};
use wgrad::prelude::*;

/// Where lines go.
pub struct Report {
    json: bool,
}

impl Report {
    pub fn new(json: bool) -> Report {
        Report { json }
    }

    /// A line for people.
    pub fn line(&self, text: &str) -> io::Result<()> {
        if self.json { writeln!(io::stderr(), "{text}") } else { writeln!(io::stdout(), "{text}") }
    }

    /// The first line of a table's head.
    pub fn device(&self, device: &Device) -> io::Result<()> {
        let kind = match device.info().kind {
            DeviceKind::Gpu => "GPU",
            DeviceKind::SoftwareGpu => "software GPU",
            DeviceKind::Cpu => "CPU backend",
        };
        self.line(&format!("device     {} ({kind})", device.info()))
    }

    /// The last line for people, and with `--json` the one line on stdout.
    pub fn result(&self, text: &str, object: &Value) -> io::Result<()> {
        self.line(text)?;
        if self.json { writeln!(io::stdout(), "{object}") } else { Ok(()) }
    }
}

/// How to go on with a run that was interrupted.
pub fn stopped(steps: u64, out: &Path) -> String {
    format!("stopped after {steps} steps; --resume --out {} goes on", out.display())
}
