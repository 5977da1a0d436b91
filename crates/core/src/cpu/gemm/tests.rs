//! Against the plain triple loop, with each set of instructions that this machine has.

use super::{DEPTH, Finish, Matrix, Product, Tiled};
use crate::cpu::simd::{self, Level};
use std::sync::Arc;

const LEVELS: &[Level] = &[
    Level::Base,
    #[cfg(target_arch = "x86_64")]
    Level::Avx2,
    #[cfg(target_arch = "x86_64")]
    Level::Avx512,
];

/// Rows, inner size, columns: none, one, primes, about the edges of tiles, slices and groups of panels,
/// much narrower than a tile in either direction, and large enough to be cut in several ways.
const SIZES: [[usize; 3]; 19] = [
    [0, 3, 2],
    [3, 0, 2],
    [2, 3, 0],
    [1, 1, 1],
    [1, 67, 300],
    [300, 67, 1],
    [2, 5, 3],
    [11, 13, 31],
    [12, 16, 32],
    [13, 17, 33],
    [6, DEPTH, 16],
    [7, DEPTH + 1, 17],
    [5, 3 * DEPTH - 1, 9],
    [97, 19, 257],
    [98, 31, 259],
    [10, 100, 523],
    [523, 100, 10],
    [193, 130, 70],
    [100, 400, 129],
];

/// Numbers of both signs without a pattern.
fn numbers(count: usize, seed: u32) -> Vec<f64> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 23) - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// A matrix in memory of its own: row-major, column-major, with gaps in rows, with gaps everywhere.
struct Held<T> {
    data: Vec<T>,
    rows: usize,
    columns: usize,
    steps: [usize; 2],
}

impl<T: Tiled> Held<T> {
    fn new(numbers: &[T], rows: usize, columns: usize, way: usize) -> Self {
        let steps = [[columns, 1], [1, rows], [columns + 5, 1], [3 * columns + 2, 3]][way];
        let mut data = vec![T::from_f64(f64::NAN); rows * steps[0] + columns * steps[1] + 1];
        for (at, &x) in numbers.iter().enumerate() {
            data[at / columns * steps[0] + at % columns * steps[1]] = x;
        }
        Self { data, rows, columns, steps }
    }

    fn view(&self) -> Matrix<'_, T> {
        let (&[row_step, column_step], data) = (&self.steps, &self.data[..]);
        Matrix { data, rows: self.rows, columns: self.columns, row_step, column_step }
    }
}

fn product<T: Tiled>(
    level: Level,
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    threads: usize,
    finish: Option<Finish<'_, T>>,
) -> Vec<f64> {
    let mut c = vec![T::from_f64(f64::NAN); a.rows * b.columns];
    let product = Product { a, b, c: &mut c, finish, threads };
    T::product(level, &Arc::default(), product).unwrap();
    c.into_iter().map(T::to_f64).collect()
}

fn check<T: Tiled>(epsilon: f64) {
    for &level in LEVELS.iter().filter(|level| **level <= simd::level()) {
        for [m, k, n] in SIZES {
            let [x, y]: [Vec<T>; 2] = [numbers(m * k, 1), numbers(k * n, 2)]
                .map(|numbers| numbers.into_iter().map(T::from_f64).collect());
            let [a, b] = [Held::new(&x, m, k, 0), Held::new(&y, k, n, 0)];
            let first = product(level, a.view(), b.view(), 1, None);
            let what = format!("{level:?} {m} x {k} x {n}");
            for (at, &got) in first.iter().enumerate() {
                let term = |p: usize| x[at / n * k + p].to_f64() * y[p * n + at % n].to_f64();
                let want: f64 = (0..k).map(term).sum();
                let scale: f64 = (0..k).map(|p| term(p).abs()).sum();
                let near = (got - want).abs() <= (4.0 + (k as f64).sqrt()) * epsilon * scale;
                assert!(near, "{what}: element {at} is {got}, not {want}");
            }
            // The same bits however operands lie, whoever does what, and transposed as a whole.
            for way in 1..4 {
                let [a, b] = [Held::new(&x, m, k, way), Held::new(&y, k, n, way)];
                for threads in [1, 2, 5] {
                    assert_eq!(product(level, a.view(), b.view(), threads, None), first, "{what}");
                }
                let flipped = product(level, b.view().transposed(), a.view().transposed(), 3, None);
                let back: Vec<f64> = (0..m * n).map(|at| flipped[at % n * m + at / n]).collect();
                assert_eq!(back, first, "{what}, transposed");
            }
            let finish = |first: usize, row: &mut [T]| {
                row.iter_mut()
                    .enumerate()
                    .for_each(|(j, y)| *y = *y + T::from_f64((first + j) as f64));
            };
            let want = first.iter().enumerate();
            let want =
                want.map(|(at, &c)| (T::from_f64(c) + T::from_f64((at % n) as f64)).to_f64());
            let got = product(level, a.view(), b.view(), 2, Some(&finish));
            assert_eq!(got, want.collect::<Vec<_>>(), "{what}, finished");
        }
    }
}

#[test]
fn f32_products_are_right() {
    check::<f32>(f64::from(f32::EPSILON));
}

/// Another implementation, in f64: the two may differ by roundings alone.
#[test]
fn ndarray_says_the_same() {
    let (m, k, n) = (61, 200, 47);
    let (x, y) = (numbers(m * k, 5), numbers(k * n, 6));
    let [a, b] = [Held::new(&x, m, k, 0), Held::new(&y, k, n, 0)];
    let matrix = |rows, columns, data: &[f64]| {
        ndarray::Array2::from_shape_vec((rows, columns), data.to_vec()).unwrap()
    };
    let (left, right) = (matrix(m, k, &x), matrix(k, n, &y));
    let (want, scale) = (left.dot(&right), left.mapv(f64::abs).dot(&right.mapv(f64::abs)));
    for (got, (want, scale)) in
        product(simd::level(), a.view(), b.view(), 1, None).iter().zip(want.iter().zip(&scale))
    {
        let near = (got - want).abs() <= 2.0 * (4.0 + (k as f64).sqrt()) * f64::EPSILON * scale;
        assert!(near, "{got}, not {want}");
    }
}

#[test]
fn f64_products_are_right() {
    check::<f64>(f64::EPSILON);
}

/// A broadcast operand repeats memory: steps of 0.
#[test]
fn steps_of_zero_repeat() {
    let (ones, row) = ([1.0f32], numbers(40, 3).iter().map(|&x| x as f32).collect::<Vec<_>>());
    let a = Matrix { data: &ones[..], rows: 15, columns: 7, row_step: 0, column_step: 0 };
    let b = Matrix { data: &row[..], rows: 7, columns: 40, row_step: 0, column_step: 1 };
    for &level in LEVELS.iter().filter(|level| **level <= simd::level()) {
        let c = product(level, a, b, 1, None);
        for (at, &c) in c.iter().enumerate() {
            let want = 7.0 * f64::from(row[at % 40]);
            assert!((c - want).abs() <= 1e-6 * want.abs(), "{level:?}: {c}, not {want}");
        }
    }
}

/// NaN and infinities reach exactly the rows and columns they belong to.
#[test]
fn what_is_no_number_stays_in_its_row_and_column() {
    let (m, k, n) = (14, 9, 35);
    let (mut x, y) = (vec![1.0f32; m * k], vec![1.0f32; k * n]);
    x[3 * k + 2] = f32::NAN;
    x[13 * k + 8] = f32::INFINITY;
    let [a, b] = [Held::new(&x, m, k, 0), Held::new(&y, k, n, 1)];
    for &level in LEVELS.iter().filter(|level| **level <= simd::level()) {
        for (at, &c) in product(level, a.view(), b.view(), 1, None).iter().enumerate() {
            match at / n {
                3 => assert!(c.is_nan(), "{level:?}: element {at} is {c}"),
                13 => assert_eq!(c, f64::INFINITY, "{level:?}: element {at}"),
                _ => assert_eq!(c, k as f64, "{level:?}: element {at}"),
            }
        }
    }
}
