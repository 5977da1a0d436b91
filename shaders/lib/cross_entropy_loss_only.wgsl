// cross_entropy_loss_only: no gradient is wanted.

fn store_gradient(at: Row, sums: Sums, scale: f32, first: u32, step: u32) {
}
