//! The flags.

use crate::common::{
    device::Choice,
    flags::{count, folder, help, rate, seed},
};
use lexopt::{Arg, Parser};
use std::path::PathBuf;

const HELP: &str = "\
Trains a convolutional network on handwritten digits.

Usage: cargo run --release --example mnist_cnn -- [FLAGS]

  --device auto|gpu|cpu   auto: a GPU, else software Vulkan, else the CPU, saying why [auto]
  --data DIR              a folder with the four IDX files of MNIST, .gz or not
                                                          [10,000 embedded digits]
  --epochs N              times through the training images                     [4]
  --batch N               images per step                                      [64]
  --lr X                  learning rate at its highest                      [0.003]
  --mixed                 16-bit activations, with a loss scale
  --seed N                seed of first weights, shuffling and dropout           [1]
  --out DIR               folder for checkpoints, record and plot (loss.svg)
                                                  [target/mnist_cnn-<time>, a new one]
  --resume                goes on with the run in --out
  --json                  last line on stdout: one JSON object; all else on stderr
  --help                  this text
";

/// What the command line asks for.
pub struct Args {
    pub device: Choice,
    pub data: Option<PathBuf>,
    pub epochs: u64,
    pub batch: usize,
    pub lr: f64,
    pub mixed: bool,
    pub seed: u64,
    pub out: PathBuf,
    pub resume: bool,
    pub json: bool,
}

impl Args {
    /// The flags of this process; `None` if they asked for help, which is printed.
    pub fn parse() -> Result<Option<Args>, lexopt::Error> {
        let mut args = Args {
            device: Choice::Auto,
            data: None,
            epochs: 4,
            batch: 64,
            lr: 0.003,
            mixed: false,
            seed: 1,
            out: PathBuf::new(),
            resume: false,
            json: false,
        };
        let mut out = None;
        let mut parser = Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("device") => args.device = Choice::parse(&mut parser)?,
                Arg::Long("data") => args.data = Some(parser.value()?.into()),
                Arg::Long("epochs") => args.epochs = count(&mut parser, "--epochs", 1)?,
                Arg::Long("batch") => args.batch = count(&mut parser, "--batch", 1)?,
                Arg::Long("lr") => args.lr = rate(&mut parser)?,
                Arg::Long("mixed") => args.mixed = true,
                Arg::Long("seed") => args.seed = seed(&mut parser)?,
                Arg::Long("out") => out = Some(parser.value()?.into()),
                Arg::Long("resume") => args.resume = true,
                Arg::Long("json") => args.json = true,
                Arg::Long("help") | Arg::Short('h') => {
                    help(HELP);
                    return Ok(None);
                }
                other => return Err(other.unexpected()),
            }
        }
        args.out = folder(out, args.resume, "mnist_cnn")?;
        Ok(Some(args))
    }
}
