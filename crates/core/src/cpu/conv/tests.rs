#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::{Shape, philox::Stream};

fn drawn(stream: &mut Stream, count: usize) -> Vec<f64> {
    (0..count).map(|_| f64::from(stream.uniform(-1.0, 1.0))).collect()
}

fn contiguous(sizes: [usize; 4]) -> Layout {
    Layout::contiguous(Shape::from_checked(&sizes))
}

/// The fast twin in f64 against the plain loop, all three directions: only the order of sums differs.
#[test]
fn columns_agree_with_the_plain_loop() {
    let mut stream = Stream::new(3, 0);
    let one = Conv2dOptions::new();
    let cases = [
        (one, [2, 3, 7, 5], [4, 3, 3, 2]),
        (one.padding([2, 1]).stride([2, 3]), [3, 4, 9, 11], [6, 4, 3, 5]),
        (one.dilation([2, 3]).padding(3), [1, 2, 8, 9], [5, 2, 3, 2]),
        (one.groups(3).padding(1), [2, 6, 5, 5], [9, 2, 3, 3]),
        (one.groups(4).stride(2), [2, 4, 6, 6], [4, 1, 2, 2]),
        (one.stride(3), [1, 1, 7, 7], [2, 1, 1, 1]),
        // A kernel that mostly lies in the padding.
        (one.padding(4), [1, 2, 3, 2], [2, 2, 5, 5]),
        // Rows of windows in several blocks.
        (one.padding(1), [2, 40, 60, 60], [3, 40, 3, 3]),
    ];
    for (options, x, w) in cases {
        let memory = Arc::default();
        let output = options_windows(&options, [x[2], x[3]], [w[2], w[3]]);
        let y = [x[0], w[0], output[0], output[1]];
        let (xl, wl, yl) = (contiguous(x), contiguous(w), contiguous(y));
        let g = Geometry::new(options, &xl, [w[2], w[3]], &yl);
        let values = [xl, wl, yl].map(|l| drawn(&mut stream, l.numel()));
        let src = |i: usize| Src { data: &values[i][..], layout: [xl, wl, yl][i] };
        let both = |to: Layout,
                    plain: &dyn Fn(Dst<'_, f64>),
                    fast: &dyn Fn(Dst<'_, f64>) -> Result<()>| {
            let mut want = vec![f64::NAN; to.numel()];
            plain(Dst { data: &mut want, layout: to });
            let mut got = vec![f64::NAN; to.numel()];
            fast(Dst { data: &mut got, layout: to }).unwrap();
            for (got, want) in got.iter().zip(&want) {
                assert!(
                    (got - want).abs() < 1e-12 * (1.0 + g.work() as f64).sqrt(),
                    "{options:?} {got} {want}"
                );
            }
        };
        both(yl, &|y| plain_forward(&g, src(0), src(1), y), &|y| {
            columns::forward(&g, &memory, src(0), src(1), y)
        });
        both(xl, &|x| plain_for_input(&g, src(2), src(1), x), &|x| {
            columns::for_input(&g, &memory, src(2), src(1), x)
        });
        both(wl, &|w| plain_for_weight(&g, src(0), src(2), w), &|w| {
            columns::for_weight(&g, &memory, src(0), src(2), w)
        });
    }
}

fn options_windows(options: &Conv2dOptions, size: [usize; 2], kernel: [usize; 2]) -> [usize; 2] {
    std::array::from_fn(|a| {
        let padded = size[a] + 2 * options.padding[a];
        (padded - options.dilation[a] * (kernel[a] - 1) - 1) / options.stride[a] + 1
    })
}
