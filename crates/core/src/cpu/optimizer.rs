//! One step of an optimizer, in place, in f32. What a step changes arrives as contiguous outputs.

use super::{
    operand::{In, Out, elements},
    parallel,
    simd::vectorized,
};
use crate::{
    Error, Result,
    ops::optimizer::{NUMBERS, RANGE, Rule, Update},
};

/// A run of parameters with the same numbers.
#[derive(Clone, Copy)]
struct Range {
    length: usize,
    rate: f32,
    decay: f32,
}

/// The ranges that `hyper` lists, the last one up to the end.
fn ranges(hyper: &[f32], end: usize) -> Vec<Range> {
    let (rate, rows) = (hyper.first().copied().unwrap_or(0.0), hyper.get(NUMBERS..).unwrap_or(&[]));
    let start = |row: &[f32]| ((row[0] as usize) << 16) + row[1] as usize;
    let rows: Vec<&[f32]> = rows.chunks_exact(RANGE).collect();
    let ends = rows.iter().skip(1).map(|row| start(row)).chain([end]);
    rows.iter()
        .zip(ends)
        .map(|(row, end)| Range {
            length: end.saturating_sub(start(row)),
            rate: rate * row[2],
            decay: row[3],
        })
        .collect()
}

/// ins p, g, hyper, ..; outs p, moments, counters; see [`Rule`].
pub(super) fn update(op: &Update, ins: &[In<'_>], outs: &mut [Out<'_>]) -> Result<()> {
    let [_, g, hyper, ..] = ins else { return Err(wrong(op)) };
    let flags = op.flags().and_then(|i| ins.get(i)).map(|flags| flags.of::<u32>().elements());
    if flags.is_some_and(|flags| flags.first() != Some(&0)) {
        return Ok(());
    }
    let (g, hyper) = (g.of::<f32>().elements(), hyper.of::<f32>().elements());
    let ranges = ranges(&hyper, g.len());
    let &[_, n1, n2, n3, n4, n5, n6, n7, ..] = &hyper[..] else { return Err(wrong(op)) };
    match op.rule {
        Rule::Sgd { momentum: false, .. } => {
            each(lists(op, outs)?, &g, &ranges, |[p], g, range| {
                let Range { rate, decay, .. } = range;
                p.iter_mut().zip(g).for_each(|(p, &g)| *p -= rate * (g + decay * *p));
            });
        }
        Rule::Sgd { momentum: true, nesterov } => {
            each(lists(op, outs)?, &g, &ranges, |[p, v], g, range| {
                let Range { rate, decay, .. } = range;
                for ((p, &g), v) in p.iter_mut().zip(g).zip(v) {
                    let g = g + decay * *p;
                    *v = n1 * *v + g;
                    *p -= rate * if nesterov { g + n1 * *v } else { *v };
                }
            });
        }
        Rule::Adam { decoupled } => {
            let Some((steps, outs)) = outs.split_last_mut() else { return Err(wrong(op)) };
            let steps = elements::<f32>(steps);
            let t = steps.first().copied().unwrap_or(0.0) + 1.0;
            steps.fill(t);
            // 1 - βᵗ, which rounding would spoil for small t.
            let correction = |ln: f32| -f64::exp_m1(f64::from(t) * f64::from(ln)) as f32;
            let (correction1, correction2) = (correction(n6), correction(n7));
            each(lists(op, outs)?, &g, &ranges, |[p, m, v], g, range| {
                let Range { rate, decay, .. } = range;
                for ((p, &g), (m, v)) in p.iter_mut().zip(g).zip(m.iter_mut().zip(v)) {
                    let g = if decoupled {
                        *p -= rate * decay * *p;
                        g
                    } else {
                        g + decay * *p
                    };
                    *m = n1 * *m + n4 * g;
                    *v = n2 * *v + n5 * (g * g);
                    *p -= rate * (*m / correction1) / ((*v / correction2).sqrt() + n3);
                }
            });
        }
        Rule::RmsProp { centered, momentum } => {
            let spread = |s: &mut f32, g: f32| {
                *s = n1 * *s + n2 * (g * g);
                *s
            };
            let centre = |s: f32, a: &mut f32, g: f32| {
                *a = n1 * *a + n2 * g;
                // Rounding can make the variance negative.
                (s - *a * *a).max(0.0)
            };
            let ahead = |v: &mut f32, d: f32| {
                *v = n4 * *v + d;
                *v
            };
            match (centered, momentum) {
                (false, false) => each(lists(op, outs)?, &g, &ranges, |[p, s], g, range| {
                    for ((p, &g), s) in p.iter_mut().zip(g).zip(s) {
                        let g = g + range.decay * *p;
                        *p -= range.rate * (g / (spread(s, g).sqrt() + n3));
                    }
                }),
                (false, true) => each(lists(op, outs)?, &g, &ranges, |[p, s, v], g, range| {
                    for ((p, &g), (s, v)) in p.iter_mut().zip(g).zip(s.iter_mut().zip(v)) {
                        let g = g + range.decay * *p;
                        *p -= range.rate * ahead(v, g / (spread(s, g).sqrt() + n3));
                    }
                }),
                (true, false) => each(lists(op, outs)?, &g, &ranges, |[p, s, a], g, range| {
                    for ((p, &g), (s, a)) in p.iter_mut().zip(g).zip(s.iter_mut().zip(a)) {
                        let g = g + range.decay * *p;
                        *p -= range.rate * (g / (centre(spread(s, g), a, g).sqrt() + n3));
                    }
                }),
                (true, true) => each(lists(op, outs)?, &g, &ranges, |[p, s, a, v], g, range| {
                    let state = s.iter_mut().zip(a).zip(v);
                    for ((p, &g), ((s, a), v)) in p.iter_mut().zip(g).zip(state) {
                        let g = g + range.decay * *p;
                        let d = g / (centre(spread(s, g), a, g).sqrt() + n3);
                        *p -= range.rate * ahead(v, d);
                    }
                }),
            }
        }
        Rule::Adagrad => each(lists(op, outs)?, &g, &ranges, |[p, s], g, range| {
            for ((p, &g), s) in p.iter_mut().zip(g).zip(s) {
                let g = g + range.decay * *p;
                *s += g * g;
                *p -= range.rate * (g / (s.sqrt() + n1));
            }
        }),
        Rule::Lion => each(lists(op, outs)?, &g, &ranges, |[p, m], g, range| {
            for ((p, &g), m) in p.iter_mut().zip(g).zip(m) {
                let towards = n1 * *m + n3 * g;
                let sign = if towards == 0.0 { 0.0 } else { towards.signum() };
                *p -= range.rate * (sign + range.decay * *p);
                *m = n2 * *m + n4 * g;
            }
        }),
    }
    Ok(())
}

fn wrong(op: &Update) -> Error {
    Error::internal(op.rule.name(), "an optimizer's step with other operands than its rule has")
}

/// The elements of all outputs, which are as many as the rule has.
fn lists<'o, const N: usize>(op: &Update, outs: &'o mut [Out<'_>]) -> Result<[&'o mut [f32]; N]> {
    let all: Vec<&mut [f32]> = outs.iter_mut().map(elements).collect();
    all.try_into().map_err(|_| wrong(op))
}

/// Does something with lists of equal length, range by range.
fn each<const N: usize>(
    mut changed: [&mut [f32]; N],
    mut g: &[f32],
    ranges: &[Range],
    work: impl Fn([&mut [f32]; N], &[f32], Range) + Sync,
) {
    for &range in ranges {
        let Some(mine) = g.split_off(..range.length) else { return };
        let part = changed.each_mut().map(|x| x.split_off_mut(..range.length).unwrap_or_default());
        pieces(part, mine, |changed, g| work(changed, g, range));
    }
}

/// Elements that a thread takes at once.
const PIECE: usize = 1 << 16;

/// Does something with lists of equal length, piece by piece.
fn pieces<const N: usize>(
    mut changed: [&mut [f32]; N],
    g: &[f32],
    work: impl Fn([&mut [f32]; N], &[f32]) + Sync,
) {
    let tasks = g.chunks(PIECE).map(|g| {
        let piece = changed.each_mut().map(|x| x.split_off_mut(..g.len()).unwrap_or_default());
        (piece, g)
    });
    let tasks = tasks.collect();
    parallel::run(parallel::threads(g.len()), tasks, |(changed, g)| {
        vectorized(|| work(changed, g));
    });
}

#[cfg(test)]
mod tests {
    use super::pieces;

    /// About one piece, several, and so many that threads share them.
    #[test]
    fn pieces_meet_each_element_once_beside_its_neighbours() {
        for count in [0, 1, 65_535, 65_536, 65_537, 131_071, 600_011] {
            let g: Vec<f32> = (0..count).map(|i| i as f32).collect();
            let (mut p, mut v) = (vec![1.0; count], g.clone());
            pieces([&mut p, &mut v], &g, |[p, v], g| {
                for ((p, v), g) in p.iter_mut().zip(v).zip(g) {
                    *p += g;
                    *v -= g;
                }
            });
            let right = p.iter().zip(&g).all(|(p, g)| *p == 1.0 + g);
            assert!(right && v.iter().all(|v| *v == 0.0), "{count}");
        }
    }
}
