// conv_params: a convolution as a product Y = A B, for each of three directions. B is never laid out: element (k, column)
// of it is read through a window. A column has the numbers c0, c1, c2, the inner index k0, k1, k2; along either axis i of
// the image, tap j of a class reads at c_i * mul_i + origin_i + j * tap_i. Outside 0..size_i B is 0.
//
//   forward      rows c_out, columns (n, oy, ox), inner (c_in, ky, kx); one class
//   for input    rows c_in, columns (n, y, x) / stride, inner (c_out, ky, kx); div_1 * div_2 classes: those of a result
//                that has the same remainders, and so meets the same taps
//   for weight   rows c_out, columns (c_in, ky, kx), inner (n, oy, ox); one class

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
  // The inner index in parts: of k0, and of k1 within those.
  part_k1: u32, parts_1: u32, tap_1: i32, tap_2: i32,
}
@group(0) @binding(0) var<uniform> params: Params;

// What one workgroup computes: blocks of rows and columns of one class, of one group, over one part.
struct Place { row: u32, col: u32, class_1: u32, class_2: u32, group: u32, part: u32 }

fn place_of(block: u32) -> Place {
  // Neighbours share their columns, whose values then stay in the cache.
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

// The taps along one axis that a class meets: every step-th from the first on, and where the first reads.
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
