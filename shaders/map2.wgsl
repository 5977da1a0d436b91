// map2: y = apply(a, b), element by element over strided views.
//
//   a, b, y  views of equal shape, broadcast by stride 0; sizes and strides innermost first
//   bindings  0 params, 1 a (read), 2 b (read), 3 y (write)
//   launch    any number of workgroups; see walk
//   types     elem_* is what apply sees, slot_* how it lies in memory: both scalar, or vec4 along the
//             innermost axis, where a slot that stays scalar is spread over the four
//   constants RANK: axes; CARRY: two axes, and a thread's step is at most the size of the inner one
//   numerics  those of apply; no arithmetic here

struct Params {
  count: u32,                  // elements of y (vec4s where elem_y is one)
  scalar: u32,                 // a number for apply, as bits
  extra: u32,                  // another
  nan: u32,                    // NaN, as bits: a constant would not compile
  offsets: vec4<u32>,          // of y, a, b, c
  shape: array<vec4<u32>, 2>,
  y: array<vec4<u32>, 2>,      // strides
  a: array<vec4<u32>, 2>,
  b: array<vec4<u32>, 2>,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<slot_a>;
@group(0) @binding(2) var<storage, read> b: array<slot_b>;
@group(0) @binding(3) var<storage, read_write> y: array<elem_y>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  if (halted()) { return; }
  let turn = walk(params.count, group.x, groups.x, lane);
  // Named before the loop, since software adapters would load them at each turn.
  let offsets = params.offsets;
  let last = vec4(pick(params.y, RANK - 1u), pick(params.a, RANK - 1u), pick(params.b, RANK - 1u), 0u);
  let size = params.shape[0].x;
  let by_col = vec4(params.y[0].x, params.a[0].x, params.b[0].x, 0u);
  let by_row = vec4(params.y[0].y, params.a[0].y, params.b[0].y, 0u);
  var col = 0u;
  var row = 0u;
  if (CARRY == 1u) {
    row = turn.first / size;
    col = turn.first - row * size;
  }
  for (var i = turn.first; i < turn.end; i += turn.step) {
    var at = offsets;
    if (CARRY == 1u) {
      // Of two axes: counted on instead of divided.
      at += col * by_col + row * by_row;
      col += turn.step;
      let over = col >= size;
      col = select(col, col - size, over);
      row += select(0u, 1u, over);
    } else {
      var rest = i;
      for (var axis = 0u; axis < RANK - 1u; axis++) {
        let size = pick(params.shape, axis);
        let here = rest % size;
        rest /= size;
        at += here * vec4(pick(params.y, axis), pick(params.a, axis), pick(params.b, axis), 0u);
      }
      at += rest * last;
    }
    y[at.x] = apply(elem_a(a[at.y]), elem_b(b[at.z]));
  }
}
