// join_moments: number, mean and squared distances of two sets become those of both.
// source: Chan, Golub, LeVeque, COMPSTAT 1982.

fn join(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
  let count = a.x + b.x;
  let apart = b.y - a.y;
  let share = b.x / max(count, 1.0);
  return vec4(count, a.y + apart * share, a.z + b.z + apart * apart * (a.x * share), a.w);
}
