//! C: indices in the data. The CPU reports a bad one at once, a GPU at the next read or sync; until
//! then the rows read as zero, and nothing outside the tensor is touched.

use crate::{Fault, floats, read, refused, whole};
use wgrad_core::{CrossEntropyOptions, DType, ErrorKind, Reduction, Result, Tensor};

pub const ROWS: &[Fault] = &[
    ("C1_gather_out_of_range", |d| {
        let table = floats(&[1.0; 12], &[4, 3], d);
        for bad in [4, -1, i32::MIN, 2_000_000_000] {
            let index = whole(&[0, 3, bad, 1], d);
            let value = format!("index {bad} at position 2");
            refused(wait(table.gather(&index)), ErrorKind::Index, &["gather", &value, "0..4"]);
        }
        assert_eq!(read(&table.gather(&whole(&[3], d)).unwrap()), [1.0; 3], "the next call works");
    }),
    ("C2_index_made_on_the_device", |d| {
        let table = floats(&[1.0; 12], &[4, 3], d);
        let index = whole(&[1, 2], d).try_mul(3).unwrap();
        refused(wait(table.gather(&index)), ErrorKind::Index, &["index 6 at position 1", "0..4"]);
        // A view of indices: the position counts in the view.
        let index = whole(&[0, 9, 1, 9, 8, 9], d).slice_step(0, 0..6, 2).unwrap();
        refused(wait(table.gather(&index)), ErrorKind::Index, &["index 8 at position 2"]);
    }),
    ("C2_sync_reports_too", |d| {
        let table = floats(&[1.0; 12], &[4, 3], d);
        match table.gather(&whole(&[7], d)) {
            Ok(_) => refused(d.sync(), ErrorKind::Index, &["index 7 at position 0"]),
            now => refused(now, ErrorKind::Index, &["index 7 at position 0"]),
        }
        d.sync().unwrap();
    }),
    ("C2_the_first_fault_wins", |d| {
        let table = floats(&[1.0; 12], &[4, 3], d);
        let first = table.gather(&whole(&[0, 11, 12], d));
        let second = table.gather(&whole(&[13], d));
        refused(wait(first), ErrorKind::Index, &["index 11 at position 1"]);
        // The CPU says so at once, a GPU at the next read or sync: both are told.
        refused(second.and_then(|_| d.sync()), ErrorKind::Index, &["index 13 at position 0"]);
        d.sync().unwrap();
    }),
    ("C3_nothing_outside_is_written", |d| {
        let canary = || Tensor::full([64], 7.5, DType::F32, d).unwrap();
        let before: Vec<Tensor> = (0..4).map(|_| canary()).collect();
        let x = floats(&[100.0; 64], &[64, 1], d);
        let after: Vec<Tensor> = (0..4).map(|_| canary()).collect();
        for bad in [64, -1, -64, 1 << 20, i32::MAX] {
            let index = whole(&[bad; 64], d);
            refused(
                wait(x.scatter_rows(&index, 64)),
                ErrorKind::Index,
                &["scatter_rows", &bad.to_string()],
            );
            refused(wait(x.gather(&index)), ErrorKind::Index, &["gather"]);
            refused(wait(index.one_hot(64)), ErrorKind::Index, &["one_hot", "0..64"]);
        }
        for canary in before.iter().chain(&after) {
            assert_eq!(read(canary), [7.5; 64]);
        }
    }),
    ("C4_labels_out_of_range", |d| {
        let logits = floats(&[0.0; 6], &[2, 3], d);
        for bad in [3, -1] {
            let loss = logits.cross_entropy(&whole(&[0, bad], d));
            let value = format!("index {bad} at position 1");
            refused(wait(loss), ErrorKind::Index, &["cross_entropy", &value, "0..3"]);
        }
        // A label that stands for none: the way out is named, with options too, and works.
        let labels = whole(&[0, -100], d);
        let advice = "ignore_index: Some(-100)";
        refused(wait(logits.cross_entropy(&labels)), ErrorKind::Index, &["cross_entropy", advice]);
        let mut options = CrossEntropyOptions { reduction: Reduction::None, ..Default::default() };
        let loss = logits.cross_entropy_with(&labels, &options);
        refused(wait(loss), ErrorKind::Index, &["cross_entropy", advice]);
        options.ignore_index = Some(-100);
        let loss = logits.cross_entropy_with(&labels, &options).unwrap();
        assert_eq!(read(&loss)[1], 0.0);
        for smoothing in [-0.1, 1.1, f32::NAN] {
            let loss = logits.cross_entropy_smoothed(&whole(&[0, 1], d), smoothing);
            refused(loss, ErrorKind::Argument, &["smoothing"]);
        }
        let none = Tensor::zeros([0, 3], d).unwrap().cross_entropy(&whole(&[], d)).unwrap();
        assert!(read(&none)[0].is_nan(), "the mean over no row");
    }),
    ("C5_many_equal_indices", |d| {
        let values: Vec<f32> = (0..1000).map(|i| (i % 17) as f32 * 0.125).collect();
        let x = floats(&values, &[1000, 1], d);
        let index = whole(&[2; 1000], d);
        let sum = || read(&x.scatter_rows(&index, 4).unwrap());
        let first = sum();
        assert_eq!(first, [0.0, 0.0, values.iter().sum::<f32>(), 0.0]);
        assert_eq!(first, sum());
    }),
    ("C6_no_index", |d| {
        let table = floats(&[1.0; 6], &[2, 3], d).requiring_grad();
        let none = whole(&[], d);
        let rows = table.gather(&none).unwrap();
        assert_eq!(rows.shape(), [0, 3]);
        let gradients = rows.sum_all().unwrap().backward().unwrap();
        assert_eq!(read(gradients.wrt(&table).unwrap()), [0.0; 6]);
        let empty = Tensor::zeros([0, 3], d).unwrap();
        assert_eq!(empty.gather(&none).unwrap().shape(), [0, 3]);
        refused(wait(empty.gather(&whole(&[0], d))), ErrorKind::Index, &["no rows"]);
    }),
    ("C9_indices_are_whole", |d| {
        let x = floats(&[0.0, 1.0], &[2], d);
        refused(x.gather(&x), ErrorKind::DType, &["f32"]);
        refused(x.one_hot(3), ErrorKind::DType, &["f32"]);
        refused(x.scatter_rows(&x, 2), ErrorKind::DType, &["f32"]);
        refused(
            x.reshape([1, 2]).unwrap().cross_entropy(&floats(&[0.0], &[1], d)),
            ErrorKind::DType,
            &["f32"],
        );
    }),
];

/// What a caller learns who asks for the values.
fn wait(x: Result<Tensor>) -> Result<Vec<f32>> {
    x?.to_vec::<f32>()
}
