//! Convolutions: all directions, since the gradient of one is made of the others.

use super::in_every_lie;
use crate::support::{
    inputs::{Input, Lie, floats},
    row::{Case, Row, row},
};
use wgrad_core::{Conv2dOptions, Pair};

const LANES: &str = "conv_lanes";
const TILES: &str = "conv_tiles";
const PACK: &str = "conv_pack";

/// Sizes of a case: x, weight, and whether there is a bias.
type Sizes = ([usize; 4], [usize; 4], bool);

fn input(shape: &[usize]) -> Input {
    floats(shape, -1.0, 1.0)
}

/// A case with the terms of its sums: of the result, and of the longest gradient.
fn case(inputs: Vec<Input>, x: [usize; 4], w: [usize; 4], terms: usize) -> Case {
    let mut case = Case::new(inputs).terms(terms.max(1));
    let windows = x[0] * (x[2] + 8) * (x[3] + 8);
    case.gradient_terms = windows.max(w.iter().product()).max(1);
    case
}

fn plain(sizes: &Sizes, bias: usize, terms: usize) -> Case {
    let &(x, w, with_bias) = sizes;
    let mut inputs = vec![input(&x), input(&w)];
    inputs.extend(with_bias.then(|| input(&[bias])));
    case(inputs, x, w, terms)
}

/// What GPUs run for rows of a group: lanes where they are few, else tiles.
fn on_gpu(rows: impl Iterator<Item = usize>) -> Vec<&'static str> {
    let mut kernels: Vec<&str> = rows.map(|rows| if rows <= 4 { LANES } else { TILES }).collect();
    kernels.sort_unstable();
    kernels.dedup();
    kernels
}

/// What software adapters run: operands are packed where a group has more than 4 rows and 4 or more to sum over.
fn on_software(mut sizes: impl Iterator<Item = [usize; 2]>) -> Vec<&'static str> {
    let packs = sizes.any(|[rows, inner]| rows > 4 && inner >= 4);
    [LANES].into_iter().chain(packs.then_some(PACK)).collect()
}

fn forward(name: &str, options: Conv2dOptions, sizes: &[Sizes]) -> Row {
    let groups = options.groups;
    let ran = || sizes.iter().filter(|(x, ..)| x[0] > 0).map(|(_, w, _)| [w[0] / groups, w[1]]);
    let (gpu, software) = (on_gpu(ran().map(|[rows, _]| rows)), on_software(ran()));
    row(format!("conv2d {name}"), "conv", move |x| x[0].conv2d(&x[1], x.get(2), &options))
        .cases(sizes.iter().map(|s| plain(s, s.1[0], s.1[1] * s.1[2] * s.1[3])))
        .kernels(&software)
        .hardware(&gpu)
        .backward(&[LANES], &gpu[..1])
}

fn transposed(name: &str, options: Conv2dOptions, extra: impl Into<Pair>, sizes: &[Sizes]) -> Row {
    let Pair(extra) = extra.into();
    let groups = options.groups;
    let gpu = on_gpu(sizes.iter().map(|(_, w, _)| w[1]));
    let software = on_software(sizes.iter().map(|(_, w, _)| [w[1], w[0] / groups]));
    row(format!("conv_transpose2d {name}"), "conv", move |x| {
        x[0].conv_transpose2d(&x[1], x.get(2), &options, extra)
    })
    .cases(sizes.iter().map(|s| plain(s, s.1[1] * groups, s.1[0] / groups * s.1[2] * s.1[3])))
    .kernels(&software)
    .hardware(&gpu)
    .backward(&[LANES], &[])
}

pub fn rows() -> Vec<Row> {
    let one = Conv2dOptions::new();
    let views = |x: [usize; 4], w: [usize; 4]| {
        let terms = w[1] * w[2] * w[3];
        let of_x =
            in_every_lie(input(&x)).map(move |x_lies| case(vec![x_lies, input(&w)], x, w, terms));
        let of_w =
            in_every_lie(input(&w)).map(move |w_lies| case(vec![input(&x), w_lies], x, w, terms));
        of_x.chain(of_w)
    };
    let sequence = |x: [usize; 3], w: [usize; 3], bias: bool| {
        let mut inputs = vec![input(&x), input(&w)];
        inputs.extend(bias.then(|| input(&[w[0]])));
        case(inputs, [x[0], x[1], 1, x[2]], [w[0], w[1], 1, w[2]], w[1] * w[2])
    };
    let along = one.stride(2).padding(3).dilation(2);
    vec![
        forward(
            "sizes",
            one,
            &[
                ([1, 1, 1, 1], [1, 1, 1, 1], true),
                ([2, 3, 7, 5], [4, 3, 3, 2], true),
                // The kernel is as large as the input.
                ([3, 2, 5, 4], [7, 2, 5, 4], false),
                // 1 x 1: a product of channels.
                ([2, 13, 3, 11], [17, 13, 1, 1], true),
                ([1, 7, 9, 9], [33, 7, 3, 3], false),
                ([2, 5, 13, 17], [67, 5, 2, 3], true),
                // No image, and no channel.
                ([0, 3, 7, 5], [4, 3, 3, 2], true),
                ([2, 0, 4, 4], [3, 0, 3, 3], true),
            ],
        ),
        forward(
            "padded",
            one.padding([1, 2]),
            &[([2, 3, 8, 8], [6, 3, 3, 5], true), ([1, 2, 2, 3], [9, 2, 4, 5], false)],
        ),
        forward(
            "strided",
            one.stride([2, 3]).padding(1),
            &[([2, 3, 9, 11], [5, 3, 3, 3], false), ([1, 4, 10, 7], [3, 4, 2, 1], true)],
        ),
        forward(
            "dilated",
            one.dilation([2, 3]).padding([2, 3]),
            &[([2, 2, 9, 10], [6, 2, 3, 3], false), ([1, 3, 5, 7], [2, 3, 2, 2], true)],
        ),
        forward(
            "strided dilated",
            one.stride([4, 2]).dilation([2, 3]).padding(2),
            &[([2, 2, 11, 13], [3, 2, 3, 2], true)],
        ),
        forward(
            "grouped",
            one.groups(3).padding(1),
            &[([2, 6, 5, 5], [9, 2, 3, 3], true), ([1, 3, 6, 7], [18, 1, 3, 2], false)],
        ),
        // One channel in each group.
        forward(
            "depthwise",
            one.groups(7).padding(1).stride([1, 2]),
            &[([2, 7, 9, 6], [7, 1, 3, 3], true), ([1, 7, 4, 40], [14, 1, 3, 3], false)],
        ),
        row("conv2d views", "conv", move |x| x[0].conv2d(&x[1], None, &one.padding(1)))
            .cases(views([2, 3, 6, 6], [6, 3, 3, 3]))
            .kernels(&[LANES])
            .hardware(&[TILES])
            .backward(&[LANES], &[TILES]),
        row("conv2d views packed", "conv", move |x| x[0].conv2d(&x[1], None, &one.padding(1)))
            .cases(views([2, 6, 5, 6], [7, 6, 3, 3]))
            .kernels(&[LANES, PACK])
            .hardware(&[TILES])
            .backward(&[LANES, PACK], &[TILES]),
        // Many images: the weight's gradient is summed in parts.
        forward("deep", one.padding(1), &[([37, 2, 6, 5], [5, 2, 3, 3], true)])
            .backward(&[LANES, "matmul_sum"], &[TILES, "matmul_sum"]),
        // Windows beyond what one thread of a software adapter may loop over: the rows of an image in parts too.
        forward("large", one, &[([1, 1, 190, 190], [5, 1, 2, 2], false)])
            .backward(&[LANES, "matmul_sum"], &[TILES]),
        // Whole tiles of rows on GPUs.
        forward(
            "whole",
            one.padding(1),
            &[
                ([2, 16, 8, 8], [64, 16, 3, 3], true),
                ([1, 32, 8, 8], [16, 32, 3, 3], false),
                ([2, 8, 8, 8], [32, 8, 3, 3], false),
            ],
        ),
        transposed(
            "sizes",
            one,
            0,
            &[
                ([1, 1, 1, 1], [1, 1, 1, 1], true),
                ([2, 3, 4, 5], [3, 4, 3, 2], true),
                ([1, 7, 5, 3], [7, 19, 2, 2], false),
            ],
        ),
        transposed(
            "strided",
            one.stride([2, 3]).padding([1, 0]),
            [1, 2],
            &[([2, 3, 4, 3], [3, 6, 3, 3], true), ([1, 5, 3, 5], [5, 7, 2, 1], false)],
        ),
        transposed(
            "strided dilated",
            one.stride([4, 2]).dilation([2, 3]).padding(2),
            [3, 1],
            &[([2, 4, 3, 4], [4, 3, 3, 2], true)],
        ),
        transposed(
            "grouped",
            one.groups(2).stride(2),
            0,
            &[([2, 4, 3, 3], [4, 5, 2, 3], true), ([1, 2, 4, 4], [2, 1, 3, 3], false)],
        ),
        row("conv1d", "conv", move |x| x[0].conv1d(&x[1], x.get(2), &along))
            .cases([
                sequence([2, 3, 12], [5, 3, 3], true),
                sequence([1, 1, 7], [2, 1, 4], false),
                sequence([3, 4, 65], [6, 4, 5], true),
            ])
            .kernels(&[LANES, PACK])
            .hardware(&[LANES, TILES])
            .backward(&[LANES], &[LANES]),
        row("conv2d f16", "conv", move |x| x[0].conv2d(&x[1], x.get(2), &one.padding(1)))
            .cases([
                plain(&([2, 3, 5, 4], [6, 3, 3, 3], true), 6, 27),
                case(
                    vec![input(&[2, 2, 5, 4]), input(&[3, 2, 2, 2]).lie(Lie::Permuted)],
                    [2, 2, 5, 4],
                    [3, 2, 2, 2],
                    8,
                ),
            ])
            .half()
            .kernels(&[LANES, "widen_f16", "narrow_f16"]),
    ]
}
