//! A: shapes, axes, arguments. All of these are refused on the host, before any memory is touched.

use crate::{Fault, floats, read, refused};
use half::f16;
use wgrad_core::{DType, Device, ErrorKind, Tensor, cpu::Cpu};

pub const ROWS: &[Fault] = &[
    ("A1_add_cannot_broadcast", |d| {
        let sum = zeros(&[2, 3], d).try_add(&zeros(&[4], d));
        refused(sum, ErrorKind::Shape, &["add: cannot broadcast [2, 3] with [4]"]);
    }),
    ("A2_sizes_are_aligned_at_the_right", |d| {
        let sum = zeros(&[2, 3], d).try_add(&zeros(&[2], d));
        refused(sum, ErrorKind::Shape, &["[2, 3]", "[2]"]);
    }),
    ("A3_zero_only_stretches_from_one", |d| {
        refused(zeros(&[0], d).try_add(&zeros(&[2], d)), ErrorKind::Shape, &["[0]", "[2]"]);
    }),
    ("A4_empty_results", |d| {
        for (a, b, want) in [(&[0][..], &[1][..], &[0][..]), (&[2, 0, 3], &[2, 1, 3], &[2, 0, 3])] {
            let sum = zeros(a, d).try_add(&zeros(b, d)).unwrap();
            assert_eq!(sum.shape(), want);
            assert!(read(&sum).is_empty());
        }
    }),
    ("A5_types_are_not_mixed", |d| {
        let x = zeros(&[2], d);
        let whole = Tensor::from_vec([1i32, 2], [2], d).unwrap();
        let half = Tensor::from_vec([f16::ONE, f16::ONE], [2], d).unwrap();
        refused(x.try_add(&whole), ErrorKind::DType, &["f32", "i32"]);
        refused(x.try_add(&half), ErrorKind::DType, &["f32", "f16"]);
    }),
    ("A6_devices_are_not_mixed", |d| {
        let other = Device::new(Box::new(Cpu::new()));
        let sum = zeros(&[2], d).try_add(&zeros(&[2], &other));
        refused(sum, ErrorKind::Device, &[&d.info().name, &other.info().name]);
    }),
    ("A7_matmul_sizes_differ", |d| {
        let product = |a: &[usize], b: &[usize]| zeros(a, d).matmul(&zeros(b, d));
        refused(
            product(&[4, 3], &[5, 2]),
            ErrorKind::Shape,
            &["inner sizes differ", "[4, 3] x [5, 2]"],
        );
        refused(product(&[2, 4, 3], &[3, 3, 5]), ErrorKind::Shape, &["batch sizes differ"]);
        refused(product(&[], &[3]), ErrorKind::Rank, &["rank 1 or more"]);
    }),
    ("A8_matmul_over_nothing", |d| {
        let a = zeros(&[3, 0], d).requiring_grad();
        let b = zeros(&[0, 4], d).requiring_grad();
        let y = a.matmul(&b).unwrap();
        assert_eq!(read(&y), [0.0; 12]);
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.wrt(&a).unwrap().shape(), [3, 0]);
        assert_eq!(gradients.wrt(&b).unwrap().shape(), [0, 4]);
    }),
    ("A9_reshape_to_another_count", |d| {
        let x = zeros(&[2, 6], d);
        refused(x.reshape([5]), ErrorKind::Shape, &["12", "5"]);
        refused(x.reshape_infer([-1, -1]), ErrorKind::Argument, &["-1"]);
        refused(x.reshape_infer([5, -1]), ErrorKind::Shape, &["12"]);
        refused(zeros(&[0], d).reshape_infer([0, -1]), ErrorKind::Argument, &["-1"]);
    }),
    ("A10_permute_names_each_axis_once", |d| {
        let x = zeros(&[2, 3], d);
        refused(x.permute([0, 0]), ErrorKind::Argument, &["[0, 0]"]);
        refused(x.permute([0]), ErrorKind::Argument, &["[0]"]);
        refused(x.permute([0, 2]), ErrorKind::Axis, &["axis 2", "rank 2"]);
    }),
    ("A11_reduced_axes_exist_and_are_named_once", |d| {
        let x = zeros(&[2, 3], d);
        for axes in [&[2][..], &[-3], &[0, 0], &[0, -2]] {
            refused(x.sum(axes), ErrorKind::Axis, &["rank 2"]);
        }
        refused(zeros(&[], d).sum([0]), ErrorKind::Axis, &["rank 0"]);
        refused(x.softmax(2), ErrorKind::Axis, &["rank 2"]);
        refused(x.argmax(-3), ErrorKind::Axis, &["rank 2"]);
    }),
    ("A12_nothing_has_no_extreme", |d| {
        let x = zeros(&[3, 0], d);
        for extreme in [x.max([1]), x.min([-1]), x.argmax(1), x.argmin(1), x.max_all()] {
            refused(extreme, ErrorKind::Empty, &["no identity"]);
        }
        assert_eq!(x.max([0]).unwrap().shape(), [0], "nothing is reduced along the other axis");
    }),
    ("A13_mean_of_nothing_is_nan", |d| {
        let mean = read(&zeros(&[2, 0], d).mean([1]).unwrap());
        assert!(mean.len() == 2 && mean.iter().all(|x| x.is_nan()), "{mean:?}");
        assert_eq!(read(&zeros(&[2, 0], d).sum([1]).unwrap()), [0.0, 0.0]);
    }),
    ("A14_variance_needs_more_than_ddof", |d| {
        refused(zeros(&[3], d).var([0], 3), ErrorKind::Argument, &["ddof 3", "3 elements"]);
        refused(zeros(&[0], d).var([0], 0), ErrorKind::Argument, &["ddof 0", "0 elements"]);
    }),
    ("A15_slices_stay_inside", |d| {
        let x = zeros(&[4], d);
        refused(x.slice(0, 2..5), ErrorKind::Range, &["2..5", "4 elements"]);
        #[allow(clippy::reversed_empty_ranges, reason = "that is what is refused")]
        let reversed = x.slice(0, 3..2);
        refused(reversed, ErrorKind::Range, &["3..2"]);
        refused(x.slice_step(0, 0..4, 0), ErrorKind::Argument, &["step 0"]);
        refused(x.slice(1, 0..1), ErrorKind::Axis, &["axis 1"]);
    }),
    ("A16_concat_of_nothing_or_of_unlike", |d| {
        let (a, b) = (zeros(&[2, 3], d), zeros(&[3, 2], d));
        refused(Tensor::concat(&[], 0), ErrorKind::Argument, &["empty list"]);
        refused(Tensor::concat(&[&a, &a, &b], 0), ErrorKind::Shape, &["operand 2"]);
        let whole = Tensor::full([2, 3], 0.0, DType::I32, d).unwrap();
        refused(Tensor::concat(&[&a, &whole], 0), ErrorKind::DType, &["operand 1"]);
    }),
    ("A22_losses_do_not_broadcast", |d| {
        refused(zeros(&[4, 3], d).mse(&zeros(&[4, 1], d)), ErrorKind::Shape, &["[4, 3]", "[4, 1]"]);
    }),
    ("A26_data_fills_the_shape", |d| {
        let made = Tensor::from_vec([1.0f32, 2.0, 3.0], [2, 2], d);
        refused(made, ErrorKind::Shape, &["3 elements", "4"]);
    }),
    ("A27_sizes_that_overflow", |d| {
        refused(Tensor::zeros([1 << 32, 1 << 32], d), ErrorKind::Size, &["4294967296"]);
        refused(Tensor::zeros([0, 1 << 40, 1 << 40], d), ErrorKind::Size, &[]);
    }),
    ("A28_item_is_one_element", |d| {
        refused(zeros(&[2], d).item::<f32>(), ErrorKind::Shape, &["[2]"]);
        refused(zeros(&[0], d).item::<f32>(), ErrorKind::Shape, &["[0]"]);
        refused(zeros(&[1], d).item::<i32>(), ErrorKind::DType, &["f32", "i32"]);
    }),
    ("A29_rank_has_a_maximum", |d| {
        refused(Tensor::zeros([1; 7], d), ErrorKind::Rank, &["7", "at most 6"]);
        refused(zeros(&[1; 6], d).unsqueeze(0), ErrorKind::Rank, &["at most 6"]);
        let index = Tensor::from_vec([0i32], [1, 1, 1], d).unwrap();
        refused(zeros(&[1; 5], d).gather(&index), ErrorKind::Rank, &["at most 6"]);
    }),
    ("A30_arange_needs_a_step", |d| {
        let range = |start, end, step| Tensor::arange(start, end, step, DType::F32, d);
        refused(range(0.0, 1.0, 0.0), ErrorKind::Argument, &["step"]);
        refused(range(0.0, 1.0, f64::NAN), ErrorKind::Argument, &["step"]);
        refused(range(0.0, f64::INFINITY, 1.0), ErrorKind::Argument, &[]);
        assert_eq!(range(1.0, 0.0, 1.0).unwrap().shape(), [0]);
    }),
    // Promise 4: a failed call changes nothing, and the next one works.
    ("A_errors_change_nothing", |d| {
        let x = floats(&[1.0, 2.0], &[2], d);
        let before = d.memory();
        assert!(x.try_add(&zeros(&[3], d)).is_err());
        assert!(x.matmul(&zeros(&[3], d)).is_err());
        assert!(x.assign(&zeros(&[3], d)).is_err());
        assert_eq!(d.memory().in_use(), before.in_use());
        assert_eq!(read(&x.try_add(1.0).unwrap()), [2.0, 3.0]);
    }),
];

fn zeros(shape: &[usize], d: &Device) -> Tensor {
    Tensor::zeros(shape, d).unwrap()
}
