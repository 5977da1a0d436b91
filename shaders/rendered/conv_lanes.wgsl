// conv_lanes: what conv_lanes.wgsl.jinja gives, written by `cargo xtask render`; what it does is explained there.

struct Params {
  rows: u32, cols: u32, groups: u32, parts: u32,
  k0: u32, k1: u32, k2: u32, part_k0: u32,
  a_offset: u32, a_row: u32, a_group: u32, a_k0: u32,
  a_k1: u32, a_k2: u32, b_offset: u32, b_group: u32,
  b_c0: u32, b_k0: u32, b_1: u32, b_2: u32,
  c1: u32, c2: u32, size_1: u32, size_2: u32,
  mul_1: i32, mul_2: i32, base_1: i32, base_2: i32,
  dk_1: i32, dk_2: i32, div_1: u32, div_2: u32,
  step_1: u32, step_2: u32, out_1: u32, out_2: u32,
  y_offset: u32, y_row: u32, y_c0: u32, y_group: u32,
  y_1: u32, y_2: u32, y_part: u32, bias_offset: u32,
  bias_step: u32, grid_x: u32, blocks_rows: u32, blocks_cols: u32,
  part_k1: u32, parts_1: u32, tap_1: i32, tap_2: i32,
}
@group(0) @binding(0) var<uniform> params: Params;

struct Place { row: u32, col: u32, class_1: u32, class_2: u32, group: u32, part: u32 }

fn place_of(block: u32) -> Place {
  let row = block % params.blocks_rows;
  var rest = block / params.blocks_rows;
  let col = rest % params.blocks_cols;
  rest /= params.blocks_cols;
  let class_2 = rest % params.div_2;
  rest /= params.div_2;
  let class_1 = rest % params.div_1;
  rest /= params.div_1;
  return Place(row, col, class_1, class_2, rest % params.groups, rest / params.groups);
}

struct Taps { first: u32, count: u32, origin: i32 }

fn taps_of(class_i: u32, base: i32, dk: i32, div: u32, step: u32, count: u32) -> Taps {
  let start = i32(class_i) + base;
  var first = 0u;
  for (var k = step; k > 0u; k--) {
    first = select(first, k - 1u, (start + i32(k - 1u) * dk) % i32(div) == 0);
  }
  let at = start + i32(first) * dk;
  let meets = at % i32(div) == 0 && first < count;
  return Taps(first, select(0u, (count - min(first, count) + step - 1u) / step, meets), at / i32(div));
}

fn over(a: u32, b: u32) -> u32 {
  if (SMALL == 0u) { return a / b; }
  let near = u32(f32(a) / f32(b));
  let low = near - select(0u, 1u, near * b > a);
  return low + select(0u, 1u, a - low * b >= b);
}

fn over4(a: vec4<u32>, b: u32) -> vec4<u32> {
  if (SMALL == 0u) { return a / b; }
  let near = vec4<u32>(vec4<f32>(a) / f32(b));
  let low = near - select(vec4(0u), vec4(1u), near * b > a);
  return low + select(vec4(0u), vec4(1u), a - low * b >= vec4(b));
}

const SMALL = 1u;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
  let place = place_of(wg.y * params.grid_x + wg.x);
  if (place.part >= params.parts) { return; }
  let taps_1 = taps_of(place.class_1, params.base_1, params.dk_1, params.div_1, params.step_1, params.k1);
  let taps_2 = taps_of(place.class_2, params.base_2, params.dk_2, params.div_2, params.step_2, params.k2);
  let k0_first = place.part / params.parts_1 * params.part_k0;
  let k0_end = min(k0_first + params.part_k0, params.k0);
  let t1_first = place.part % params.parts_1 * params.part_k1;
  let t1_end = min(t1_first + params.part_k1, taps_1.count);

  let a_start = params.a_offset + place.group * params.a_group + k0_first * params.a_k0
    + taps_1.first * params.a_k1 + taps_2.first * params.a_k2;
  let first_row = place.row * 8u;
  let a_at0 = a_start + min(first_row + 0u + lane, params.rows - 1u) * params.a_row;

  let b_start = params.b_offset + place.group * params.b_group + k0_first * params.b_k0;
  let per_c0 = params.c1 * params.c2;
  let col0 = vec4(place.col * 32u + 0u + lane) + vec4(0u, 8u, 16u, 24u);
  let number0 = min(col0, vec4(params.cols - 1u));
  let c0_0 = over4(number0, per_c0);
  let c12_0 = number0 - c0_0 * per_c0;
  let c1_0 = over4(c12_0, params.c2);
  let c2_0 = c12_0 - c1_0 * params.c2;
  let b_at0 = vec4(b_start) + c0_0 * params.b_c0;
  let from_1_0 = vec4<i32>(c1_0) * params.mul_1 + vec4(taps_1.origin);
  let from_2_0 = vec4<i32>(c2_0) * params.mul_2 + vec4(taps_2.origin);

  var y0_0 = vec4(0.0);
  var y1_0 = vec4(0.0);
  var y2_0 = vec4(0.0);
  var y3_0 = vec4(0.0);
  var y4_0 = vec4(0.0);
  var y5_0 = vec4(0.0);
  var y6_0 = vec4(0.0);
  var y7_0 = vec4(0.0);

  let a_step_1 = params.step_1 * params.a_k1;
  let a_step_2 = params.step_2 * params.a_k2;
  let a_k0 = params.a_k0;
  let b_k0 = params.b_k0;
  let b_1 = params.b_1;
  let b_2 = params.b_2;
  let tap_1 = params.tap_1;
  let tap_2 = params.tap_2;
  let size_1 = vec4(params.size_1);
  let size_2 = vec4(params.size_2);
  let taps_end = taps_2.count;
  for (var t1 = t1_first; t1 < t1_end; t1++) {
    let at_1_0 = vec4<u32>(from_1_0 + vec4(i32(t1) * tap_1));
    let inside_1_0 = at_1_0 < size_1;
    for (var t2 = 0u; t2 < taps_end; t2++) {
      let at_2_0 = vec4<u32>(from_2_0 + vec4(i32(t2) * tap_2));
      let inside0 = inside_1_0 & (at_2_0 < size_2);
      var at0 = b_at0 + select(vec4(0u), at_1_0 * b_1 + at_2_0 * b_2, inside0);
      var a_k = t1 * a_step_1 + t2 * a_step_2;
      for (var k = k0_first; k < k0_end; k++) {
        let b0 = mat4x4(select(vec4(0.0), b[at0[0]], inside0[0]), select(vec4(0.0), b[at0[1]], inside0[1]), select(vec4(0.0), b[at0[2]], inside0[2]), select(vec4(0.0), b[at0[3]], inside0[3]));
        at0 += vec4(b_k0);
        let a0 = a[a_at0 + a_k];
        let a_row0 = subgroupShuffle(a0, 0u);
        y0_0 += a_row0 * b0;
        let a_row1 = subgroupShuffle(a0, 1u);
        y1_0 += a_row1 * b0;
        let a_row2 = subgroupShuffle(a0, 2u);
        y2_0 += a_row2 * b0;
        let a_row3 = subgroupShuffle(a0, 3u);
        y3_0 += a_row3 * b0;
        let a_row4 = subgroupShuffle(a0, 4u);
        y4_0 += a_row4 * b0;
        let a_row5 = subgroupShuffle(a0, 5u);
        y5_0 += a_row5 * b0;
        let a_row6 = subgroupShuffle(a0, 6u);
        y6_0 += a_row6 * b0;
        let a_row7 = subgroupShuffle(a0, 7u);
        y7_0 += a_row7 * b0;
        a_k += a_k0;
      }
    }
  }

  let y_start = params.y_offset + place.group * params.y_group + place.part * params.y_part;
  let bias_start = params.bias_offset + place.group * params.rows * params.bias_step;
  let out_1_0 = c1_0 * params.div_1 + place.class_1;
  let out_2_0 = c2_0 * params.div_2 + place.class_2;
  let kept0 = (col0 < vec4(params.cols)) & (out_1_0 < vec4(params.out_1)) & (out_2_0 < vec4(params.out_2));
  let y_at0 = vec4(y_start) + c0_0 * params.y_c0 + out_1_0 * params.y_1 + out_2_0 * params.y_2;
  let row_end = min(first_row + 8u, params.rows);
  for (var row = first_row; row < row_end; row++) {
    let shift = bias[bias_start + row * params.bias_step];
    let in_row = row * params.y_row;
    if (kept0[0]) { y[y_at0[0] + in_row] = y0_0[0] + shift; }
    if (kept0[1]) { y[y_at0[1] + in_row] = y0_0[1] + shift; }
    if (kept0[2]) { y[y_at0[2] + in_row] = y0_0[2] + shift; }
    if (kept0[3]) { y[y_at0[3] + in_row] = y0_0[3] + shift; }
    y0_0 = y1_0;
    y1_0 = y2_0;
    y2_0 = y3_0;
    y3_0 = y4_0;
    y4_0 = y5_0;
    y5_0 = y6_0;
    y6_0 = y7_0;
  }
}
