//! The main function of targets with GPU rows. libtest cannot ignore a test at run time; this can.

use libtest_mimic::{Arguments, Failed, Trial};
use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Whether there is an adapter to test on.
enum Adapter {
    Here(String),
    /// None, with the reason.
    Missing(String),
}

fn adapter() -> Adapter {
    match wgrad_gpu::adapters() {
        Ok(all) if all.is_empty() => Adapter::Missing("no adapter".to_owned()),
        Ok(all) => {
            // Which one is used shows when it is opened; a failure to open is a failed test.
            let opened = super::devices::device(super::devices::Mode::Software);
            Adapter::Here(match opened {
                Ok(opened) => opened.device.info().to_string(),
                Err(_) => all.iter().map(|a| a.name.clone()).collect::<Vec<_>>().join(", "),
            })
        }
        // A bad environment variable is no missing adapter: let the tests fail on it.
        Err(error) => Adapter::Here(error.to_string()),
    }
}

/// The trials of a target.
pub struct Suite {
    adapter: Adapter,
    trials: Vec<Trial>,
    gpu_rows: Arc<AtomicUsize>,
}

impl Suite {
    /// A test that needs no GPU.
    pub fn cpu(
        &mut self,
        name: impl Into<String>,
        test: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) {
        self.trials.push(Trial::test(name, move || test().map_err(Failed::from)));
    }

    /// A test on a GPU: ignored where there is none.
    pub fn gpu(
        &mut self,
        name: impl Into<String>,
        test: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) {
        let name = name.into();
        match &self.adapter {
            Adapter::Missing(reason) => {
                let name = format!("{name} ({reason})");
                // Run all the same, with `--include-ignored`, it fails: it has tested nothing.
                let absent = || Err("there is no adapter to test on".into());
                self.trials.push(Trial::test(name, absent).with_ignored_flag(true));
            }
            Adapter::Here(_) => {
                let count = self.gpu_rows.clone();
                self.trials.push(Trial::test(name, move || {
                    count.fetch_add(1, Ordering::Relaxed);
                    test().map_err(Failed::from)
                }));
            }
        }
    }
}

/// Runs a target. `WGRAD_REQUIRE_GPU=1` makes a missing adapter, or no GPU row at all, a failure.
pub fn main(fill: impl FnOnce(&mut Suite)) -> ExitCode {
    let arguments = Arguments::from_args();
    let required = std::env::var_os("WGRAD_REQUIRE_GPU").is_some_and(|value| value == "1");
    let gpu_rows = Arc::new(AtomicUsize::new(0));
    let mut suite = Suite { adapter: adapter(), trials: Vec::new(), gpu_rows: gpu_rows.clone() };
    fill(&mut suite);
    let place = match &suite.adapter {
        Adapter::Here(name) => name.clone(),
        Adapter::Missing(reason) => {
            if required {
                let text = format!("WGRAD_REQUIRE_GPU=1, but {reason}: {}", wgrad_gpu::help());
                suite.trials.push(Trial::test("gpu_required", move || Err(text.into())));
            }
            reason.clone()
        }
    };
    let conclusion = libtest_mimic::run(&arguments, suite.trials);
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    let rows = gpu_rows.load(Ordering::Relaxed);
    eprintln!("gpu rows: {rows} on {place}");
    if required && rows == 0 && arguments.filter.is_none() {
        eprintln!("WGRAD_REQUIRE_GPU=1, but no GPU row ran");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
