//! Convolutions and poolings on the CPU, which judges the kernels: against values of another implementation, against
//! patches multiplied as a matrix, and against hand-worked windows.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use wgrad_core::{Conv2dOptions, DType, Device, Pool2dOptions, Tensor, philox::Stream};

const FLOATS: [DType; 3] = [DType::F32, DType::F64, DType::F16];

/// Whole numbers around 0: `i·step mod modulus`, moved down by half.
fn whole(shape: &[usize], step: usize, modulus: usize, dtype: DType) -> Tensor {
    let count = shape.iter().product::<usize>();
    let data: Vec<f64> =
        (0..count).map(|i| (i * step % modulus) as f64 - (modulus / 2) as f64).collect();
    Tensor::from_vec(data, shape, &Device::cpu()).unwrap().cast(dtype).unwrap()
}

fn values(x: &Tensor) -> Vec<f64> {
    x.cast(DType::F64).unwrap().to_vec::<f64>().unwrap()
}

/// y and the gradients for x, w and b of a convolution, from scipy 1.x: `signal.correlate` of padded planes, and
/// `signal.convolve` and `signal.correlate` with the cotangent stretched by the stride.
struct Published {
    x: ([usize; 4], usize, usize),
    w: ([usize; 4], usize, usize),
    bias: [f64; 2],
    options: Conv2dOptions,
    y: &'static [f64],
    dx: &'static [f64],
    dw: &'static [f64],
    db: [f64; 2],
}

#[test]
fn convolutions_as_published() {
    let one = Conv2dOptions::new();
    #[rustfmt::skip]
    let all = [
        Published {
            x: ([1, 2, 5, 4], 7, 11),
            w: ([2, 2, 3, 2], 5, 7),
            bias: [1.0, -2.0],
            options: one.stride([2, 1]).padding(1).dilation([1, 2]),
            y: &[9., 25., -39., 1., -43., 34., 23., -9., 4., 10., 30., -22., 11., 9., 7., 11., 16., -4., -33., 16., 0., 7., -55., 12.],
            dx: &[-6., 2., 8., 2., 8., -5., 3., -1., 3., -4., 2., 2., -5., 12., -5., -6., -3., -5., -4., 2., 0., 1., 0., 0., 1., 2., 1., -4., -3., -3., 1., -6., 5., -7., 2., 8., -1., 3., -3., 3.],
            dw: &[0., -14., -7., 2., 1., 1., 20., -11., -15., 0., -10., -12., 7., 1., -3., -16., -12., 6., 20., 12., 10., -8., -15., -14.],
            db: [-1.0, 1.0],
        },
        Published {
            x: ([2, 4, 3, 3], 5, 9),
            w: ([2, 2, 2, 2], 3, 5),
            bias: [0.0, 3.0],
            options: one.stride([1, 2]).padding([0, 1]).groups(2),
            y: &[6., 4., -3., 1., -7., -1., 8., -1., 6., 4., -3., 1., -7., -1., 8., -1.],
            dx: &[-2., -2., 1., -5., -5., 4., -2., -2., 4., 4., 0., -2., 4., 1., -5., 1., 2., -2., 0., -4., 0., 0., 2., -2., 1., 2., -1., 0., 2., -4., 2., 1., 2., -2., 0., 2., 2., 0., 0., 2., -2., 1., -4., -1., 2., -4., 0., 0., 2., 0., -2., 2., 1., -1., 0., 4., 0., -1., -8., 2., 0., 4., -2., -2., -2., 4., 2., 2., -8., 0., 0., 4.],
            dw: &[-5., 0., 10., 6., -5., 0., 10., 6., 6., -3., -12., -3., 6., -3., -12., -3.],
            db: [1.0, -3.0],
        },
    ];
    for dtype in FLOATS {
        for case in &all {
            let leaf = |(shape, step, modulus): ([usize; 4], usize, usize)| {
                whole(&shape, step, modulus, dtype).requiring_grad()
            };
            let (x, w) = (leaf(case.x), leaf(case.w));
            let bias = Tensor::from_vec(case.bias, [2], &Device::cpu()).unwrap();
            let bias = bias.cast(dtype).unwrap().requiring_grad();
            let y = x.conv2d(&w, Some(&bias), &case.options).unwrap();
            assert_eq!(values(&y), case.y, "{dtype}");
            let gradients = y.backward_with(&whole(y.shape(), 3, 5, dtype)).unwrap();
            assert_eq!(values(gradients.wrt(&x).unwrap()), case.dx, "{dtype}");
            assert_eq!(values(gradients.wrt(&w).unwrap()), case.dw, "{dtype}");
            assert_eq!(values(gradients.wrt(&bias).unwrap()), case.db, "{dtype}");
        }
    }
}

#[test]
fn a_transposed_convolution_as_published() {
    #[rustfmt::skip]
    let want = [
        8., 10., 0., 0., -4., 0., -8., 4., 0., 0., -41., 8., 0., 4., 7., 0., 16., -5., 0., 0.,
        6., -10., 0., -2., -2., 0., -10., 6., 0., 0., 9., 14., 0., 5., -2., 0., 1., -18., 0., 0.,
    ];
    for dtype in FLOATS {
        let (x, w) = (whole(&[1, 2, 2, 3], 7, 11, dtype), whole(&[2, 1, 3, 2], 5, 7, dtype));
        let options = Conv2dOptions::new().stride([2, 3]).padding([1, 0]);
        let y = x.conv_transpose2d(&w, None, &options, [1, 2]).unwrap();
        assert_eq!(y.shape(), [1, 1, 4, 10]);
        assert_eq!(values(&y), want, "{dtype}");
    }
}

/// Patches by index, multiplied as a matrix.
#[test]
fn a_convolution_is_a_product_of_patches() {
    let mut stream = Stream::new(11, 0);
    let mut draw = |shape: &[usize]| {
        let count = shape.iter().product::<usize>();
        let data: Vec<f64> = (0..count).map(|_| f64::from(stream.uniform(-1.0, 1.0))).collect();
        Tensor::from_vec(data, shape, &Device::cpu()).unwrap()
    };
    let (n, c, h, w, out, kh, kw) = (2, 3, 6, 7, 4, 3, 2);
    let (stride, dilation) = (1, 2);
    let (x, weight) = (draw(&[n, c, h, w]), draw(&[out, c, kh, kw]));
    let (oh, ow) =
        ((h - dilation * (kh - 1) - 1) / stride + 1, (w - dilation * (kw - 1) - 1) / stride + 1);
    let mut patches = Vec::new();
    for image in 0..n {
        for window in 0..oh * ow {
            for tap in 0..c * kh * kw {
                let (channel, ky, kx) = (tap / (kh * kw), tap / kw % kh, tap % kw);
                let row = window / ow * stride + ky * dilation;
                let column = window % ow * stride + kx * dilation;
                patches.push((((image * c + channel) * h + row) * w + column) as i32);
            }
        }
    }
    let index = Tensor::from_vec(patches, [n, oh * ow, c * kh * kw], &Device::cpu()).unwrap();
    let columns = x.reshape([n * c * h * w]).unwrap().gather(&index).unwrap();
    let rows = weight.reshape([out, c * kh * kw]).unwrap();
    let want = columns.matmul(&rows.t().unwrap()).unwrap().permute([0, 2, 1]).unwrap();
    let options = Conv2dOptions::new().stride(stride).dilation(dilation);
    let got = x.conv2d(&weight, None, &options).unwrap();
    assert_eq!(got.shape(), [n, out, oh, ow]);
    support::assert_close(&values(&got), &values(&want), support::PRODUCTS_F64);
}

/// ⟨conv x, y⟩ = ⟨x, convᵀ y⟩: the transposed convolution is what its name says.
#[test]
fn a_transposed_convolution_is_the_transpose() {
    let options = Conv2dOptions::new().stride([2, 3]).padding([1, 2]).dilation([2, 1]).groups(2);
    let x = whole(&[2, 4, 10, 11], 7, 11, DType::F64);
    let w = whole(&[6, 2, 3, 4], 5, 7, DType::F64);
    let y = x.conv2d(&w, None, &options).unwrap();
    let other = whole(y.shape(), 3, 5, DType::F64);
    let [oh, ow] = [y.shape()[2], y.shape()[3]];
    let extra = [10 - ((oh - 1) * 2 + 5 - 2), 11 - ((ow - 1) * 3 + 4 - 4)];
    let back = other.conv_transpose2d(&w, None, &options, extra).unwrap();
    assert_eq!(back.shape(), x.shape());
    let dot = |a: &Tensor, b: &Tensor| values(&a.try_mul(b).unwrap()).iter().sum::<f64>();
    assert_eq!(dot(&y, &other), dot(&x, &back));
}

#[test]
fn maxima_by_hand() {
    for dtype in FLOATS {
        let data = [1.0, 4.0, 4.0, 0.0, 3.0, 4.0, -2.0, -1.0, -3.0];
        let x = Tensor::from_vec(data, [1, 1, 3, 3], &Device::cpu()).unwrap().cast(dtype).unwrap();
        let x = x.requiring_grad();
        let y = x.max_pool2d(&Pool2dOptions::new(2).stride(1)).unwrap();
        assert_eq!(values(&y), [4.0, 4.0, 3.0, 4.0]);
        let gradients = y.backward_with(&whole(&[1, 1, 2, 2], 1, 9, dtype)).unwrap();
        // Cotangents -4, -3, -2, -1; both upper windows choose the first of the fours.
        let want = [0.0, -7.0, 0.0, 0.0, -2.0, -1.0, 0.0, 0.0, 0.0];
        assert_eq!(values(gradients.wrt(&x).unwrap()), want);
        let padded = x.detach().max_pool2d(&Pool2dOptions::new(3).stride(2).padding(1)).unwrap();
        assert_eq!(values(&padded), [4.0, 4.0, 3.0, 4.0]);
    }
}

#[test]
fn means_by_hand() {
    for dtype in FLOATS {
        let x = whole(&[1, 1, 3, 4], 1, 100, dtype).try_add(50.0).unwrap().requiring_grad(); // 0 to 11
        let pool = |options: &Pool2dOptions| values(&x.avg_pool2d(options).unwrap());
        let two = Pool2dOptions::new(2);
        assert_eq!(pool(&two), [2.5, 4.5]);
        assert_eq!(pool(&two.padding(1)), [0.0, 0.75, 0.75, 3.0, 7.5, 4.5]);
        assert_eq!(pool(&two.padding(1).count_include_pad(false)), [0.0, 1.5, 3.0, 6.0, 7.5, 9.0]);
        // Rows 0..2 and 1..3, columns 0..2, 1..3, 2..4.
        let y = x.adaptive_avg_pool2d([2, 3]).unwrap();
        assert_eq!(values(&y), [2.5, 3.5, 4.5, 6.5, 7.5, 8.5]);
        let gradients = y.backward_with(&Tensor::full_like(&y, 1.0).unwrap()).unwrap();
        let want = [0.25, 0.5, 0.5, 0.25, 0.5, 1.0, 1.0, 0.5, 0.25, 0.5, 0.5, 0.25];
        assert_eq!(values(gradients.wrt(&x).unwrap()), want);
    }
}

#[test]
fn sequences_are_images_of_height_one() {
    let x = whole(&[2, 3, 9], 7, 11, DType::F64);
    let w = whole(&[4, 3, 3], 5, 7, DType::F64);
    let options = Conv2dOptions::new().stride(2).padding(1);
    let y = x.conv1d(&w, None, &options).unwrap();
    assert_eq!(y.shape(), [2, 4, 5]);
    let image = x.unsqueeze(2).unwrap();
    let flat = Conv2dOptions::new().stride([1, 2]).padding([0, 1]);
    let want = image.conv2d(&w.unsqueeze(2).unwrap(), None, &flat).unwrap();
    assert_eq!(values(&y), values(&want));
    assert_eq!(x.max_pool1d(&Pool2dOptions::new(3)).unwrap().shape(), [2, 3, 3]);
}
