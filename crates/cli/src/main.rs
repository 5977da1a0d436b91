//! `wgrad`: what the library can do on this machine.

mod bench;
mod clock;

use clock::Clock;
use lexopt::{Arg, Parser};
use std::process::ExitCode;

const HELP: &str = "\
wgrad: what the library can do on this machine.

Usage: wgrad <COMMAND>

  bench      times training and its kernels on a device; see wgrad bench --help
  --version  the version
  --help     this text
";

fn main() -> ExitCode {
    let clock = Clock::start();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run(&clock) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            eprintln!("error: {text}\nSee wgrad --help.");
            ExitCode::from(2)
        }
        Err(Failure::Run(error)) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why the program ends early.
enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// Something did not work.
    Run(Box<dyn std::error::Error>),
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Run(Box::new(error))
    }
}

fn run(clock: &Clock) -> Result<(), Failure> {
    let mut parser = Parser::from_env();
    let usage = |error: lexopt::Error| Failure::Usage(error.to_string());
    match parser.next().map_err(usage)? {
        None | Some(Arg::Long("help") | Arg::Short('h')) => print!("{HELP}"),
        Some(Arg::Long("version") | Arg::Short('V')) => {
            println!("wgrad {}", env!("CARGO_PKG_VERSION"));
        }
        Some(Arg::Value(command)) if command == "bench" => return bench::run(parser, clock),
        Some(Arg::Value(other)) => {
            return Err(Failure::Usage(format!("no command {}", other.display())));
        }
        Some(other) => return Err(usage(other.unexpected())),
    }
    Ok(())
}
