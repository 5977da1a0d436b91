// watch: reports an index outside its range. The first operation to fail wins, and within it the
// lowest position; the host knows the operation by its serial number.

@group(0) @binding(9) var<storage, read_write> fault: array<atomic<u32>, 4>;

// Whether the index (as bits) lies in 0..limit; if not, notes its position.
fn legal(index: u32, limit: u32, position: u32, serial: u32) -> bool {
  if (index < limit) { return true; }
  let first = atomicMin(&fault[0], serial);
  if (first >= serial) { atomicMin(&fault[1], position); }
  return false;
}
