//! Part 2 of the course: broadcasting, the rule that lets tensors of different shapes meet.
//!
//! ```text
//! cargo run --release --example 02_broadcasting
//! ```

use wgrad::prelude::*;

fn main() -> Result<()> {
    let device = wgrad::best_device().0;
    let ones = |shape: &[usize]| Tensor::ones(shape, &device);

    // ---- the rule --------------------------------------------------------------------------------

    // It is NumPy's. Write both shapes one below the other, aligned at the RIGHT. Two sizes fit if they
    // are equal or if one of them is 1; a size that is missing counts as 1. Where a size is 1, the same
    // numbers are used again and again.
    println!("the rule:");
    for (a, b) in [
        (&[4, 3][..], &[3][..]), // a row, used for each of 4 rows
        (&[4, 3], &[4, 1]),      // a column, used for each of 3 columns
        (&[4, 1], &[1, 3]),      // a column and a row: every pair
        (&[2, 4, 3], &[4, 3]),   // one matrix for each of 2
        (&[4, 3], &[]),          // a single number
    ] {
        let sum = ones(a)?.try_add(&ones(b)?)?;
        println!("  {:<9} + {:<6} -> {:?}", format!("{a:?}"), format!("{b:?}"), sum.shape());
    }

    // ---- the bias of a layer ---------------------------------------------------------------------

    // 4 examples in rows, 3 outputs in columns, and one bias per output: [4, 3] + [3].
    let z = Tensor::zeros([4, 3], &device)?;
    let bias = Tensor::from_vec([10.0f32, 20.0, 30.0], [3], &device)?;
    println!("\nevery example gets the same bias:");
    print_rows(&z.try_add(&bias)?)?;

    // Nothing was copied for that: the stretched bias has stride 0 along the examples.
    let stretched = bias.broadcast_to([4, 3])?;
    println!("bias as [4, 3]: strides {:?}", stretched.layout().strides);

    // ---- the classic mistake ---------------------------------------------------------------------

    // One number per EXAMPLE is a shape of [4], and [4, 3] + [4] does not fit: aligned at the right,
    // 3 meets 4. The error names both shapes and the line below.
    let per_example = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], [4], &device)?;
    match z.try_add(&per_example) {
        Ok(_) => println!("unexpected: [4, 3] + [4] worked"),
        Err(error) => println!("\n[4, 3] + [4]:\n  {error}"),
    }
    // The operator `&z + &per_example` would panic with the same text: handy in a sketch. Use `try_add`
    // and its like where the shapes come from outside.

    // The remedy is to say which axis is meant: a column of shape [4, 1].
    let column = per_example.unsqueeze(1)?;
    println!("\n[4, 3] + [4, 1]:");
    print_rows(&z.try_add(&column)?)?;

    // ---- the mistake that is no error ------------------------------------------------------------

    // With as many examples as outputs both readings fit, and no rule can tell which one you meant. A
    // square matrix hides this slip, so test with sizes that differ.
    let square = Tensor::zeros([3, 3], &device)?;
    println!("\n[3, 3] + [3] is always by column:");
    print_rows(&square.try_add(&bias)?)?;

    // The other trap: a prediction [4, 1] minus a target [4] is a [4, 4]. The losses of this library
    // therefore do not broadcast.
    let (prediction, target) = (ones(&[4, 1])?, ones(&[4])?);
    println!("\n[4, 1] - [4] has shape {:?}", prediction.try_sub(&target)?.shape());
    if let Err(error) = prediction.mse(&target) {
        println!("as a loss:\n  {error}");
    }

    // ---- backwards -------------------------------------------------------------------------------

    // A number that was used four times gets the sum of four gradients. So broadcasting forward is a
    // sum backward: the gradient of a bias is the sum over the examples, in the shape of the bias.
    let bias = bias.requiring_grad();
    let loss = z.try_add(&bias)?.sum_all()?;
    let gradients = loss.backward()?;
    println!("\ngradient of the bias: {:?}", gradients.wrt(&bias)?.to_vec::<f32>()?);
    Ok(())
}

/// A matrix, one line per row.
fn print_rows(x: &Tensor) -> Result<()> {
    for row in x.to_vec::<f32>()?.chunks(x.shape()[1]) {
        println!("  {row:?}");
    }
    Ok(())
}
