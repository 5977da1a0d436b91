// cross_entropy_loss_only: no gradient is wanted.

fn store_gradient(row: u32, x0: u32, top: f32, total: f32, label: u32, good: bool, first: u32, step: u32) {
}
