//! Mistakes that were found once and must not come back; each on the CPU and on a GPU.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails by panicking"
)]

mod support;

use half::f16;
use std::time::Duration;
use wgrad::{DType, Device, ErrorKind, Result, Tensor};

/// A half float is half a word: writing an odd number of them must leave the next one alone.
fn odd_f16_assign_keeps_its_neighbour(device: &Device) -> Result<()> {
    let halves = |xs: &[f32]| xs.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>();
    let x = Tensor::from_vec(halves(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), [6], device)?;
    x.slice(0, 0..3)?.assign(&Tensor::from_vec(halves(&[7.0, 8.0, 9.0]), [3], device)?)?;
    assert_eq!(x.to_vec::<f16>()?, halves(&[7.0, 8.0, 9.0, 4.0, 5.0, 6.0]));
    Ok(())
}

/// Saved operands are a bit set of eight.
fn concat_of_many_has_a_gradient(device: &Device) -> Result<()> {
    let parts: Vec<Tensor> = (0..11)
        .map(|i| Ok(Tensor::from_vec([i as f32], [1], device)?.requiring_grad()))
        .collect::<Result<_>>()?;
    let all = Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0)?;
    let gradients = all.square()?.sum_all()?.backward()?;
    for (i, part) in parts.iter().enumerate() {
        assert_eq!(gradients.wrt(part)?.to_vec::<f32>()?, [2.0 * i as f32]);
    }
    Ok(())
}

/// The product of strides means nothing and may overflow.
fn long_strides_are_legal(device: &Device) -> Result<()> {
    let x = Tensor::ones([2, 2, 2, 1 << 20], device)?;
    assert_eq!(x.sum_all()?.item::<f32>()?, (8 << 20) as f32);
    let y = x.slice(3, 0..4)?.pad(3, 1, 0)?;
    assert_eq!(y.sum_all()?.item::<f32>()?, 32.0);
    Ok(())
}

/// The graph would not see the change.
fn assign_to_a_computed_tensor_is_refused(device: &Device) -> Result<()> {
    let a = Tensor::ones([2], device)?.requiring_grad();
    let h = a.try_add(1.0)?;
    let two = Tensor::ones([2], device)?;
    assert_eq!(h.assign(&two).unwrap_err().kind(), ErrorKind::Graph);
    h.detach().assign(&two)?;
    let spread = Tensor::ones([1, 2], device)?.broadcast_to([3, 2])?;
    let error = spread.assign(&Tensor::ones([3, 2], device)?).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument);
    Ok(())
}

fn ranges_must_fit_their_type(device: &Device) -> Result<()> {
    for (start, end, dtype) in [(3e9, 3e9 + 3.0, DType::I32), (-1.0, 2.0, DType::U32)] {
        let error = Tensor::arange(start, end, 1.0, dtype, device).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DType, "{error}");
    }
    Ok(())
}

fn a_huge_step_shows_one_element(device: &Device) -> Result<()> {
    let x = Tensor::from_vec([1.0f32, 2.0, 3.0], [3], device)?.requiring_grad();
    let y = x.slice_step(0, 1..3, usize::MAX)?;
    assert_eq!(y.to_vec::<f32>()?, [2.0]);
    assert_eq!(y.sum_all()?.backward()?.wrt(&x)?.to_vec::<f32>()?, [0.0, 1.0, 0.0]);
    Ok(())
}

/// Both reads hold what the bad index spoiled, so both must say so; the gradient must not be stale
/// memory even though it was made while the fault was pending.
fn every_read_of_a_bad_result_fails(device: &Device) -> Result<()> {
    let table = Tensor::ones([4, 2], device)?.requiring_grad();
    let index = Tensor::from_vec([1i32, 9], [2], device)?;
    let reads = table.gather(&index).and_then(|rows| {
        let doubled = rows.try_mul(2.0)?;
        Ok((rows.read::<f32>()?, doubled.read::<f32>()?))
    });
    let (first, second) = match reads {
        Ok(reads) => reads,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Index, "{error}"); // the CPU knows at once
            return Ok(());
        }
    };
    let wait = Duration::from_secs(60);
    for error in [second.wait(wait).unwrap_err(), first.wait(wait).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Index, "{error}");
        assert!(error.message().contains("index 9 at position 1"), "{error}");
    }
    assert_eq!(table.to_vec::<f32>()?, [1.0; 8]);
    Ok(())
}

/// The second bad index is not hidden behind the first.
fn the_second_bad_index_is_told_too(device: &Device) -> Result<()> {
    let table = Tensor::ones([4, 2], device)?;
    let bad = |value: i32| -> Result<Tensor> {
        table.gather(&Tensor::from_vec([0i32, value], [2], device)?)
    };
    let (first, second) = (bad(7), bad(-3));
    for (rows, text) in [(first, "index 7"), (second, "index -3")] {
        let error = rows.and_then(|rows| rows.to_vec::<f32>()).unwrap_err();
        assert!(error.message().contains(text), "{error}");
    }
    assert_eq!(table.to_vec::<f32>()?, [1.0; 8]);
    Ok(())
}

/// A name and what it tests.
type Row = (&'static str, fn(&Device) -> Result<()>);

fn main() -> std::process::ExitCode {
    let rows: [Row; 8] = [
        ("odd_f16_assign_keeps_its_neighbour", odd_f16_assign_keeps_its_neighbour),
        ("concat_of_many_has_a_gradient", concat_of_many_has_a_gradient),
        ("long_strides_are_legal", long_strides_are_legal),
        ("assign_to_a_computed_tensor_is_refused", assign_to_a_computed_tensor_is_refused),
        ("ranges_must_fit_their_type", ranges_must_fit_their_type),
        ("a_huge_step_shows_one_element", a_huge_step_shows_one_element),
        ("every_read_of_a_bad_result_fails", every_read_of_a_bad_result_fails),
        ("the_second_bad_index_is_told_too", the_second_bad_index_is_told_too),
    ];
    support::runner::main(|suite| {
        for (name, row) in rows {
            suite.cpu(format!("{name} cpu"), move || row(&wgrad::cpu()).map_err(|e| e.to_string()));
            suite.gpu(format!("{name} gpu"), move || {
                let device = wgrad::open(&wgrad::AdapterChoice::Auto).map_err(|e| e.to_string())?;
                row(&device).map_err(|e| e.to_string())
            });
        }
    })
}
