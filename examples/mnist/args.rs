//! The flags.

use lexopt::{Arg, Parser};
use std::{
    io::{self, Write},
    path::PathBuf,
    str::FromStr,
};

const HELP: &str = "\
Trains a multi-layer perceptron on handwritten digits.

Usage: cargo run --release --example mnist -- [FLAGS]

  --device auto|gpu|cpu   auto: a GPU, else software Vulkan, else the CPU, saying why;
                          gpu: fails if there is no adapter                  [auto]
  --data DIR              a folder with the four IDX files of MNIST or anything in that
                          format, .gz or not              [10,000 embedded digits]
  --classes N             number of classes in the files of --data             [10]
  --epochs N              times through the training images                     [8]
  --batch N               images per step                                     [128]
  --hidden N,N,..         sizes of the hidden layers                      [512,512]
  --optimizer sgd|adam    sgd has momentum 0.9                                [sgd]
  --lr X                  learning rate: grown over 600 steps, falling to 0 at the end
                                                           [sgd: 0.1, adam: 0.002]
  --seed N                seed of first weights and shuffling                   [1]
  --json                  last line on stdout: one JSON object; all else on stderr
  --help                  this text
";

/// Where to train.
#[derive(Clone, Copy)]
pub enum Choice {
    Auto,
    Gpu,
    Cpu,
}

/// How to step.
#[derive(Clone, Copy, PartialEq)]
pub enum Method {
    Sgd,
    Adam,
}

/// What the command line asks for.
pub struct Args {
    pub device: Choice,
    pub data: Option<PathBuf>,
    pub classes: usize,
    pub epochs: u32,
    pub batch: usize,
    pub hidden: Vec<usize>,
    pub optimizer: Method,
    pub lr: f64,
    pub seed: u64,
    pub json: bool,
}

impl Args {
    /// The flags of this process; `None` if they asked for help, which is printed.
    pub fn parse() -> Result<Option<Args>, String> {
        let mut args = Args {
            device: Choice::Auto,
            data: None,
            classes: 10,
            epochs: 8,
            batch: 128,
            hidden: vec![512, 512],
            optimizer: Method::Sgd,
            lr: 0.0,
            seed: 1,
            json: false,
        };
        let mut lr = None;
        let mut parser = Parser::from_env();
        while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
            match arg {
                Arg::Long("device") => {
                    args.device = one_of(
                        &mut parser,
                        "--device",
                        &[("auto", Choice::Auto), ("gpu", Choice::Gpu), ("cpu", Choice::Cpu)],
                    )?;
                }
                Arg::Long("optimizer") => {
                    args.optimizer = one_of(
                        &mut parser,
                        "--optimizer",
                        &[("sgd", Method::Sgd), ("adam", Method::Adam)],
                    )?;
                }
                Arg::Long("data") => {
                    args.data = Some(parser.value().map_err(|e| e.to_string())?.into());
                }
                Arg::Long("classes") => args.classes = count(&mut parser, "--classes")?,
                Arg::Long("epochs") => args.epochs = count(&mut parser, "--epochs")?,
                Arg::Long("batch") => args.batch = count(&mut parser, "--batch")?,
                Arg::Long("hidden") => {
                    let text = text(&mut parser)?;
                    let sizes: Option<Vec<usize>> =
                        text.split(',').map(|size| size.trim().parse().ok()).collect();
                    args.hidden = sizes.filter(|sizes| !sizes.contains(&0)).ok_or_else(|| {
                        format!("--hidden {text}: give sizes from 1 up with commas, as in 512,512")
                    })?;
                }
                Arg::Long("lr") => {
                    let text = text(&mut parser)?;
                    let good = |x: &f64| *x > 0.0 && (*x as f32).is_finite();
                    lr = Some(text.parse().ok().filter(good).ok_or_else(|| {
                        format!("--lr {text}: give a finite number above 0, as in 0.1")
                    })?);
                }
                Arg::Long("seed") => {
                    let text = text(&mut parser)?;
                    args.seed = text.parse().map_err(|_| {
                        format!("--seed {text}: give a whole number from 0 to 2^64 - 1")
                    })?;
                }
                Arg::Long("json") => args.json = true,
                Arg::Long("help") | Arg::Short('h') => {
                    // A reader that has gone away is no reason to fail.
                    let _ = io::stdout().write_all(HELP.as_bytes());
                    return Ok(None);
                }
                other => return Err(other.unexpected().to_string()),
            }
        }
        args.lr = lr.unwrap_or(match args.optimizer {
            Method::Sgd => 0.1,
            Method::Adam => 0.002,
        });
        Ok(Some(args))
    }
}

fn text(parser: &mut Parser) -> Result<String, String> {
    let value = parser.value().map_err(|e| e.to_string())?;
    value.into_string().map_err(|value| format!("{} is not UTF-8", value.display()))
}

/// A whole number from 1 up.
fn count<T: FromStr + PartialOrd + From<u8>>(parser: &mut Parser, flag: &str) -> Result<T, String> {
    let text = text(parser)?;
    text.parse()
        .ok()
        .filter(|n| *n >= T::from(1))
        .ok_or_else(|| format!("{flag} {text}: give a whole number from 1 up"))
}

fn one_of<T: Copy>(parser: &mut Parser, flag: &str, values: &[(&str, T)]) -> Result<T, String> {
    let text = text(parser)?;
    values.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
        format!("{flag} {text}: give one of {}", names.join(", "))
    })
}
