//! Values of flags, checked.

use lexopt::{Error, Parser, ValueExt};
use std::{
    io::{self, Write},
    path::PathBuf,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

/// Any value that `good` accepts; `what` names those.
pub fn value<T: FromStr>(
    parser: &mut Parser,
    flag: &str,
    what: &str,
    good: impl Fn(&T) -> bool,
) -> Result<T, Error> {
    let text = parser.value()?.string()?;
    let value = text.parse().ok().filter(good);
    value.ok_or_else(|| format!("{flag} {text}: give {what}").into())
}

/// A whole number.
pub fn count<T: FromStr + PartialOrd + From<u8>>(
    parser: &mut Parser,
    flag: &str,
    least: u8,
) -> Result<T, Error> {
    let what = format!("a whole number from {least} up");
    value(parser, flag, &what, |n| *n >= T::from(least))
}

/// A learning rate, `--lr`.
pub fn rate(parser: &mut Parser) -> Result<f64, Error> {
    let good = |x: &f64| *x > 0.0 && (*x as f32).is_finite();
    value(parser, "--lr", "a finite number above 0, as in 0.1", good)
}

/// `--seed`.
pub fn seed(parser: &mut Parser) -> Result<u64, Error> {
    value(parser, "--seed", "a whole number from 0 to 2^64 - 1", |_| true)
}

/// The folder of a run: the one that `--out` names, else a new one; what `--resume` goes on with must be named.
pub fn folder(out: Option<PathBuf>, resume: bool, example: &str) -> Result<PathBuf, Error> {
    match out {
        Some(out) => Ok(out),
        None if resume => Err("--resume needs --out, the folder of the run to go on with".into()),
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            Ok(PathBuf::from(format!("target/{example}-{now}")))
        }
    }
}

/// Prints what `--help` shows. A reader that has gone away is no reason to fail.
pub fn help(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
