// vector_norm_parts: sums of squares of parts of a buffer, small, medium and large elements apart, so that none overflows.
//
//   x [count], contiguous  ->  parts: for each thread Σ(2⁷⁰x)², Σx², Σ(x/2⁷⁰)² and the largest size, as bits
//   bindings  0 params, 1 x (read), 2 parts (write)
//   launch    any number of workgroups; a thread goes through vec4s as walk says
//   numerics  small is below 2⁻⁵⁰, large above 2⁵⁰; a thread sums blocks of 32
//   source    Blue 1978, A portable Fortran program to find the Euclidean norm of a vector

struct Params { count: u32, x_offset: u32, unused: vec2<u32> }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<bits>;
@group(0) @binding(2) var<storage, read_write> parts: array<vec4<u32>>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) lane: u32,
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
) {
  let x_offset = params.x_offset;
  let turn = walk(params.count, group.x, groups.x, lane);
  var small = elem(0.0);
  var medium = elem(0.0);
  var large = elem(0.0);
  var largest = bits(0u);
  for (var i1 = turn.first; i1 < turn.end; i1 += 32u * turn.step) {
    let end = min(turn.end, i1 + 32u * turn.step);
    var block = elem(0.0);
    for (var i = i1; i < end; i += turn.step) {
      let size = x[x_offset + i] & bits(0x7fffffffu);
      largest = max(largest, size);
      let value = bitcast<elem>(size);
      let is_small = size < bits(0x26800000u);
      let is_large = size > bits(0x58800000u);
      let up = select(elem(0.0), value * 1180591620717411303424.0, is_small);
      let down = select(elem(0.0), value * 8.470329472543003e-22, is_large);
      let same = select(select(value, elem(0.0), is_small), elem(0.0), is_large);
      small += up * up;
      block += same * same;
      large += down * down;
    }
    medium += block;
  }
  parts[group.x * WG + lane] = vec4(bitcast<u32>(fold(small)), bitcast<u32>(fold(medium)), bitcast<u32>(fold(large)), most(largest));
}
