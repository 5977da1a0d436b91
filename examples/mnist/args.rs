//! The flags.

use crate::common::{
    device::Choice,
    flags::{count, help, rate, seed},
};
use lexopt::{Arg, Parser, ValueExt};
use std::path::PathBuf;

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
    pub fn parse() -> Result<Option<Args>, lexopt::Error> {
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
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("device") => args.device = Choice::parse(&mut parser)?,
                Arg::Long("optimizer") => {
                    args.optimizer = match parser.value()?.string()?.as_str() {
                        "sgd" => Method::Sgd,
                        "adam" => Method::Adam,
                        name => {
                            return Err(format!("--optimizer {name}: give one of sgd, adam").into());
                        }
                    };
                }
                Arg::Long("data") => args.data = Some(parser.value()?.into()),
                Arg::Long("classes") => args.classes = count(&mut parser, "--classes", 1)?,
                Arg::Long("epochs") => args.epochs = count(&mut parser, "--epochs", 1)?,
                Arg::Long("batch") => args.batch = count(&mut parser, "--batch", 1)?,
                Arg::Long("hidden") => {
                    let text = parser.value()?.string()?;
                    let sizes: Option<Vec<usize>> =
                        text.split(',').map(|size| size.trim().parse().ok()).collect();
                    args.hidden = sizes.filter(|sizes| !sizes.contains(&0)).ok_or_else(|| {
                        format!("--hidden {text}: give sizes from 1 up with commas, as in 512,512")
                    })?;
                }
                Arg::Long("lr") => lr = Some(rate(&mut parser)?),
                Arg::Long("seed") => args.seed = seed(&mut parser)?,
                Arg::Long("json") => args.json = true,
                Arg::Long("help") | Arg::Short('h') => {
                    help(HELP);
                    return Ok(None);
                }
                other => return Err(other.unexpected()),
            }
        }
        args.lr = lr.unwrap_or(match args.optimizer {
            Method::Sgd => 0.1,
            Method::Adam => 0.002,
        });
        Ok(Some(args))
    }
}
