//! `first_step_ms`: from the start of a fresh process to its first finished training step, with the
//! driver's shader cache off, as a user's first run has it.

use super::{cases, device};
use crate::{Failure, clock::Clock};
use std::process::Command;

/// Settings that turn the shader caches of Mesa and NVIDIA off.
const NO_CACHE: [(&str, &str); 2] =
    [("MESA_SHADER_CACHE_DISABLE", "true"), ("__GL_SHADER_DISK_CACHE", "0")];
const PROCESSES: usize = 5;

/// In the fresh process: one step, and the time on stdout.
pub fn child(gpu: bool, clock: &Clock) -> Result<(), Failure> {
    let mut step = cases::mlp_train_step(&device(gpu)?)?;
    step()?;
    println!("{}", clock.ms());
    Ok(())
}

/// Seconds that fresh processes took.
pub fn times(gpu: bool) -> Result<Vec<f64>, Failure> {
    let program = std::env::current_exe()?;
    let mut times = Vec::with_capacity(PROCESSES);
    for _ in 0..PROCESSES {
        let mut command = command(&program)?;
        command.args(["bench", "--first-step", "--device", if gpu { "gpu" } else { "cpu" }]);
        let output = command.envs(NO_CACHE).stderr(std::process::Stdio::inherit()).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let ms: f64 = text.trim().parse().map_err(|_| {
            Failure::Run(format!("a fresh process ended with {}", output.status).into())
        })?;
        times.push(ms / 1e3);
    }
    Ok(times)
}

/// This program again. Where it was started through a dynamic loader, as wrappers that bring their own
/// libraries do, the running file is that loader and the program its argument.
fn command(program: &std::path::Path) -> Result<Command, Failure> {
    let loader = program.file_name().is_some_and(|n| n.to_string_lossy().starts_with("ld-linux"));
    if !loader {
        return Ok(Command::new(program));
    }
    let line = std::fs::read("/proc/self/cmdline")?;
    let words: Vec<_> = line.split(|&b| b == 0).map(|w| String::from_utf8_lossy(w)).collect();
    let mut command = Command::new(program);
    for word in words.iter().skip(1).take_while(|word| *word != "bench") {
        command.arg(&**word);
    }
    Ok(command)
}
