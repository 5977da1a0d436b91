//! The command line, the same for every peer.

use std::time::Duration;

use crate::Result;

pub const HELP: &str = "\
--filter SUBSTRING  only cases with this in their names; repeatable, or several with commas between
--json              one JSON line per case
--seconds S         rough time per case (default 2); at least 5 timed iterations";

pub struct Options {
    /// What `choice` chose: the first of the peer's backends unless told.
    pub backend: String,
    pub filters: Vec<String>,
    pub json: bool,
    pub budget: Duration,
    /// Hidden: do one `mlp_train_step`, print a line and stop. The parent times it.
    pub first_step: bool,
}

impl Options {
    /// Reads the command line; `--help` prints and exits. `choice` is the flag that chooses among `backends`.
    pub fn parse(choice: &str, backends: &[&str]) -> Result<Self> {
        let first = backends.first().ok_or("built without any backend")?;
        let mut options = Self {
            backend: first.to_string(),
            filters: Vec::new(),
            json: false,
            budget: Duration::from_secs(2),
            first_step: false,
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--filter" => options.filters.extend(value()?.split(',').map(str::to_owned)),
                "--json" => options.json = true,
                "--seconds" => options.budget = Duration::try_from_secs_f64(value()?.parse()?)?,
                "--first-step" => options.first_step = true,
                flag if flag == choice => options.backend = value()?,
                "--help" | "-h" => {
                    println!("{choice} {}\n{HELP}", backends.join("|"));
                    std::process::exit(0);
                }
                other => return Err(format!("unknown argument {other}; see --help").into()),
            }
        }
        if !backends.contains(&options.backend.as_str()) {
            return Err(
                format!("{choice} {}: there is {}", options.backend, backends.join(", ")).into()
            );
        }
        Ok(options)
    }

    pub fn wants(&self, case: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| case.contains(filter.as_str()))
    }
}
