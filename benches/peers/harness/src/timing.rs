//! Warm-up, timing, checking and printing.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Options, Result, Step};

const TIMED_AT_LEAST: usize = 5;
const TIMED_AT_MOST: usize = 10_000;
/// What a first-step child prints when its step is done.
const FIRST_STEP_LINE: &str = "first step done";
/// Turns the shader caches of Mesa and NVIDIA off.
const NO_DRIVER_CACHE: [(&str, &str); 2] =
    [("MESA_SHADER_CACHE_DISABLE", "true"), ("__GL_SHADER_DISK_CACHE", "0")];

/// How long to warm up before the clock counts.
#[derive(Clone, Copy)]
pub enum Warm {
    /// Three runs.
    Few,
    /// For systems that tune themselves: at least five runs, and until two in a row take the same time to within 20%.
    UntilSteady,
}

impl Warm {
    fn enough(self, done: &[Duration]) -> bool {
        match (self, done) {
            (Self::Few, _) => done.len() >= 3,
            // A case that never settles has to be timed at some point.
            (Self::UntilSteady, _) if done.len() >= 50 => true,
            (Self::UntilSteady, [.., a, b]) => done.len() >= 5 && b.abs_diff(*a) * 5 <= *a.max(b),
            _ => false,
        }
    }
}

/// Runs cases for one system and prints a line for each.
pub struct Bench {
    system: String,
    /// What the system runs on, where it says so.
    device: Option<String>,
    warm: Warm,
    options: Options,
    table_begun: bool,
}

impl Bench {
    pub fn new(
        system: impl Into<String>,
        device: Option<String>,
        warm: Warm,
        options: Options,
    ) -> Self {
        Self { system: system.into(), device, warm, options, table_begun: false }
    }

    pub fn wants(&self, case: &str) -> bool {
        self.options.wants(case)
    }

    /// Times `step`, if there is one. Its first results must be those `expected`. With `flops` the line also says GFLOP/s.
    pub fn case(
        &mut self,
        case: &str,
        flops: Option<f64>,
        expected: &[f64],
        step: Option<Step<'_>>,
    ) -> Result<()> {
        let Some(mut step) = step else { return Ok(()) };
        let mut expected = expected.iter();
        let mut timed_step = || -> Result<Duration> {
            let start = Instant::now();
            let got = step()?;
            let elapsed = start.elapsed();
            if let Some(&expected) = expected.next() {
                let difference = (f64::from(got) - expected).abs();
                if difference.is_nan() || difference > 1e-4 * expected.abs().max(1e-3) {
                    return Err(format!("{case}: got {got}, expected {expected}").into());
                }
            }
            Ok(elapsed)
        };

        let mut warm = Vec::new();
        while !self.warm.enough(&warm) {
            warm.push(timed_step()?);
        }
        let begun = Instant::now();
        let mut times = Vec::new();
        while times.len() < TIMED_AT_LEAST
            || (begun.elapsed() < self.options.budget && times.len() < TIMED_AT_MOST)
        {
            times.push(timed_step()?);
        }
        self.print(case, flops, times)
    }

    /// Times fresh processes, from their start to the end of their first `mlp_train_step`, with nothing kept on disk from
    /// earlier ones; then, for systems that tune themselves, with what earlier ones kept.
    pub fn first_step(&mut self, case: &str, choice: &str) -> Result<()> {
        let times = self.fresh_processes(choice, false)?;
        self.print(case, None, times)?;
        if matches!(self.warm, Warm::UntilSteady) {
            let times = self.fresh_processes(choice, true)?;
            self.print(&format!("{case}_cached"), None, times)?;
        }
        Ok(())
    }

    /// One start is not counted: it brings the program into memory and fills what is kept. Without caches, one that took so
    /// long that this makes no difference is the only one.
    fn fresh_processes(&self, choice: &str, caches: bool) -> Result<Vec<Duration>> {
        let first = self.start_child(choice, caches)?;
        if !caches && first > Duration::from_secs(10) {
            return Ok(vec![first]);
        }
        let begun = Instant::now();
        let mut times = Vec::new();
        while times.len() < 3 || (begun.elapsed() < self.options.budget && times.len() < 10) {
            times.push(self.start_child(choice, caches)?);
        }
        Ok(times)
    }

    fn start_child(&self, choice: &str, caches: bool) -> Result<Duration> {
        let mut command = this_program()?;
        command.args([choice, &self.options.backend, "--first-step"]).stdout(Stdio::piped());
        // burn keeps its tuning beside the outermost Cargo.toml above the directory it is started in.
        let empty = std::env::temp_dir().join(format!("first-step-{}", std::process::id()));
        if !caches {
            std::fs::create_dir_all(&empty)?;
            std::fs::write(empty.join("Cargo.toml"), "")?;
            command.envs(NO_DRIVER_CACHE).current_dir(&empty);
        }

        let start = Instant::now();
        let mut child = command.spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let elapsed = start.elapsed();
        let status = child.wait()?;
        if !caches {
            std::fs::remove_dir_all(&empty)?;
        }
        if line.trim_end() != FIRST_STEP_LINE || !status.success() {
            return Err(format!("a fresh process failed ({status}) and printed {line:?}").into());
        }
        Ok(elapsed)
    }

    fn print(&mut self, case: &str, flops: Option<f64>, mut times: Vec<Duration>) -> Result<()> {
        times.sort();
        let n = times.len();
        let median = (ms(times[(n - 1) / 2]) + ms(times[n / 2])) / 2.0;
        let min = ms(times[0]);
        let gflops = flops.map(|flops| flops / median / 1e6);
        let mut out = std::io::stdout().lock();
        if self.options.json {
            let system = &self.system;
            write!(
                out,
                r#"{{"system":"{system}","case":"{case}","median_ms":{median:.5},"min_ms":{min:.5},"n":{n}"#
            )?;
            if let Some(gflops) = gflops {
                write!(out, r#","gflops":{gflops:.2}"#)?;
            }
            if let Some(device) = &self.device {
                write!(out, r#","device":"{}""#, device.replace(['"', '\\'], "'"))?;
            }
            writeln!(out, "}}")?;
        } else {
            if !self.table_begun {
                self.table_begun = true;
                writeln!(
                    out,
                    "{} on {}",
                    self.system,
                    self.device.as_deref().unwrap_or("the CPU")
                )?;
                writeln!(
                    out,
                    "{:<20} {:>11} {:>11} {:>6} {:>8}",
                    "case", "median ms", "min ms", "n", "GFLOP/s"
                )?;
            }
            let gflops = gflops.map_or(String::new(), |gflops| format!("{gflops:.1}"));
            writeln!(out, "{case:<20} {median:>11.3} {min:>11.3} {n:>6} {gflops:>8}")?;
        }
        out.flush()?;
        Ok(())
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// This program again, without its arguments. A wrapper may have started it through a dynamic loader: the running file is
/// then that loader, with arguments of its own before the program.
fn this_program() -> Result<Command> {
    let file = std::env::current_exe()?;
    let mut command = Command::new(&file);
    if file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux")) {
        let line = std::fs::read_to_string("/proc/self/cmdline")?;
        let words: Vec<&str> = line.trim_end_matches('\0').split('\0').collect();
        let own = std::env::args().len() - 1;
        command.args(words.iter().take(words.len() - own).skip(1));
    }
    Ok(command)
}

/// Ends a first-step child: tells the parent that the step is done.
pub fn report_first_step() -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{FIRST_STEP_LINE}")?;
    out.flush()?;
    Ok(())
}
