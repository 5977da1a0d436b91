//! The flags.

use lexopt::{Arg, Parser};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

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

/// Where to train.
#[derive(Clone, Copy)]
pub enum Choice {
    Auto,
    Gpu,
    Cpu,
}

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
    out: PathBuf,
    pub resume: bool,
    pub json: bool,
}

impl Args {
    /// The flags of this process; `None` if they asked for help, which is printed.
    pub fn parse() -> Result<Option<Args>, String> {
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
        let mut parser = Parser::from_env();
        while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
            match arg {
                Arg::Long("device") => {
                    let name = text(&mut parser)?;
                    args.device = match name.as_str() {
                        "auto" => Choice::Auto,
                        "gpu" => Choice::Gpu,
                        "cpu" => Choice::Cpu,
                        _ => return Err(format!("--device {name}: give one of auto, gpu, cpu")),
                    };
                }
                Arg::Long("text") => {
                    args.text = Some(parser.value().map_err(|e| e.to_string())?.into());
                }
                Arg::Long("steps") => args.steps = count(&mut parser, "--steps", 1)?,
                Arg::Long("batch") => args.batch = count(&mut parser, "--batch", 1)?,
                Arg::Long("length") => args.length = count(&mut parser, "--length", 1)?,
                Arg::Long("size") => args.size = count(&mut parser, "--size", 1)?,
                Arg::Long("layers") => args.layers = count(&mut parser, "--layers", 0)?,
                Arg::Long("heads") => args.heads = count(&mut parser, "--heads", 1)?,
                Arg::Long("lr") => {
                    let good = |x: f64| x > 0.0 && (x as f32).is_finite();
                    args.lr = number(&mut parser, "--lr", good, "a finite number above 0")?;
                }
                Arg::Long("temperature") => {
                    let good = |x: f64| x >= 0.0 && x.is_finite();
                    let what = "a finite number from 0 up";
                    args.temperature = number(&mut parser, "--temperature", good, what)?;
                }
                Arg::Long("seed") => {
                    let text = text(&mut parser)?;
                    args.seed = text.parse().map_err(|_| {
                        format!("--seed {text}: give a whole number from 0 to 2^64 - 1")
                    })?;
                }
                Arg::Long("prompt") => args.prompt = text(&mut parser)?,
                Arg::Long("write") => args.write = count(&mut parser, "--write", 0)?,
                Arg::Long("out") => args.out = parser.value().map_err(|e| e.to_string())?.into(),
                Arg::Long("resume") => args.resume = true,
                Arg::Long("json") => args.json = true,
                Arg::Long("help") | Arg::Short('h') => {
                    // A reader that has gone away is no reason to fail.
                    let _ = io::stdout().write_all(HELP.as_bytes());
                    return Ok(None);
                }
                other => return Err(other.unexpected().to_string()),
            }
        }
        if args.out.as_os_str().is_empty() {
            if args.resume {
                return Err("--resume needs --out, the folder of the run to go on with".to_owned());
            }
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
            args.out = PathBuf::from(format!("target/char_gpt-{now}"));
        }
        Ok(Some(args))
    }

    /// The folder of this run.
    pub fn out(&self) -> &Path {
        &self.out
    }
}

fn text(parser: &mut Parser) -> Result<String, String> {
    let value = parser.value().map_err(|e| e.to_string())?;
    value.into_string().map_err(|value| format!("{} is not UTF-8", value.display()))
}

fn count(parser: &mut Parser, flag: &str, least: usize) -> Result<usize, String> {
    let text = text(parser)?;
    let good = usize::from_str(&text).ok().filter(|n| *n >= least);
    good.ok_or_else(|| format!("{flag} {text}: give a whole number from {least} up"))
}

fn number(
    parser: &mut Parser,
    flag: &str,
    good: impl Fn(f64) -> bool,
    what: &str,
) -> Result<f64, String> {
    let text = text(parser)?;
    let number = text.parse().ok().filter(|x| good(*x));
    number.ok_or_else(|| format!("{flag} {text}: give {what}"))
}
