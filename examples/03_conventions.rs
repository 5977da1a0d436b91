//! Part 3 of the course: the two ways to write a layer. Textbooks put examples in columns,
//! `Z = W X + b`; libraries put them in rows, `Z = X Wᵀ + b`. It is the same layer, and going from one
//! to the other copies nothing.
//!
//! ```text
//! cargo run --release --example 03_conventions
//! ```

use wgrad::{Role, prelude::*};

fn main() -> Result<()> {
    let device = wgrad::best_device().0;

    // A layer with 3 inputs and 2 outputs, and 4 examples. The weight is [outputs, inputs] both ways.
    let w = Tensor::from_vec([1.0f32, 2.0, 3.0, -1.0, 0.0, 2.0], [2, 3], &device)?;
    let numbers: Vec<f32> = (0..12).map(|i| i as f32).collect();

    // ---- examples in rows: Z = X Wᵀ + b ----------------------------------------------------------

    // [4, 3] times [3, 2] is [4, 2]; the bias [2] is a row that fits every row of Z (part 2).
    let x_rows = Tensor::from_vec(numbers, [4, 3], &device)?;
    let b_row = Tensor::from_vec([0.5f32, -0.5], [2], &device)?;
    let z_rows = x_rows.matmul(&w.t()?)?.try_add(&b_row)?;
    println!("examples in rows, Z = X WT + b: {:?}", z_rows.shape());
    print_rows(&z_rows)?;

    // ---- examples in columns: Z = W X + b --------------------------------------------------------

    // [2, 3] times [3, 4] is [2, 4]; the bias must be a column, [2, 1], to fit every column of Z. A
    // bias of shape [2] would not do: aligned at the right, 2 meets 4.
    let x_cols = x_rows.t()?;
    let b_col = b_row.unsqueeze(1)?;
    let z_cols = w.matmul(&x_cols)?.try_add(&b_col)?;
    println!("\nexamples in columns, Z = W X + b: {:?}", z_cols.shape());
    print_rows(&z_cols)?;

    // ---- the same numbers ------------------------------------------------------------------------

    // Small whole numbers and halves are exact in f32, so the two must be equal, not only close.
    assert_eq!(z_cols.t()?.to_vec::<f32>()?, z_rows.to_vec::<f32>()?);
    println!("\none is the transpose of the other: equal");

    // ---- no copies -------------------------------------------------------------------------------

    // A transposed view has the same memory and its strides exchanged: to go one step along an axis,
    // skip so many elements. The kernels read views as they are, so `x.matmul(&w.t()?)` does not first
    // write a transposed W.
    println!("\n          shape   strides");
    for (name, x) in [("W", &w), ("WT", &w.t()?), ("X rows", &x_rows), ("X cols", &x_cols)] {
        println!(
            "{name:<8}  {:<6}  {:<6}",
            format!("{:?}", x.shape()),
            format!("{:?}", x.layout().strides)
        );
    }
    assert_eq!(w.t()?.storage()?.id(), w.storage()?.id());
    assert_eq!(x_cols.storage()?.id(), x_rows.storage()?.id());
    assert_eq!(b_col.storage()?.id(), b_row.storage()?.id());

    // The device counts its memory, so this can be checked from outside too.
    let before = device.memory().role(Role::Activations);
    let views = [w.t()?, x_rows.t()?, b_row.unsqueeze(1)?, z_rows.t()?];
    let after = device.memory().role(Role::Activations);
    assert_eq!(before, after);
    println!("{} views more, {} bytes more", views.len(), after - before);

    // ---- the gradients ---------------------------------------------------------------------------

    // With Δ = ∂loss/∂Z in the shape of Z, the rules mirror each other:
    //
    //             examples in rows      examples in columns
    //   Z         X Wᵀ + b              W X + b
    //   dW        Δᵀ X                  Δ Xᵀ
    //   db        Σ Δ over rows         Σ Δ over columns
    //   dX        Δ W                   Wᵀ Δ
    //
    // Backward knows the rules; here is its dW for the loss ΣZ², both ways.
    let w = w.requiring_grad();
    let rows = x_rows.matmul(&w.t()?)?.try_add(&b_row)?.square()?.sum_all()?;
    let cols = w.matmul(&x_cols)?.try_add(&b_col)?.square()?.sum_all()?;
    let dw_rows = rows.backward()?.wrt(&w)?.to_vec::<f32>()?;
    let dw_cols = cols.backward()?.wrt(&w)?.to_vec::<f32>()?;
    assert_eq!(dw_rows, dw_cols);
    println!("\ndW by rows and by columns: {dw_rows:?}");

    // ---- which one to use ------------------------------------------------------------------------

    // The layers of this library take rows, because then a batch is a run of memory, and a bias needs
    // no second axis. `linear` is the row form in one operation.
    let z = x_rows.linear(&w, Some(&b_row), None)?;
    assert_eq!(z.to_vec::<f32>()?, z_rows.to_vec::<f32>()?);
    println!("x.linear(w, b): {:?}, the same again", z.shape());
    Ok(())
}

/// A matrix, one line per row.
fn print_rows(x: &Tensor) -> Result<()> {
    for row in x.to_vec::<f32>()?.chunks(x.shape()[1]) {
        println!("  {row:?}");
    }
    Ok(())
}
