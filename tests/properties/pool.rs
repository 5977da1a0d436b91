//! Poolings against direct loops over random windows.

use crate::{
    Law, adjoint,
    dice::{Dice, case},
    draw, same,
    support::{
        compare::close,
        inputs::read,
        tolerance::{self, Context},
    },
};
use wgrad_core::{Pool2dOptions, Tensor};

/// The elements of each window, and how many it counts with the padding: windows in row-major order, plane by plane.
fn windows(x: &Tensor, options: &Pool2dOptions) -> ([usize; 2], Vec<(Vec<f64>, usize)>) {
    let values = read(x).unwrap();
    let &[n, c, height, width] = x.shape() else { panic!("an image") };
    let Pool2dOptions { kernel, stride, padding, .. } = *options;
    let [oh, ow] =
        [0, 1].map(|i| ([height, width][i] + 2 * padding[i] - kernel[i]) / stride[i] + 1);
    let mut all = Vec::new();
    for at in 0..n * c * oh * ow {
        let [plane, i, j] = [at / (oh * ow), at / ow % oh, at % ow];
        let mut window = Vec::new();
        for tap in 0..kernel[0] * kernel[1] {
            let row = (i * stride[0] + tap / kernel[1]).checked_sub(padding[0]);
            let column = (j * stride[1] + tap % kernel[1]).checked_sub(padding[1]);
            if let (Some(row), Some(column)) = (row, column)
                && row < height
                && column < width
            {
                window.push(values[(plane * height + row) * width + column]);
            }
        }
        all.push((window, kernel[0] * kernel[1]));
    }
    ([oh, ow], all)
}

pub const LAWS: &[Law] = &[
    ("poolings_are_direct_loops", |d| {
        const SEED: u64 = 61;
        let mut dice = Dice::new(SEED);
        for number in 0..40 {
            let mut options = Pool2dOptions::new(dice.pair(1, 4)).stride(dice.pair(1, 4));
            options.padding = options.kernel.map(|kernel| dice.number(0, kernel / 2));
            let counted = dice.pick(&[false, true]);
            let size = [0, 1].map(|i| options.kernel[i] + dice.number(0, 6));
            let shape = [dice.number(1, 2), dice.number(1, 3), size[0], size[1]];
            let _case = case!(SEED, number, options, counted, shape);
            let x = dice.view(&shape, d);
            let ([oh, ow], all) = windows(&x, &options);
            let most = x.max_pool2d(&options).unwrap();
            assert_eq!(most.shape(), [shape[0], shape[1], oh, ow]);
            let want: Vec<f64> = all
                .iter()
                .map(|(window, _)| window.iter().copied().fold(f64::NEG_INFINITY, f64::max))
                .collect();
            close("max", most.shape(), &read(&most).unwrap(), &want, |_| 0.0).unwrap();
            let mean = x.avg_pool2d(&options.count_include_pad(counted)).unwrap();
            let share = |f: fn(f64) -> f64| -> Vec<f64> {
                let among = |(window, all): &(Vec<f64>, usize)| {
                    if counted { *all } else { window.len() }
                };
                all.iter()
                    .map(|w| w.0.iter().map(|&x| f(x)).sum::<f64>() / among(w) as f64)
                    .collect()
            };
            let (want, scale) = (share(|x| x), share(f64::abs));
            let bound = |i: usize| {
                let context = Context { scale: scale[i], terms: 16, ..tolerance::PLAIN };
                tolerance::of("sum").bound(want[i], &context)
            };
            close("mean", mean.shape(), &read(&mean).unwrap(), &want, bound).unwrap();
        }
    }),
    ("poolings_hand_their_cotangent_on", |d| {
        const SEED: u64 = 62;
        let mut dice = Dice::new(SEED);
        for number in 0..20 {
            let mut options = Pool2dOptions::new(dice.pair(1, 3)).stride(dice.pair(1, 3));
            options.padding = options.kernel.map(|kernel| dice.number(0, kernel / 2));
            let options = options.count_include_pad(dice.pick(&[false, true]));
            let shape = [2, 2, dice.number(4, 9), dice.number(4, 9)];
            let output = dice.pair(1, 5);
            let _case = case!(SEED, number, options, shape, output);
            let x = draw(number, &shape, d).requiring_grad();
            let ones = Tensor::ones(shape, d).unwrap();
            let max = x.max_pool2d(&options).unwrap();
            for (i, y) in
                [max, x.avg_pool2d(&options).unwrap(), x.adaptive_avg_pool2d(output).unwrap()]
                    .iter()
                    .enumerate()
            {
                let c = dice.view(y.shape(), d);
                let gradients = y.backward_with(&c).unwrap();
                let dx = gradients.wrt(&x).unwrap();
                // Means are linear; a maximum is one element for each window.
                adjoint(&format!("pooling {i}"), 64, [y, &c], [&x, dx]);
                if i == 0 {
                    let whole = Tensor::ones(y.shape(), d).unwrap();
                    adjoint("all of it", 64, [&c, &whole], [dx, &ones]);
                }
            }
        }
    }),
    ("means_of_everything_and_windows_of_one", |d| {
        let x = draw(63, &[2, 3, 5, 6], d);
        let all = x.mean([2, 3]).unwrap().reshape([2, 3, 1, 1]).unwrap();
        let context = Context { scale: 1.0, terms: 30, ..tolerance::PLAIN };
        let bound = 2.0 * tolerance::of("sum").bound(0.0, &context);
        let whole = Pool2dOptions::new([5, 6]);
        for y in [x.adaptive_avg_pool2d(1), x.avg_pool2d(&whole)] {
            let (y, all) = (read(&y.unwrap()).unwrap(), read(&all).unwrap());
            close("mean", &[2, 3], &y, &all, |_| bound).unwrap();
        }
        same(&x.max_pool2d(&whole).unwrap().reshape([2, 3]).unwrap(), &x.max([2, 3]).unwrap());
        let one = Pool2dOptions::new(1);
        same(&x.max_pool2d(&one).unwrap(), &x);
        same(&x.avg_pool2d(&one).unwrap(), &x);
        same(&x.adaptive_avg_pool2d([5, 6]).unwrap(), &x);
        // Padding is below every number.
        let low = x.try_sub(9.0).unwrap();
        let padded = Pool2dOptions::new(3).stride(1).padding(1);
        assert!(read(&low.max_pool2d(&padded).unwrap()).unwrap().iter().all(|&y| y < -7.0));
        let row = draw(64, &[2, 3, 9], d);
        let options = Pool2dOptions::new(3).stride(2);
        let flat = Pool2dOptions::new([1, 3]).stride([1, 2]);
        let image = row.unsqueeze(2).unwrap();
        same(
            &row.max_pool1d(&options).unwrap(),
            &image.max_pool2d(&flat).unwrap().squeeze(2).unwrap(),
        );
        same(
            &row.avg_pool1d(&options).unwrap(),
            &image.avg_pool2d(&flat).unwrap().squeeze(2).unwrap(),
        );
    }),
];
