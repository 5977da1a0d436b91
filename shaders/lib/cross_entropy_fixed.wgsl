// cross_entropy_fixed: the host knows what the losses are multiplied by: 1, or 1 / rows.

fn scale_of_losses(lane: u32) -> f32 { return params.scale; }
