//! The flags.

use crate::common::{
    device::Choice,
    flags::{count, folder, help, rate, seed, value},
};
use lexopt::{Arg, Parser, ValueExt};
use std::path::PathBuf;

const HELP: &str = "\
Trains a small causal transformer on the characters of a text, and lets it write.

Usage: cargo run --release --example char_gpt -- [FLAGS]

  --device auto|gpu|cpu   auto: a GPU, else software Vulkan, else the CPU, saying why;
                          gpu: fails if there is no adapter                  [auto]
  --text FILE             a text in UTF-8                     [Persuasion, embedded]
  --steps N               training steps                                     [1500]
  --batch N               windows of text per step                             [16]
  --length N              characters of a window                               [64]
  --size N                numbers per character                                [96]
  --layers N              blocks                                                [2]
  --heads N               heads of attention; they divide the size              [4]
  --lr X                  highest learning rate: grown over the first tenth of the
                          steps, then falling to a tenth of it              [0.003]
  --seed N                seed of first weights, windows and writing            [1]
  --prompt TEXT           what the model is given to go on from         [line feed]
  --write N               characters to write at the end                      [400]
  --temperature X         how freely it writes: 0 always takes the likeliest  [0.8]
  --out DIR               folder for checkpoints, record and plot (loss.svg)
                                                  [target/char_gpt-<time>, a new one]
  --resume                goes on with the run in --out
  --json                  last line on stdout: one JSON object; all else on stderr
  --help                  this text
";

/// What the command line asks for.
pub struct Args {
    pub device: Choice,
    pub text: Option<PathBuf>,
    pub steps: usize,
    pub batch: usize,
    pub length: usize,
    pub size: usize,
    pub layers: usize,
    pub heads: usize,
    pub lr: f64,
    pub seed: u64,
    pub prompt: String,
    pub write: usize,
    pub temperature: f64,
    pub out: PathBuf,
    pub resume: bool,
    pub json: bool,
}

impl Args {
    /// The flags of this process; `None` if they asked for help, which is printed.
    pub fn parse() -> Result<Option<Args>, lexopt::Error> {
        let mut args = Args {
            device: Choice::Auto,
            text: None,
            steps: 1500,
            batch: 16,
            length: 64,
            size: 96,
            layers: 2,
            heads: 4,
            lr: 0.003,
            seed: 1,
            prompt: "\n".to_owned(),
            write: 400,
            temperature: 0.8,
            out: PathBuf::new(),
            resume: false,
            json: false,
        };
        let mut out = None;
        let mut parser = Parser::from_env();
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("device") => args.device = Choice::parse(&mut parser)?,
                Arg::Long("text") => args.text = Some(parser.value()?.into()),
                Arg::Long("steps") => args.steps = count(&mut parser, "--steps", 1)?,
                Arg::Long("batch") => args.batch = count(&mut parser, "--batch", 1)?,
                Arg::Long("length") => args.length = count(&mut parser, "--length", 1)?,
                Arg::Long("size") => args.size = count(&mut parser, "--size", 1)?,
                Arg::Long("layers") => args.layers = count(&mut parser, "--layers", 0)?,
                Arg::Long("heads") => args.heads = count(&mut parser, "--heads", 1)?,
                Arg::Long("lr") => args.lr = rate(&mut parser)?,
                Arg::Long("temperature") => {
                    let good = |x: &f64| *x >= 0.0 && x.is_finite();
                    let what = "a finite number from 0 up";
                    args.temperature = value(&mut parser, "--temperature", what, good)?;
                }
                Arg::Long("seed") => args.seed = seed(&mut parser)?,
                Arg::Long("prompt") => args.prompt = parser.value()?.string()?,
                Arg::Long("write") => args.write = count(&mut parser, "--write", 0)?,
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
        args.out = folder(out, args.resume, "char_gpt")?;
        Ok(Some(args))
    }
}
