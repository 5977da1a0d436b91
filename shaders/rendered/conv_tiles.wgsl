// conv_tiles: what conv_tiles.wgsl.jinja gives, written by `cargo xtask render`; what it does is explained there.

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

@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

var<workgroup> sh_a: array<vec4<f32>, 256>;
var<workgroup> sh_b: array<vec4<f32>, 256>;
var<workgroup> sh_k: array<vec4<u32>, 16>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let place = place_of(wg.y * params.grid_x + wg.x);
  if (place.part >= params.parts) { return; }
  let taps_1 = taps_of(place.class_1, params.base_1, params.dk_1, params.div_1, params.step_1, params.k1);
  let taps_2 = taps_of(place.class_2, params.base_2, params.dk_2, params.div_2, params.step_2, params.k2);
  let k0_first = place.part / params.parts_1 * params.part_k0;
  let k0_count = min(params.part_k0, max(params.k0, k0_first) - k0_first);
  let t1_first = min(place.part % params.parts_1 * params.part_k1, taps_1.count);
  let t1_count = min(params.part_k1, taps_1.count - t1_first);
  let length = k0_count * t1_count * taps_2.count;
  let a_start = params.a_offset + place.group * params.a_group + k0_first * params.a_k0
    + (taps_1.first + t1_first * params.step_1) * params.a_k1 + taps_2.first * params.a_k2;
  let b_start = params.b_offset + place.group * params.b_group + k0_first * params.b_k0;
  let first_row = place.row * 64u;

  let load_col = thread % 16u;
  let col = vec4(place.col * 64u + load_col) + vec4(0u, 16u, 32u, 48u);
  let number = min(col, vec4(params.cols - 1u));
  let per_c0 = params.c1 * params.c2;
  let c0 = number / per_c0;
  let c1 = number % per_c0 / params.c2;
  let c2 = number % params.c2;
  let b_at = vec4(b_start) + c0 * params.b_c0;
  let from_1 = vec4<i32>(c1) * params.mul_1 + vec4(taps_1.origin + i32(t1_first) * params.tap_1);
  let from_2 = vec4<i32>(c2) * params.mul_2 + vec4(taps_2.origin);
  let ty = thread / 16u;

  var y0 = vec4(0.0);
  var y1 = vec4(0.0);
  var y2 = vec4(0.0);
  var y3 = vec4(0.0);
  for (var k_first = 0u; k_first < length; k_first += 16u) {
    if (thread < 16u) {
      let k = k_first + thread;
      let at = min(k, length - 1u);
      let t2 = at % taps_2.count;
      let t1 = at / taps_2.count % t1_count;
      let k0 = at / taps_2.count / t1_count;
      let a_k = k0 * params.a_k0 + t1 * params.step_1 * params.a_k1 + t2 * params.step_2 * params.a_k2;
      let along_1 = select(i32(t1) * params.tap_1, 0x40000000, k >= length);
      sh_k[thread] = vec4(a_k, k0 * params.b_k0, u32(along_1), u32(i32(t2) * params.tap_2));
    }
    workgroupBarrier();
    {
      let unit = thread + 0u;
      {
        let k = unit % 16u;
        let line = unit / 16u;
        let rows = min(vec4(first_row + line * 4u) + vec4(0u, 1u, 2u, 3u), vec4(params.rows - 1u));
        let at = vec4(a_start + sh_k[k].x) + rows * params.a_row;
        let four = vec4(a[at.x], a[at.y], a[at.z], a[at.w]);
        sh_a[k * 16u + line] = select(vec4(0.0), four, k_first + k < length);
      }
    }
    {
      let k = thread / 16u + 0u;
      {
        let where_k = sh_k[k];
        let at_1 = vec4<u32>(from_1 + vec4(i32(where_k.z)));
        let at_2 = vec4<u32>(from_2 + vec4(i32(where_k.w)));
        let inside = (at_1 < vec4(params.size_1)) & (at_2 < vec4(params.size_2));
        let at = b_at + vec4(where_k.y) + select(vec4(0u), at_1 * params.b_1 + at_2 * params.b_2, inside);
        sh_b[k * 16u + load_col] = select(vec4(0.0), vec4(b[at.x], b[at.y], b[at.z], b[at.w]), inside);
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < 16u; k++) {
      let b_k = sh_b[k * 16u + load_col];
      let a0 = sh_a[k * 16u + ty * 1u + 0u];
      y0 = fma(vec4(a0[0]), b_k, y0);
      y1 = fma(vec4(a0[1]), b_k, y1);
      y2 = fma(vec4(a0[2]), b_k, y2);
      y3 = fma(vec4(a0[3]), b_k, y3);
    }
  }

  let out_1 = c1 * params.div_1 + place.class_1;
  let out_2 = c2 * params.div_2 + place.class_2;
  let kept = (col < vec4(params.cols)) & (out_1 < vec4(params.out_1)) & (out_2 < vec4(params.out_2));
  let y_at = vec4(params.y_offset + place.group * params.y_group + place.part * params.y_part)
    + c0 * params.y_c0 + out_1 * params.y_1 + out_2 * params.y_2;
  let bias_start = params.bias_offset + place.group * params.rows * params.bias_step;
  {
    let row = first_row + ty * 4u + 0u;
    if (row < params.rows) {
      let shift = bias[bias_start + row * params.bias_step];
      if (kept[0]) { y[y_at[0] + row * params.y_row] = y0[0] + shift; }
      if (kept[1]) { y[y_at[1] + row * params.y_row] = y0[1] + shift; }
      if (kept[2]) { y[y_at[2] + row * params.y_row] = y0[2] + shift; }
      if (kept[3]) { y[y_at[3] + row * params.y_row] = y0[3] + shift; }
    }
  }
  {
    let row = first_row + ty * 4u + 1u;
    if (row < params.rows) {
      let shift = bias[bias_start + row * params.bias_step];
      if (kept[0]) { y[y_at[0] + row * params.y_row] = y1[0] + shift; }
      if (kept[1]) { y[y_at[1] + row * params.y_row] = y1[1] + shift; }
      if (kept[2]) { y[y_at[2] + row * params.y_row] = y1[2] + shift; }
      if (kept[3]) { y[y_at[3] + row * params.y_row] = y1[3] + shift; }
    }
  }
  {
    let row = first_row + ty * 4u + 2u;
    if (row < params.rows) {
      let shift = bias[bias_start + row * params.bias_step];
      if (kept[0]) { y[y_at[0] + row * params.y_row] = y2[0] + shift; }
      if (kept[1]) { y[y_at[1] + row * params.y_row] = y2[1] + shift; }
      if (kept[2]) { y[y_at[2] + row * params.y_row] = y2[2] + shift; }
      if (kept[3]) { y[y_at[3] + row * params.y_row] = y2[3] + shift; }
    }
  }
  {
    let row = first_row + ty * 4u + 3u;
    if (row < params.rows) {
      let shift = bias[bias_start + row * params.bias_step];
      if (kept[0]) { y[y_at[0] + row * params.y_row] = y3[0] + shift; }
      if (kept[1]) { y[y_at[1] + row * params.y_row] = y3[1] + shift; }
      if (kept[2]) { y[y_at[2] + row * params.y_row] = y3[2] + shift; }
      if (kept[3]) { y[y_at[3] + row * params.y_row] = y3[3] + shift; }
    }
  }
}
