//! The flags.

use lexopt::{Arg, Parser, ValueExt};
use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};
use wgrad::prelude::*;

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
    device: String,
    pub data: Option<PathBuf>,
    pub epochs: u64,
    pub batch: usize,
    pub lr: f64,
    pub mixed: bool,
    pub seed: u64,
    out: Option<PathBuf>,
    pub resume: bool,
    pub json: bool,
}

impl Args {
    /// The flags of this process; `None` if they asked for help, which is printed.
    pub fn parse() -> Result<Option<Args>, lexopt::Error> {
        let mut args = Args {
            device: "auto".to_owned(),
            data: None,
            epochs: 4,
            batch: 64,
            lr: 0.003,
            mixed: false,
            seed: 1,
            out: None,
            resume: false,
            json: false,
        };
        let mut parser = Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("device") => args.device = parser.value()?.string()?,
                Arg::Long("data") => args.data = Some(parser.value()?.into()),
                Arg::Long("epochs") => args.epochs = parser.value()?.parse()?,
                Arg::Long("batch") => args.batch = parser.value()?.parse()?,
                Arg::Long("lr") => args.lr = parser.value()?.parse()?,
                Arg::Long("mixed") => args.mixed = true,
                Arg::Long("seed") => args.seed = parser.value()?.parse()?,
                Arg::Long("out") => args.out = Some(parser.value()?.into()),
                Arg::Long("resume") => args.resume = true,
                Arg::Long("json") => args.json = true,
                Arg::Long("help") | Arg::Short('h') => {
                    print!("{HELP}");
                    return Ok(None);
                }
                other => return Err(other.unexpected()),
            }
        }
        if args.resume && args.out.is_none() {
            return Err("--resume needs --out, the folder of the run to go on with".into());
        }
        Ok(Some(args))
    }

    /// The folder of this run.
    pub fn out(&self) -> PathBuf {
        self.out.clone().unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            PathBuf::from(format!("target/mnist_cnn-{now}"))
        })
    }

    /// The device asked for.
    pub fn device(&self) -> Result<Device> {
        match self.device.as_str() {
            "cpu" => Ok(wgrad::cpu()),
            "gpu" => gpu(),
            "auto" => {
                let (device, why) = wgrad::best_device();
                if let Some(error) = why {
                    eprintln!("training on the CPU, since there is no GPU adapter: {error}");
                }
                Ok(device)
            }
            other => Err(Error::config("--device", format!("{other:?}; auto, gpu or cpu"))),
        }
    }
}

#[cfg(feature = "gpu")]
fn gpu() -> Result<Device> {
    wgrad::gpu()
}

#[cfg(not(feature = "gpu"))]
fn gpu() -> Result<Device> {
    Err(Error::device("gpu", "this program was built without the feature `gpu`"))
}
