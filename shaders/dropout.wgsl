// dropout: elements become 0 at random, the others are scaled; four to a counter of the Philox state given.
//
//   x view, state [4] (key, counter)  ->  y [count] contiguous
//   bindings  0 params, 1 x (read), 2 state (read), 3 y (write)
//   launch    any number of workgroups; see walk; a thread has the four elements of a counter at a time
//   numerics  an element is dropped if its 32 random bits are at most `last`; no arithmetic but the product

struct Params {
  count: u32, last: u32, scale: f32, state_offset: u32,
  x_offset: u32, y_offset: u32, unused_0: u32, unused_1: u32,
  shape: array<vec4<u32>, 2>,
  x: array<vec4<u32>, 2>,      // strides
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<slot>;
@group(0) @binding(2) var<storage, read> state: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<slot>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let at = params.state_offset;
  let key = vec2(state[at], state[at + 1u]);
  let first = vec2(state[at + 2u], state[at + 3u]);
  let last = vec4(params.last);
  let turn = walk((params.count + 3u) / 4u, group.x, groups.x, lane);
  for (var block = turn.first; block < turn.end; block += turn.step) {
    let low = first.x + block;
    let high = first.y + select(0u, 1u, low < block);
    let bits = philox(vec4(low, high, 0u, 0u), key);
    store_four(block, bits > last);
  }
}
