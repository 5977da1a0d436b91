// listed_positions: the candidates of a reduction are elements that an earlier pass found.

@group(0) @binding(3) var<storage, read> positions: array<u32>;

fn candidate(result: u32, number: u32) -> u32 {
  return positions[result * params.length + number];
}
