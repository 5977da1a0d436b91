//! Letting the model write, one character after the other.

use crate::{args::Args, model::CharGpt, text::Text};
use wgrad::{Result, nn::eval, philox::Stream, prelude::*};

/// Streams 0 and 1 of the seed are for first weights and windows.
const WRITING: u32 = 2;

/// What the model writes after `prompt`, which is not empty.
pub fn write(args: &Args, model: &CharGpt, text: &Text, prompt: &[i32]) -> Result<String> {
    let device = model.parameters()?.values().device().clone();
    let step = Step::new(&device, |x| eval(|| Ok(vec![model.forward(&x[0])?])));
    let mut stream = Stream::new(args.seed, WRITING);
    let mut all = prompt.to_vec();
    let mut written = String::new();
    for _ in 0..args.write {
        let seen = &all[all.len().saturating_sub(args.length)..];
        // Always the same shape, so that one recording serves; what stands behind the text is not seen before it.
        let mut window = vec![0; args.length];
        window[..seen.len()].copy_from_slice(seen);
        let x = Tensor::from_vec(window, [1, args.length], &device)?;
        let logits = step.run(&[&x])?.swap_remove(0);
        let logits = logits.to_vec::<f32>()?;
        let row = &logits[(seen.len() - 1) * text.classes()..seen.len() * text.classes()];
        let next = draw(row, args.temperature, &mut stream);
        all.push(next);
        written.push(text.decode(next));
    }
    Ok(written)
}

/// A number drawn by the softmax of logits over a temperature.
fn draw(logits: &[f32], temperature: f64, stream: &mut Stream) -> i32 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |x: f32| match temperature {
        0.0 => f64::from(u8::from(x == top)),
        _ => (f64::from(x - top) / temperature).exp(),
    };
    let weights: Vec<f64> = logits.iter().map(|&x| weight(x)).collect();
    let mut left = f64::from(stream.uniform(0.0, 1.0)) * weights.iter().sum::<f64>();
    let at = weights.iter().position(|&weight| {
        left -= weight;
        left < 0.0
    });
    at.and_then(|at| i32::try_from(at).ok()).unwrap_or_default()
}
