//! Convolutions against a direct loop, against patches and a product, and against their own gradients.

use crate::{
    Law, adjoint,
    dice::{Dice, case},
    draw, near, near_product,
    support::{
        compare::close,
        inputs::read,
        tolerance::{self, Context},
    },
};
use wgrad_core::{Conv2dOptions, Tensor};

const DRAWS: usize = 40;

/// Options and sizes that fit: x `[n, c, h, w]`, weight `[o, c / groups, kh, kw]`.
#[derive(Debug)]
struct Drawn {
    options: Conv2dOptions,
    x: [usize; 4],
    w: [usize; 4],
    bias: bool,
}

impl Drawn {
    fn new(dice: &mut Dice) -> Drawn {
        let groups = dice.pick(&[1, 1, 1, 2, 3]);
        let mut options = Conv2dOptions::new().groups(groups);
        options.stride = dice.pair(1, 3);
        options.padding = dice.pair(0, 2);
        options.dilation = dice.pair(1, 3);
        let kernel = dice.pair(1, 3);
        let least = |i: usize| {
            (options.dilation[i] * (kernel[i] - 1) + 1).saturating_sub(2 * options.padding[i])
        };
        let [more_h, more_w] = dice.pair(0, 5);
        let size = [least(0).max(1) + more_h, least(1).max(1) + more_w];
        let [c, o] = dice.pair(1, 4);
        let (n, bias) = (dice.number(1, 3), dice.pick(&[false, true]));
        Drawn {
            options,
            x: [n, c * groups, size[0], size[1]],
            w: [o * groups, c, kernel[0], kernel[1]],
            bias,
        }
    }

    fn terms(&self) -> usize {
        self.w[1] * self.w[2] * self.w[3]
    }

    /// The output's height and width.
    fn size(&self) -> [usize; 2] {
        [0, 1].map(|i| {
            let reach = self.options.dilation[i] * (self.w[2 + i] - 1) + 1;
            (self.x[2 + i] + 2 * self.options.padding[i] - reach) / self.options.stride[i] + 1
        })
    }

    /// The sum over all taps for each output element, in f64.
    fn direct(&self, x: &[f64], w: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
        let ([n, c, height, width], [o, part, kh, kw]) = (self.x, self.w);
        let Conv2dOptions { stride, padding, dilation, groups, .. } = self.options;
        let [oh, ow] = self.size();
        let mut y = Vec::new();
        for at in 0..n * o * oh * ow {
            let [b, k, i, j] = [at / (o * oh * ow), at / (oh * ow) % o, at / ow % oh, at % ow];
            let mut sum = bias.map_or(0.0, |bias| bias[k]);
            for tap in 0..part * kh * kw {
                let [ci, di, dj] = [tap / (kh * kw), tap / kw % kh, tap % kw];
                let row = (i * stride[0] + di * dilation[0]).checked_sub(padding[0]);
                let column = (j * stride[1] + dj * dilation[1]).checked_sub(padding[1]);
                let (Some(row), Some(column)) = (row, column) else { continue };
                if row < height && column < width {
                    let channel = k / (o / groups) * part + ci;
                    sum += x[((b * c + channel) * height + row) * width + column]
                        * w[k * part * kh * kw + tap];
                }
            }
            y.push(sum);
        }
        y
    }
}

fn absolute(values: &[f64]) -> Vec<f64> {
    values.iter().map(|x| x.abs()).collect()
}

pub const LAWS: &[Law] = &[
    ("convolutions_are_direct_loops", |d| {
        const SEED: u64 = 41;
        let mut dice = Dice::new(SEED);
        for number in 0..DRAWS {
            let drawn = Drawn::new(&mut dice);
            let _case = case!(SEED, number, drawn);
            let (x, w) = (dice.view(&drawn.x, d), dice.view(&drawn.w, d));
            let bias = drawn.bias.then(|| dice.view(&drawn.w[..1], d));
            let y = x.conv2d(&w, bias.as_ref(), &drawn.options).unwrap();
            let [oh, ow] = drawn.size();
            assert_eq!(y.shape(), [drawn.x[0], drawn.w[0], oh, ow]);
            let values = [&x, &w].map(|x| read(x).unwrap());
            let of_bias = bias.as_ref().map(|bias| read(bias).unwrap());
            let want = drawn.direct(&values[0], &values[1], of_bias.as_deref());
            let large = of_bias.as_deref().map(absolute);
            let scale =
                drawn.direct(&absolute(&values[0]), &absolute(&values[1]), large.as_deref());
            let context = Context { terms: drawn.terms(), ..tolerance::PLAIN };
            let bound = |i: usize| {
                tolerance::of("conv").bound(want[i], &Context { scale: scale[i], ..context })
            };
            close("conv2d", y.shape(), &read(&y).unwrap(), &want, bound).unwrap();
        }
    }),
    ("a_convolution_is_a_product_of_patches", |d| {
        const SEED: u64 = 42;
        let mut dice = Dice::new(SEED);
        for number in 0..12 {
            let mut drawn = Drawn::new(&mut dice);
            drawn.options.groups = 1;
            drawn.x[1] = drawn.w[1];
            let _case = case!(SEED, number, drawn);
            let (x, w) = (draw(number as u64, &drawn.x, d), draw(99, &drawn.w, d));
            let Conv2dOptions { stride, padding, dilation, .. } = drawn.options;
            let wide =
                x.pad(2, padding[0], padding[0]).unwrap().pad(3, padding[1], padding[1]).unwrap();
            let ([oh, ow], [n, c, ..], [o, _, kh, kw]) = (drawn.size(), drawn.x, drawn.w);
            let taps: Vec<Tensor> = (0..kh * kw)
                .map(|tap| {
                    let [i, j] = [tap / kw * dilation[0], tap % kw * dilation[1]];
                    let rows = wide.slice_step(2, i..i + (oh - 1) * stride[0] + 1, stride[0]);
                    rows.unwrap().slice_step(3, j..j + (ow - 1) * stride[1] + 1, stride[1]).unwrap()
                })
                .collect();
            // [n, c, taps, oh, ow] to [n, c taps, places].
            let patches = Tensor::stack(&taps.iter().collect::<Vec<_>>(), 2).unwrap();
            let patches = patches.reshape([n, c * kh * kw, oh * ow]).unwrap();
            let y = w.reshape([o, c * kh * kw]).unwrap().matmul(&patches).unwrap();
            let want = x.conv2d(&w, None, &drawn.options).unwrap();
            near_product(drawn.terms(), &y.reshape(want.shape()).unwrap(), &want);
        }
    }),
    ("convolutions_are_adjoint_in_both_operands", |d| {
        const SEED: u64 = 43;
        let mut dice = Dice::new(SEED);
        for number in 0..DRAWS / 2 {
            let drawn = Drawn::new(&mut dice);
            let _case = case!(SEED, number, drawn);
            let x = dice.view(&drawn.x, d).requiring_grad();
            let w = dice.view(&drawn.w, d).requiring_grad();
            let y = x.conv2d(&w, None, &drawn.options).unwrap();
            let c = dice.view(y.shape(), d);
            let gradients = y.backward_with(&c).unwrap();
            let [dx, dw] = [&x, &w].map(|x| gradients.wrt(x).unwrap());
            let terms = y.numel().max(drawn.terms());
            adjoint("x", terms, [&y, &c], [&x, dx]);
            adjoint("w", terms, [&y, &c], [&w, dw]);
        }
    }),
    ("a_transposed_convolution_is_the_gradient_of_one", |d| {
        const SEED: u64 = 44;
        let mut dice = Dice::new(SEED);
        for number in 0..DRAWS / 2 {
            let drawn = Drawn::new(&mut dice);
            let [oh, ow] = drawn.size();
            // What a stride passes over at the end.
            let back = |i: usize, out: usize| {
                let reach = drawn.options.dilation[i] * (drawn.w[2 + i] - 1) + 1;
                (out - 1) * drawn.options.stride[i] + reach
            };
            let extra = [0, 1]
                .map(|i| drawn.x[2 + i] + 2 * drawn.options.padding[i] - back(i, [oh, ow][i]));
            let _case = case!(SEED, number, drawn, extra);
            let x = draw(1, &drawn.x, d).requiring_grad();
            let w = dice.view(&drawn.w, d);
            let y = x.conv2d(&w, None, &drawn.options).unwrap();
            let c = dice.view(y.shape(), d).requiring_grad();
            let gradients = y.backward_with(&c).unwrap();
            let turned = c.conv_transpose2d(&w, None, &drawn.options, extra).unwrap();
            let terms = drawn.terms() * drawn.w[0];
            near("conv", terms, &turned, gradients.wrt(&x).unwrap());
            // And the gradient of that is the convolution.
            let again = turned.backward_with(&x.detach()).unwrap();
            near("conv", drawn.terms(), again.wrt(&c).unwrap(), &y.detach());
            adjoint("transposed", terms, [&turned, &x], [&c, again.wrt(&c).unwrap()]);
        }
    }),
    ("one_axis_one_tap_and_one_image_at_a_time", |d| {
        let options = Conv2dOptions::new().stride(2).padding(1).dilation(2).groups(2);
        let (x, w) = (draw(51, &[3, 4, 17], d).requiring_grad(), draw(52, &[6, 2, 3], d));
        let w = w.requiring_grad();
        let y = x.conv1d(&w, None, &options).unwrap();
        let c = draw(53, y.shape(), d);
        let gradients = y.backward_with(&c).unwrap();
        adjoint("conv1d x", 60, [&y, &c], [&x, gradients.wrt(&x).unwrap()]);
        adjoint("conv1d w", 60, [&y, &c], [&w, gradients.wrt(&w).unwrap()]);
        // As an image of one row.
        let mut flat = options;
        (flat.stride[0], flat.padding[0], flat.dilation[0]) = (1, 0, 1);
        let image = x.unsqueeze(2).unwrap().conv2d(&w.unsqueeze(2).unwrap(), None, &flat).unwrap();
        near("conv", 6, &image.squeeze(2).unwrap(), &y);
        // One tap is a product of channels.
        let (x, w) = (draw(54, &[2, 7, 5, 3], d), draw(55, &[9, 7, 1, 1], d));
        let one = Conv2dOptions::new();
        let got = x.conv2d(&w, None, &one).unwrap();
        let want = w.reshape([9, 7]).unwrap().matmul(&x.reshape([2, 7, 15]).unwrap()).unwrap();
        near_product(7, &want.reshape([2, 9, 5, 3]).unwrap(), &got);
        let one = Conv2dOptions::new().padding(1);
        let w = draw(56, &[5, 7, 3, 3], d);
        let all = x.conv2d(&w, None, &one).unwrap();
        let alone: Vec<Tensor> =
            (0..2).map(|i| x.slice(0, i..i + 1).unwrap().conv2d(&w, None, &one).unwrap()).collect();
        near("conv", 63, &Tensor::concat(&[&alone[0], &alone[1]], 0).unwrap(), &all);
        // Groups are convolutions side by side.
        let grouped = draw(57, &[6, 2, 3, 3], d);
        let (x, options) = (draw(58, &[2, 4, 6, 5], d), one.groups(2));
        let all = x.conv2d(&grouped, None, &options).unwrap();
        let part = |i: usize| {
            let w = grouped.slice(0, 3 * i..3 * i + 3).unwrap();
            x.slice(1, 2 * i..2 * i + 2).unwrap().conv2d(&w, None, &one).unwrap()
        };
        near("conv", 18, &Tensor::concat(&[&part(0), &part(1)], 1).unwrap(), &all);
    }),
];
