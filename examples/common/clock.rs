//! Time since the process started.

use std::time::{Duration, Instant};

/// A clock that began when the process did, as far as that is known.
pub struct Clock {
    main: Instant,
    /// From the start of the process to the start of main.
    before: Duration,
}

impl Clock {
    /// To be called first thing in main.
    pub fn start() -> Clock {
        Clock { main: Instant::now(), before: before_main().unwrap_or_default() }
    }

    /// Milliseconds since the process started.
    pub fn ms(&self) -> f64 {
        (self.before + self.main.elapsed()).as_secs_f64() * 1e3
    }
}

/// Linux tells, in hundredths of a second since boot, when a process started.
fn before_main() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let now: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    // Field 22; the second one is the name in parentheses and may hold anything.
    let started: f64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    // Containers may disagree with themselves about the time of boot.
    Some(now - started / 100.0)
        .filter(|seconds| (0.0..10.0).contains(seconds))
        .map(Duration::from_secs_f64)
}
