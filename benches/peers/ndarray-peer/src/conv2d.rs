//! Convolution by hand: products with unfolded images, which go through the cores side by side.

use harness::{Conv2d, Result};
use ndarray::parallel::prelude::*;
use ndarray::{Array2, Array3, Array4, Array5, ArrayView2, ArrayView3, Axis, ShapeError, s};
use std::ops::Range;

const INPUTS: usize = Conv2d::INPUT[1];
const HEIGHT: usize = Conv2d::INPUT[2];
const WIDTH: usize = Conv2d::INPUT[3];
const OUTPUTS: usize = Conv2d::WEIGHT[0];
const ROWS: usize = Conv2d::WEIGHT[2];
const COLS: usize = Conv2d::WEIGHT[3];
/// Numbers under the weight, and places where it lies.
const PATCH: usize = INPUTS * ROWS * COLS;
const PLACES: usize = HEIGHT * WIDTH;

pub struct Images {
    x: Array4<f32>,
    /// [OUTPUTS, PATCH].
    weight: Array2<f32>,
    dy: Array4<f32>,
}

/// One image's patches, [PATCH, PLACES], and output, [OUTPUTS, PLACES].
struct Forward {
    patches: Array2<f32>,
    y: Array2<f32>,
}

/// The gradients of one image and of the weight.
struct Backward {
    dx: Array3<f32>,
    dw: Array2<f32>,
}

impl Images {
    pub fn new(x: Vec<f32>, weight: Vec<f32>, dy: Vec<f32>) -> Result<Self> {
        Ok(Self {
            x: Array4::from_shape_vec(Conv2d::INPUT, x)?,
            weight: Array2::from_shape_vec((OUTPUTS, PATCH), weight)?,
            dy: Array4::from_shape_vec(Conv2d::OUTPUT, dy)?,
        })
    }

    /// Forward and backward; gives the sum of the last elements of the gradients.
    pub fn step(&self) -> Result<f32> {
        let images = self.x.axis_iter(Axis(0)).into_par_iter();
        let forward: Vec<_> =
            images.map(|x| forward(x, &self.weight)).collect::<Result<_, ShapeError>>()?;
        std::hint::black_box(forward.iter().map(|image| image.y[[0, 0]]).sum::<f32>());

        let images = self.dy.axis_iter(Axis(0)).into_par_iter().zip(&forward);
        let backward: Vec<_> = images
            .map(|(dy, forward)| backward(dy, forward.patches.view(), &self.weight))
            .collect::<Result<_, ShapeError>>()?;
        let mut dw = Array2::<f32>::zeros((OUTPUTS, PATCH));
        for image in &backward {
            dw += &image.dw;
        }
        let last_dx = backward[backward.len() - 1].dx[[INPUTS - 1, HEIGHT - 1, WIDTH - 1]];
        Ok(last_dx + dw[[OUTPUTS - 1, PATCH - 1]])
    }
}

fn forward(x: ArrayView3<f32>, weight: &Array2<f32>) -> Result<Forward, ShapeError> {
    let mut patches = Array5::zeros((INPUTS, ROWS, COLS, HEIGHT, WIDTH));
    for (i, j) in offsets() {
        let (to_rows, from_rows) = overlap(i, HEIGHT);
        let (to_cols, from_cols) = overlap(j, WIDTH);
        let from = x.slice(s![.., from_rows, from_cols]);
        patches.slice_mut(s![.., i, j, to_rows, to_cols]).assign(&from);
    }
    let patches = patches.into_shape_with_order((PATCH, PLACES))?;
    let y = weight.dot(&patches);
    Ok(Forward { patches, y })
}

fn backward(
    dy: ArrayView3<f32>,
    patches: ArrayView2<f32>,
    weight: &Array2<f32>,
) -> Result<Backward, ShapeError> {
    let dy = dy.into_shape_with_order((OUTPUTS, PLACES))?;
    let dw = dy.dot(&patches.t());
    let dpatches = weight.t().dot(&dy);
    let dpatches = dpatches.into_shape_with_order((INPUTS, ROWS, COLS, HEIGHT, WIDTH))?;
    let mut dx = Array3::zeros((INPUTS, HEIGHT, WIDTH));
    for (i, j) in offsets() {
        let (from_rows, to_rows) = overlap(i, HEIGHT);
        let (from_cols, to_cols) = overlap(j, WIDTH);
        let mut to = dx.slice_mut(s![.., to_rows, to_cols]);
        to += &dpatches.slice(s![.., i, j, from_rows, from_cols]);
    }
    Ok(Backward { dx, dw })
}

/// The places in the weight.
fn offsets() -> impl Iterator<Item = (usize, usize)> {
    (0..ROWS).flat_map(|i| (0..COLS).map(move |j| (i, j)))
}

/// The places along an axis of `n` at which the weight's element `offset` lies on the image, and where on the image that is.
fn overlap(offset: usize, n: usize) -> (Range<usize>, Range<usize>) {
    let pad = Conv2d::PADDING;
    let (start, end) = (pad.saturating_sub(offset), n.min(n + pad - offset));
    (start..end, start + offset - pad..end + offset - pad)
}
