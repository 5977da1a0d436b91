//! The device to train on.

use lexopt::{Parser, ValueExt};
use wgrad::prelude::*;

/// What `--device` says.
#[derive(Clone, Copy)]
pub enum Choice {
    Auto,
    Gpu,
    Cpu,
}

impl Choice {
    /// The value of the flag.
    pub fn parse(parser: &mut Parser) -> Result<Choice, lexopt::Error> {
        match parser.value()?.string()?.as_str() {
            "auto" => Ok(Choice::Auto),
            "gpu" => Ok(Choice::Gpu),
            "cpu" => Ok(Choice::Cpu),
            name => Err(format!("--device {name}: give one of auto, gpu, cpu").into()),
        }
    }

    /// The device asked for. Only `auto` takes another one than a GPU adapter; then the text says why.
    pub fn open(self) -> Result<(Device, Option<String>)> {
        match self {
            Choice::Cpu => Ok((wgrad::cpu(), None)),
            Choice::Gpu => Ok((gpu()?, None)),
            Choice::Auto => match gpu() {
                Ok(device) => Ok((device, None)),
                // A typing mistake in a variable is told, not worked around.
                Err(error) if error.kind() == ErrorKind::Config => Err(error),
                Err(error) => {
                    let why =
                        format!("training on the CPU, since there is no GPU adapter: {error}");
                    Ok((wgrad::cpu(), Some(why)))
                }
            },
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
