//! Test images in the terminal, two rows of pixels to a line of text.

use wgrad::{Result, prelude::*};

/// Images side by side: 22 columns each, so that three fit 80.
const ACROSS: usize = 3;
const GAP: &str = "    ";

/// The first images of the test set, and the first that the model gets wrong, with the predicted and
/// the true class above each.
pub fn draw(model: &Mlp, test: &Dataset, device: &Device) -> Result<String> {
    let &[height, width] = test.sample_shape() else {
        return Ok(format!("(samples of shape {:?} are not drawn)", test.sample_shape()));
    };
    let Some(batch) = test.batches(500, device)?.next() else { return Ok(String::new()) };
    let logits = no_grad(|| model.forward(&batch?.0))?;
    let predicted = logits.argmax(1)?.to_vec::<i32>()?;

    let wrong = |&i: &usize| test.get(i).is_some_and(|(_, label)| label != predicted[i]);
    let mut text = String::new();
    for row in [
        (0..predicted.len()).take(ACROSS).collect::<Vec<_>>(),
        (ACROSS..predicted.len()).filter(wrong).take(ACROSS).collect(),
    ] {
        let drawings = row.iter().filter_map(|&i| {
            let (pixels, label) = test.get(i)?;
            let title = format!("predicted {}, true {label}", predicted[i]);
            Some([vec![title], image(pixels, height, width)].concat())
        });
        let drawings: Vec<Vec<String>> = drawings.collect();
        let lines = drawings.first().map_or(0, Vec::len);
        for line in 0..lines {
            let parts: Vec<String> =
                drawings.iter().map(|drawing| format!("{:<22}", drawing[line])).collect();
            text.push_str(parts.join(GAP).trim_end());
            text.push('\n');
        }
    }
    Ok(text)
}

/// Lines of half blocks; of a 28x28 image, whose digit lies within its middle 20x20, the middle 22x22.
fn image(pixels: &[f32], height: usize, width: usize) -> Vec<String> {
    let edge = |size: usize| if size == 28 { 3 } else { 0 };
    let (top, left) = (edge(height), edge(width));
    let dark = |y: usize, x: usize| y < height - top && pixels[y * width + x] >= 0.4;
    (top..height - top)
        .step_by(2)
        .map(|y| {
            (left..width - left)
                .map(|x| match (dark(y, x), dark(y + 1, x)) {
                    (false, false) => ' ',
                    (true, false) => '▀',
                    (false, true) => '▄',
                    (true, true) => '█',
                })
                .collect()
        })
        .collect()
}
