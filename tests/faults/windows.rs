//! Convolutions and poolings: arguments (A17 to A19), numbers (B24), sizes (D5). Refused before memory is touched.

use crate::{Fault, floats, read, refused};
use wgrad_core::{Conv2dOptions, Device, ErrorKind, Pool2dOptions, Result, Tensor};

pub const ROWS: &[Fault] = &[
    ("A17_convolutions_that_do_not_fit", |d| {
        let one = Conv2dOptions::new();
        let conv = |x: &[usize], w: &[usize], options: Conv2dOptions| -> Result<Tensor> {
            zeros(x, d).conv2d(&zeros(w, d), None, &options)
        };
        refused(
            conv(&[1, 3, 5, 5], &[4, 2, 3, 3], one),
            ErrorKind::Shape,
            &["conv2d", "3 channels", "[4, 2, 3, 3]", "takes 2"],
        );
        refused(
            conv(&[1, 6, 5, 5], &[4, 2, 3, 3], one.groups(3)),
            ErrorKind::Argument,
            &["3 groups", "[4, 2, 3, 3]"],
        );
        refused(
            conv(&[1, 3, 5, 5], &[4, 3, 3, 3], one.groups(0)),
            ErrorKind::Argument,
            &["0 groups"],
        );
        refused(
            conv(&[1, 3, 5, 5], &[4, 3, 3, 3], one.stride([1, 0])),
            ErrorKind::Argument,
            &["stride [1, 0]"],
        );
        refused(
            conv(&[1, 3, 5, 5], &[4, 3, 3, 3], one.dilation(0)),
            ErrorKind::Argument,
            &["dilation [0, 0]"],
        );
        refused(
            conv(&[1, 3, 5, 5], &[4, 3, 6, 3], one),
            ErrorKind::Shape,
            &["[6, 3]", "[5, 5]", "padding [0, 0]"],
        );
        refused(conv(&[1, 3, 5, 5], &[4, 3, 0, 3], one), ErrorKind::Shape, &["[0, 3]"]);
        refused(conv(&[1, 3, 0, 5], &[4, 3, 3, 3], one.padding(3)), ErrorKind::Shape, &["[0, 5]"]);
        refused(conv(&[3, 5, 5], &[4, 3, 3, 3], one), ErrorKind::Rank, &["[3, 5, 5]", "rank 3"]);
        refused(conv(&[1, 3, 5, 5], &[4, 3, 3], one), ErrorKind::Rank, &["[4, 3, 3]", "rank 3"]);
        let (x, w) = (zeros(&[1, 3, 5, 5], d), zeros(&[4, 3, 3, 3], d));
        refused(
            x.conv2d(&w, Some(&zeros(&[3], d)), &one),
            ErrorKind::Shape,
            &["bias [3]", "4 output channels"],
        );
        let whole = Tensor::full([4, 3, 3, 3], 1.0, wgrad_core::DType::I32, d).unwrap();
        refused(x.conv2d(&whole, None, &one), ErrorKind::DType, &["f32", "i32"]);
        refused(x.conv1d(&w, None, &one), ErrorKind::Rank, &["conv1d", "rank 3"]);
        let (x, w) = (zeros(&[1, 2, 9], d), zeros(&[4, 3, 3], d));
        refused(x.conv1d(&w, None, &one), ErrorKind::Shape, &["conv1d", "2 channels", "takes 3"]);
    }),
    ("A17_transposed_convolutions_that_do_not_fit", |d| {
        let one = Conv2dOptions::new();
        let conv = |x: &[usize], options: Conv2dOptions, extra: usize| {
            zeros(x, d).conv_transpose2d(&zeros(&[3, 2, 3, 3], d), None, &options, extra)
        };
        refused(conv(&[1, 4, 5, 5], one, 0), ErrorKind::Shape, &["4 channels", "takes 3"]);
        refused(
            conv(&[1, 3, 5, 5], one, 1),
            ErrorKind::Argument,
            &["output padding [1, 1]", "stride [1, 1]"],
        );
        refused(conv(&[1, 3, 5, 5], one.stride(0), 0), ErrorKind::Argument, &["stride [0, 0]"]);
        refused(conv(&[3, 5, 5], one, 0), ErrorKind::Rank, &["rank 3"]);
        assert_eq!(conv(&[1, 3, 5, 5], one.stride(2), 1).unwrap().shape(), [1, 2, 12, 12]);
    }),
    ("A18_nothing_wraps", |d| {
        let (x, w) = (zeros(&[1, 1, 2, 2], d), zeros(&[1, 1, 3, 3], d));
        let one = Conv2dOptions::new();
        for options in
            [one, one.dilation(usize::MAX), one.padding(usize::MAX), one.padding(usize::MAX / 2)]
        {
            refused(x.conv2d(&w, None, &options), ErrorKind::Shape, &["[3, 3]", "[2, 2]"]);
        }
        refused(x.conv2d(&w, None, &one.padding(1 << 40)), ErrorKind::Size, &["elements"]);
        refused(
            x.conv_transpose2d(&w, None, &one.padding(2), 0),
            ErrorKind::Shape,
            &["[2, 2]", "padding [2, 2]"],
        );
        for options in [one.stride(usize::MAX), one.dilation(usize::MAX), one.padding(usize::MAX)] {
            refused(x.conv_transpose2d(&w, None, &options, 0), ErrorKind::Shape, &["[2, 2]"]);
        }
        let pool = Pool2dOptions::new(usize::MAX).padding(usize::MAX - 1);
        refused(x.max_pool2d(&pool), ErrorKind::Shape, &["[2, 2]"]);
        refused(x.adaptive_avg_pool2d(usize::MAX), ErrorKind::Size, &["[2, 2]"]);
    }),
    ("A19_windows_without_an_element", |d| {
        let x = zeros(&[1, 1, 5, 5], d);
        let two = Pool2dOptions::new(2);
        for (options, words) in [
            (Pool2dOptions::new([0, 2]), ["kernel [0, 2]", "at least 1"]),
            (two.stride(0), ["stride [0, 0]", "at least 1"]),
            (two.padding(2), ["padding [2, 2]", "kernel [2, 2]"]),
        ] {
            refused(x.max_pool2d(&options), ErrorKind::Argument, &words);
            refused(x.avg_pool2d(&options), ErrorKind::Argument, &words);
        }
        refused(x.max_pool2d(&Pool2dOptions::new(6)), ErrorKind::Shape, &["[6, 6]", "[5, 5]"]);
        refused(x.adaptive_avg_pool2d([0, 1]), ErrorKind::Argument, &["[0, 1]"]);
        refused(zeros(&[5, 5], d).max_pool2d(&two), ErrorKind::Rank, &["[5, 5]", "rank 2"]);
        refused(zeros(&[1, 1, 0, 5], d).avg_pool2d(&two.padding(1)), ErrorKind::Shape, &["[0, 5]"]);
        refused(zeros(&[1, 1, 0, 5], d).adaptive_avg_pool2d(1), ErrorKind::Shape, &["[0, 5]"]);
        refused(x.max_pool1d(&two), ErrorKind::Rank, &["max_pool1d", "rank 4"]);
    }),
    ("B11_NaN_wins_in_windows", |d| {
        let nan = f32::NAN;
        let x =
            floats(&[1.0, nan, 7.0, f32::NEG_INFINITY, f32::NEG_INFINITY, 2.0], &[1, 1, 1, 6], d);
        let x = x.requiring_grad();
        let y = x.max_pool2d(&Pool2dOptions::new([1, 2])).unwrap();
        let values = read(&y);
        assert!(values[0].is_nan(), "{values:?}");
        assert_eq!(values[1..], [7.0, 2.0]);
        let lowest = x.slice(3, 3..5).unwrap().max_pool2d(&Pool2dOptions::new([1, 2])).unwrap();
        assert_eq!(read(&lowest), [f32::NEG_INFINITY]);
        let gradient = y.backward_with(&floats(&[2.0, 3.0, 5.0], &[1, 1, 1, 3], d)).unwrap();
        assert_eq!(read(gradient.wrt(&x).unwrap()), [0.0, 2.0, 3.0, 0.0, 0.0, 5.0]);
    }),
    ("B24_ties_in_windows_go_to_the_first", |d| {
        let x = floats(&[1.0, 4.0, 4.0, 0.0, 3.0, 4.0, 3.0, 3.0, 3.0], &[1, 1, 3, 3], d);
        let x = x.requiring_grad();
        let y = x.max_pool2d(&Pool2dOptions::new(2).stride(1)).unwrap();
        assert_eq!(read(&y), [4.0, 4.0, 3.0, 4.0]);
        let gradient = y.backward_with(&floats(&[1.0, 2.0, 4.0, 8.0], &[1, 1, 2, 2], d)).unwrap();
        assert_eq!(read(gradient.wrt(&x).unwrap()), [0.0, 3.0, 0.0, 0.0, 4.0, 8.0, 0.0, 0.0, 0.0]);
    }),
    ("D5_results_beyond_memory_are_refused", |d| {
        let x = zeros(&[1, 1, 1, 1], d).broadcast_to([1, 1, 1 << 30, 1 << 28]).unwrap();
        let w = zeros(&[1, 1, 1, 1], d).broadcast_to([1 << 10, 1, 1, 1]).unwrap();
        let y = x.conv2d(&w, None, &Conv2dOptions::new());
        refused(y, ErrorKind::Size, &["1024", "1073741824"]);
    }),
    ("empty_batches_go_through", |d| {
        let x = zeros(&[0, 3, 8, 8], d).requiring_grad();
        let w = zeros(&[4, 3, 3, 3], d).requiring_grad();
        let y = x.conv2d(&w, None, &Conv2dOptions::new()).unwrap();
        assert_eq!(y.shape(), [0, 4, 6, 6]);
        let y = y.max_pool2d(&Pool2dOptions::new(2)).unwrap().adaptive_avg_pool2d(1).unwrap();
        assert_eq!(y.shape(), [0, 4, 1, 1]);
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.wrt(&x).unwrap().shape(), [0, 3, 8, 8]);
        assert_eq!(read(gradients.wrt(&w).unwrap()), [0.0; 108]);
    }),
];

fn zeros(shape: &[usize], d: &Device) -> Tensor {
    Tensor::zeros(shape, d).unwrap()
}
