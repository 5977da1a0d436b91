// batch_norm_params: how channels are cut into chunks. Item i is chunk i / channels of channel i % channels: some
// images, and of each a piece.

struct Params {
  images: u32, channels: u32, size: u32, items: u32,
  chunk_images: u32, piece: u32, pieces: u32, across: u32,   // across: threads side by side in a piece
  x_offset: u32, dy_offset: u32, statistics_offset: u32, unused: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;

// The channel, and the ranges of a chunk.
struct Chunk { channel: u32, first: u32, end: u32, start: u32, stop: u32 }

fn chunk_of(item: u32) -> Chunk {
  let chunk = item / params.channels;
  let first = (chunk / params.pieces) * params.chunk_images;
  let start = (chunk % params.pieces) * params.piece;
  return Chunk(item % params.channels, first, min(first + params.chunk_images, params.images), start,
               min(start + params.piece, params.size));
}
