// update: one step of an optimizer over a whole parameter buffer, in place.
//
//   p, g and the rule's moments [count], contiguous; hyper = 8 numbers, the first of them the rate, then for each range
//   of parameters: first element / 65536, first element % 65536, factor of the rate, decay
//   bindings  0 params, 1 g (read), 2 hyper (read), 3 skip (read), 4 p, 5, 6, 7 moments, 8 steps (read and write), 9 fault
//   launch    any number of workgroups; a thread goes through vec4s as walk says
//   numerics  those of the rule, as PyTorch has them; nothing happens while a fault is pending or skip is not 0

struct Params {
  count: u32, p_offset: u32, g_offset: u32, a_offset: u32,
  b_offset: u32, c_offset: u32, ranges: u32, option: u32,
  counters: u32, steps_offset: u32, skip_offset: u32, unused: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> g: array<elem>;
@group(0) @binding(2) var<storage, read> hyper: array<f32>;
@group(0) @binding(3) var<storage, read> skip: array<u32>;
@group(0) @binding(4) var<storage, read_write> p: array<elem>;

// The first elem of a range; for the one after the last, beyond all.
fn start_of(range: u32) -> u32 {
  if (range >= params.ranges) { return 0xffffffffu; }
  let row = 8u + 4u * range;
  return ((u32(hyper[row]) << 16u) + u32(hyper[row + 1u])) / BY;
}

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  if (halted() || skip[params.skip_offset] != 0u) { return; }
  let numbers = begin(group.x, groups.x, lane);
  let p_offset = params.p_offset;
  let g_offset = params.g_offset;
  let offsets = vec3(params.a_offset, params.b_offset, params.c_offset);
  let option = params.option == 1u;
  let all = hyper[0];
  let turn = walk(params.count, group.x, groups.x, lane);
  var range = 0u;
  if (RANGED == 1u) {
    var high = params.ranges;
    while (high - range > 1u) {
      let middle = (range + high) / 2u;
      if (start_of(middle) <= turn.first) { range = middle; } else { high = middle; }
    }
  }
  var next = start_of(range + 1u);
  var rate = all * hyper[10u + 4u * range];
  var decay = hyper[11u + 4u * range];
  for (var i = turn.first; i < turn.end; i += turn.step) {
    if (RANGED == 1u && i >= next) {
      while (i >= next) {
        range += 1u;
        next = start_of(range + 1u);
      }
      rate = all * hyper[10u + 4u * range];
      decay = hyper[11u + 4u * range];
    }
    let at = p_offset + i;
    p[at] = updated(numbers, offsets + i, option, p[at], g[g_offset + i], rate, decay);
  }
}
