//! A table for people, or JSON lines for programs.

use super::{cases::Case, roofline::floor};
use wgrad::{Device, Roofline};

/// One case's result.
pub struct Line {
    name: &'static str,
    median_ms: f64,
    min_ms: f64,
    runs: usize,
    gflops: Option<f64>,
    gbytes: Option<f64>,
    share: Option<f64>,
}

impl Line {
    /// What times in seconds say about a case.
    pub fn new(case: &Case, times: &[f64], roofline: &Roofline) -> Line {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
        let rate = |work: f64| (work > 0.0).then_some(work / median / 1e9);
        let floor = floor(roofline, case.flops, case.bytes);
        Line {
            name: case.name,
            median_ms: median * 1e3,
            min_ms: sorted.first().copied().unwrap_or(f64::NAN) * 1e3,
            runs: sorted.len(),
            gflops: rate(case.flops),
            gbytes: rate(case.bytes),
            share: (floor > 0.0).then_some(floor / median),
        }
    }
}

/// Where lines go.
pub struct Report {
    json: bool,
    system: &'static str,
    device: String,
}

impl Report {
    pub fn new(json: bool, system: &'static str, device: &Device) -> Report {
        Report { json, system, device: device.info().to_string() }
    }

    pub fn head(&self, roofline: &Roofline) {
        let Roofline { bytes, flops } = roofline;
        if self.json {
            eprintln!("{} | copy {:.1} GB/s, {:.1} GFLOP/s", self.device, bytes / 1e9, flops / 1e9);
            return;
        }
        println!("{}", self.device);
        println!("roofline: copy {:.1} GB/s, multiply-add {:.1} GFLOP/s", bytes / 1e9, flops / 1e9);
        println!();
        println!(
            "{:<22} {:>10} {:>10} {:>6} {:>9} {:>8} {:>9}",
            "case", "median ms", "min ms", "runs", "GFLOP/s", "GB/s", "roofline"
        );
    }

    pub fn line(&self, line: &Line) {
        let Line { name, median_ms, min_ms, runs, gflops, gbytes, share } = line;
        if self.json {
            let optional = |key: &str, x: Option<f64>| {
                x.map_or(String::new(), |x| format!(",\"{key}\":{x:.4}"))
            };
            println!(
                "{{\"system\":\"{}\",\"case\":\"{name}\",\"median_ms\":{median_ms:.5},\
                 \"min_ms\":{min_ms:.5},\"n\":{runs}{}{}{},\"device\":{:?}}}",
                self.system,
                optional("gflops", *gflops),
                optional("gbytes", *gbytes),
                optional("roofline", *share),
                self.device,
            );
            return;
        }
        let cell =
            |x: Option<f64>, digits: usize| x.map_or("-".to_owned(), |x| format!("{x:.digits$}"));
        println!(
            "{name:<22} {median_ms:>10.3} {min_ms:>10.3} {runs:>6} {:>9} {:>8} {:>9}",
            cell(*gflops, 1),
            cell(*gbytes, 1),
            share.map_or("-".to_owned(), |x| format!("{:.0}%", x * 100.0)),
        );
    }
}
