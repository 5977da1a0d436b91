//! `wgrad bench`: the suite, timed on one device and set against what its memory and arithmetic allow.

mod cases;
mod fresh;
mod report;
mod roofline;

use crate::{Failure, clock::Clock};
use cases::{CASES, Case};
use indicatif::{ProgressBar, ProgressStyle};
use lexopt::{Arg, Parser};
use report::{Line, Report};
use std::time::{Duration, Instant};
use wgrad::{Device, Result};

const HELP: &str = "\
Times training and its kernels on one device. Every timed run ends with reading a result back.

Usage: wgrad bench [FLAGS]

  --device gpu|cpu   gpu: the adapter that WGRAD_ADAPTER chooses, else the best; cpu: the CPU backend [gpu]
  --filter TEXT      only cases whose name contains TEXT; may be given more than once
  --seconds S        time to spend on each case                                                       [2]
  --json             one JSON object a line on stdout, for programs
  --list             names the cases and what they do
  --help             this text

Columns of the table: median and fastest run in ms, runs timed, GFLOP/s, GB/s, and the share of the roofline: the time
that the measured copy bandwidth and multiply-add rate of the device would allow, against the median.
";

/// Runs before the clock starts: kernels are compiled and plans made.
const WARM_UP: usize = 3;
/// At least so many timed runs.
const FEWEST: usize = 5;

struct Args {
    gpu: bool,
    filters: Vec<String>,
    seconds: f64,
    json: bool,
    /// This process is the fresh one that `first_step_ms` starts.
    first_step: bool,
}

/// `wgrad bench`.
pub fn run(parser: Parser, clock: &Clock) -> Result<(), Failure> {
    let Some(args) = parse(parser)? else { return Ok(()) };
    if args.first_step {
        return fresh::child(args.gpu, clock);
    }
    let device = device(args.gpu)?;
    let wanted = |case: &&Case| {
        args.filters.is_empty() || args.filters.iter().any(|f| case.name.contains(f.as_str()))
    };
    let cases: Vec<&Case> = CASES.iter().filter(wanted).collect();
    if cases.is_empty() {
        return Err(Failure::Usage("no case has such a name; --list names them".to_owned()));
    }
    let report = Report::new(args.json, if args.gpu { "wgrad-gpu" } else { "wgrad-cpu" }, &device);
    let progress = progress(cases.len());
    progress.set_message("roofline");
    let roofline = roofline::measure(&device)?;
    report.head(&roofline);
    for case in cases {
        progress.set_message(case.name);
        let times = match case.make {
            Some(make) => time(make(&device)?, Duration::from_secs_f64(args.seconds))?,
            None => fresh::times(args.gpu)?,
        };
        progress.suspend(|| report.line(&Line::new(case, &times, &roofline)));
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
}

fn parse(mut parser: Parser) -> Result<Option<Args>, Failure> {
    let usage = |error: lexopt::Error| Failure::Usage(error.to_string());
    let mut args =
        Args { gpu: true, filters: Vec::new(), seconds: 2.0, json: false, first_step: false };
    while let Some(arg) = parser.next().map_err(usage)? {
        match arg {
            Arg::Long("device") => {
                let value = parser.value().map_err(usage)?;
                args.gpu = match value.to_str() {
                    Some("gpu") => true,
                    Some("cpu") => false,
                    _ => return Err(Failure::Usage("--device is gpu or cpu".to_owned())),
                };
            }
            Arg::Long("filter") => {
                let value = parser.value().map_err(usage)?;
                args.filters.push(value.to_string_lossy().into_owned());
            }
            Arg::Long("seconds") => {
                let value = parser.value().map_err(usage)?;
                let seconds = value.to_str().and_then(|s| s.parse().ok());
                args.seconds = seconds
                    .filter(|s: &f64| (0.0..=3600.0).contains(s))
                    .ok_or_else(|| Failure::Usage("--seconds is a number up to 3600".to_owned()))?;
            }
            Arg::Long("json") => args.json = true,
            Arg::Long("first-step") => args.first_step = true,
            Arg::Long("list") => {
                for case in CASES {
                    println!("{:<22} {}", case.name, case.what);
                }
                return Ok(None);
            }
            Arg::Long("help") | Arg::Short('h') => {
                print!("{HELP}");
                return Ok(None);
            }
            other => return Err(usage(other.unexpected())),
        }
    }
    Ok(Some(args))
}

fn device(gpu: bool) -> Result<Device> {
    if gpu { wgrad::gpu() } else { Ok(wgrad::cpu()) }
}

/// Times of single runs in seconds, after a warm-up.
fn time(mut run: cases::Run, budget: Duration) -> Result<Vec<f64>> {
    for _ in 0..WARM_UP {
        run()?;
    }
    let (mut times, begin) = (Vec::new(), Instant::now());
    while times.len() < FEWEST || begin.elapsed() < budget {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// On stderr, and only on a terminal.
fn progress(cases: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(cases as u64).with_style(style)
}
