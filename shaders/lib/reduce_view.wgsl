// reduce_view: what the reductions read and write, and where the elements of one result lie.

struct Params {
  count: u32,                  // results * chunks
  length: u32,                 // elements reduced into one result
  chunk: u32,                  // elements reduced by one workgroup
  chunks: u32,                 // workgroups per result
  scale: f32,                  // factor of the result: a mean's, else 1
  nan: u32,                    // the value of nothing, as bits
  x_offset: u32,
  y_offset: u32,
  kept: array<vec4<u32>, 2>,   // sizes
  kept_x: array<vec4<u32>, 2>, // strides in x
  reduced: array<vec4<u32>, 2>,
  reduced_x: array<vec4<u32>, 2>,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read_write> y: array<elem_y>;

fn kept_at(result: u32) -> u32 {
  return params.x_offset + strided(result, KEPT, params.kept, params.kept_x);
}

fn reduced_at(element: u32) -> u32 {
  return strided(element, REDUCED, params.reduced, params.reduced_x);
}
