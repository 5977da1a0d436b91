// pool_windows: what the poolings are told, and which elements belong to which window. Windows go down (1) and across (2)
// an image of size_1 x size_2; there are out_1 x out_2 of them, where ADAPTIVE is 1 as even as they go.

struct Params {
  count: u32, channels: u32, size_1: u32, size_2: u32,   // count: elements written
  out_1: u32, out_2: u32, kernel_1: u32, kernel_2: u32,
  stride_1: u32, stride_2: u32, pad_1: u32, pad_2: u32,
  x_offset: u32, x_n: u32, x_c: u32, x_1: u32,           // what is read, at any strides
  x_2: u32, y_offset: u32, index_offset: u32, with_index: u32,
  padding_counts: u32, unused_0: u32, unused_1: u32, unused_2: u32,
}
@group(0) @binding(0) var<uniform> params: Params;

struct Span { first: u32, end: u32 }

fn unpadded(at: u32, pad: u32, size: u32) -> u32 {
  return min(max(at, pad) - pad, size);
}

// The elements of window i.
fn span_of(i: u32, kernel: u32, stride: u32, pad: u32, size: u32, count: u32) -> Span {
  if (ADAPTIVE == 1u) {
    return Span(over(i * size, count), over((i + 1u) * size + count - 1u, count));
  }
  return Span(unpadded(i * stride, pad, size), unpadded(i * stride + kernel, pad, size));
}

// The windows that show element i.
fn shown_by(i: u32, kernel: u32, stride: u32, pad: u32, size: u32, count: u32) -> Span {
  if (ADAPTIVE == 1u) {
    return Span(over(i * count, size), over((i + 1u) * count + size - 1u, size));
  }
  let at = i + pad;
  let first = select(0u, over(max(at, kernel) - kernel, stride) + 1u, at >= kernel);
  return Span(first, min(over(at, stride) + 1u, count));
}

// What a mean divides by along one axis.
fn counted(span: Span, kernel: u32) -> u32 {
  return select(span.end - span.first, kernel, params.padding_counts == 1u);
}

fn span_1(i: u32) -> Span {
  return span_of(i, params.kernel_1, params.stride_1, params.pad_1, params.size_1, params.out_1);
}

fn span_2(i: u32) -> Span {
  return span_of(i, params.kernel_2, params.stride_2, params.pad_2, params.size_2, params.out_2);
}

fn shown_1(i: u32) -> Span {
  return shown_by(i, params.kernel_1, params.stride_1, params.pad_1, params.size_1, params.out_1);
}

fn shown_2(i: u32) -> Span {
  return shown_by(i, params.kernel_2, params.stride_2, params.pad_2, params.size_2, params.out_2);
}

// Where plane number i of what is read begins.
fn plane_at(i: u32) -> u32 {
  let image = over(i, params.channels);
  return params.x_offset + image * params.x_n + (i - image * params.channels) * params.x_c;
}
