// cross_entropy_weighted: a weight w for each class.

@group(0) @binding(5) var<storage, read> weights: array<f32>;

// Over the classes: the total that makes probabilities, Σ w (top - x), Σ w.
alias Sums = vec3<f32>;

fn weight_of(label: u32) -> f32 {
  return weights[params.weights_offset + label * params.weights_stride];
}

fn sums_of(label: u32, d: f32) -> Sums {
  let weight = weight_of(label);
  return vec3(part_of(d), weight * -d, weight);
}

fn all_weights(sums: Sums) -> f32 { return sums.z; }
