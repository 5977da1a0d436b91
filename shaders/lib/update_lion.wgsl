// update_lion: a step of one size, in the direction of a mean of gradients.
// Source: Chen and others 2023, arXiv:2302.06675

@group(0) @binding(5) var<storage, read_write> m: array<elem>;

// β₁, β₂, 1-β₁, 1-β₂
fn begin(group: u32, groups: u32, lane: u32) -> vec4<f32> {
  return vec4(hyper[1], hyper[2], hyper[3], hyper[4]);
}

fn updated(n: vec4<f32>, at: vec3<u32>, option: bool, value: elem, g: elem, rate: f32, decay: f32) -> elem {
  let mean = m[at.x];
  m[at.x] = n.y * mean + n.w * g;
  return value - rate * (sign(n.x * mean + n.z * g) + decay * value);
}
