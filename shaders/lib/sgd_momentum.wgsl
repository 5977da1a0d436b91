// sgd_momentum: along the velocity, or ahead of it (Nesterov).

@group(0) @binding(4) var<storage, read_write> v: array<elem>;

fn direction(i: u32, slope: elem) -> elem {
  let at = params.v_offset + i;
  let velocity = hyper[1] * v[at] + slope;
  v[at] = velocity;
  return select(velocity, slope + hyper[1] * velocity, params.nesterov == 1u);
}
