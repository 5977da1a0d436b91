//! Chores of this repository.
//!
//! - `cargo xtask test`: all tests, on a GPU adapter; installs software Vulkan where there is none.
//! - `cargo xtask render`: writes the default renderings of the shader templates.

mod adapter;
mod render;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  test [--yes] [--floor] [--checked] [-- ARGS]
            runs all tests; demands a GPU adapter, and where there is none installs Mesa's software
            Vulkan (Debian and Ubuntu; asks first, --yes goes ahead)
            --floor    with WebGPU's default limits and no optional feature
            --checked  with run-time checks in every kernel
            ARGS go to `cargo test`
  render    writes the default renderings of the shader templates to shaders/rendered/";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(text) => {
            eprintln!("xtask: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, String> {
    let mut args = lexopt::Parser::from_env();
    let command = match args.next().map_err(|e| e.to_string())? {
        Some(lexopt::Arg::Value(value)) => value.to_string_lossy().into_owned(),
        Some(lexopt::Arg::Long("help") | lexopt::Arg::Short('h')) | None => {
            println!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        Some(other) => return Err(format!("{}\n{USAGE}", other.unexpected())),
    };
    match command.as_str() {
        "test" => test::run(test::Options::parse(args)?),
        "render" => render::run().map(|()| ExitCode::SUCCESS),
        other => Err(format!("no command {other:?}\n{USAGE}")),
    }
}
