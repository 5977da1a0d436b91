//! Layers for images and sequences.

mod conv;
mod conv_transpose;
mod flatten;
mod pool;

pub use conv::{Conv1d, Conv2d};
pub use conv_transpose::ConvTranspose2d;
pub use flatten::Flatten;
pub use pool::{AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d};

use crate::{Init, Parameter};
use wgrad_core::{Conv2dOptions, Error, Pair, Result, Tensor};

/// First values as PyTorch draws them: evenly over ±1/√(weights that meet one output).
#[track_caller]
fn first_values(
    op: &'static str,
    weight: &[usize],
    bias: usize,
    fan_in: &[usize],
    init: &mut Init,
) -> Result<(Parameter, Option<Parameter>)> {
    if weight.contains(&0) {
        return Err(Error::argument(
            op,
            format!("a weight of {weight:?}; channels and kernel must be at least 1"),
        ));
    }
    let bound = 1.0 / fan_in.iter().map(|&n| n as f64).product::<f64>().sqrt();
    let weight = init.uniform(weight, bound as f32)?;
    Ok((weight, Some(init.uniform(&[bias], bound as f32)?)))
}

/// The first part of a parameter's first values, stretched: what a layer in groups starts with.
#[track_caller]
fn cut(
    op: &'static str,
    parameter: &Parameter,
    shape: &[usize],
    stretch: f64,
) -> Result<Parameter> {
    let mut values = parameter.take_first();
    let count = shape.iter().product();
    if values.len() < count {
        return Err(Error::argument(
            op,
            "groups are chosen before the layer is put on a device; call .groups(..) before .on(..)",
        ));
    }
    values.truncate(count);
    values.iter_mut().for_each(|x| *x = (f64::from(*x) * stretch) as f32);
    Parameter::new(shape, values)
}

/// An error unless the groups divide both numbers of channels.
#[track_caller]
fn check_groups(op: &'static str, groups: usize, inputs: usize, outputs: usize) -> Result<()> {
    if groups > 0 && inputs.is_multiple_of(groups) && outputs.is_multiple_of(groups) {
        return Ok(());
    }
    Err(Error::argument(
        op,
        format!("{groups} groups do not divide {inputs} input and {outputs} output channels"),
    ))
}

/// An error if either number is 0.
#[track_caller]
fn at_least_one(op: &'static str, what: &str, pair: impl Into<Pair>) -> Result<Pair> {
    let Pair(pair) = pair.into();
    if pair.contains(&0) {
        return Err(Error::argument(op, format!("{what} {pair:?}; it must be at least 1")));
    }
    Ok(Pair(pair))
}

/// The tensor of a bias, where there is one.
#[track_caller]
fn tensor(bias: &Option<Parameter>) -> Result<Option<&Tensor>> {
    match bias {
        Some(bias) => Ok(Some(bias.tensor()?)),
        None => Ok(None),
    }
}

/// Channels on either side of a layer with groups.
fn in_channels(weight: &Parameter, options: &Conv2dOptions) -> usize {
    weight.shape().get(1).copied().unwrap_or_default() * options.groups
}
