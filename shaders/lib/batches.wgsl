// batches: where a product's matrices begin, from its number among the batches.

// The four batch coordinates of a flat batch number; the last is the fastest.
fn batch_coords(batch: u32) -> vec4<u32> {
  let s = params.batch_shape;
  let z = batch / s.w;
  let y = z / s.z;
  return vec4(y / s.y, y % s.y, z % s.z, batch % s.w);
}

fn dot_u32(p: vec4<u32>, q: vec4<u32>) -> u32 {
  return p.x * q.x + p.y * q.y + p.z * q.z + p.w * q.w;
}
