//! Attention and embedding: shapes that do not fit, rows that see nothing, indices that are not there.

use crate::{Fault, floats, read, refused, whole};
use wgrad::nn::{Embedding, Init, Layer, Module};
use wgrad_core::{AttentionOptions, DType, Device, ErrorKind, Tensor};

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

pub const ROWS: &[Fault] = &[
    ("A23_attention_of_sizes_that_do_not_fit", |d| {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, d).unwrap();
        let none = AttentionOptions::default();
        let attend = |q: &[usize], k: &[usize], v: &[usize], options: AttentionOptions<'_>| {
            zeros(q).attention(&zeros(k), &zeros(v), options)
        };
        let (q, k, v) = (&[2, 3, 4][..], &[2, 5, 4][..], &[2, 5, 6][..]);
        assert_eq!(attend(q, k, v, none).unwrap().shape(), [2, 3, 6]);
        refused(
            attend(q, &[2, 5, 3], v, none),
            ErrorKind::Shape,
            &["queries [2, 3, 4]", "keys [2, 5, 3]"],
        );
        refused(attend(q, k, &[2, 6, 6], none), ErrorKind::Shape, &["as many values", "[2, 6, 6]"]);
        refused(attend(q, &[3, 5, 4], v, none), ErrorKind::Shape, &["leading sizes"]);
        refused(attend(&[4], k, v, none), ErrorKind::Rank, &["rank 2"]);
        for bad in [&[3, 4][..], &[2, 1, 3, 5], &[3, 3, 5]] {
            let mask = Tensor::full(bad, 1.0, DType::Bool, d).unwrap();
            let options = AttentionOptions { mask: Some(&mask), ..none };
            refused(attend(q, k, v, options), ErrorKind::Shape, &["mask", &format!("{bad:?}")]);
        }
        let mask = zeros(&[3, 5]);
        let options = AttentionOptions { mask: Some(&mask), ..none };
        refused(attend(q, k, v, options), ErrorKind::DType, &["mask", "f32"]);
        for scale in [NAN, INF] {
            let options = AttentionOptions { scale: Some(scale), ..none };
            refused(attend(q, k, v, options), ErrorKind::Argument, &["scale"]);
        }
        let whole = Tensor::full([2, 3, 4], 1.0, DType::I32, d).unwrap();
        refused(whole.attention(&whole, &whole, none), ErrorKind::DType, &["i32"]);
    }),
    ("A23_causal_with_unequal_lengths", |d| {
        // The last query sees every key; with fewer keys than queries the first queries see nothing.
        let weights = |q: usize, k: usize| {
            read(&Tensor::zeros([q, k], d).unwrap().masked_softmax(None, true, 1.0).unwrap())
        };
        assert_eq!(weights(1, 4), [0.25; 4]);
        let half = 0.5;
        assert_eq!(weights(3, 2), [0.0, 0.0, 1.0, 0.0, half, half]);
        assert_eq!(weights(2, 4)[4..], [0.25; 4]);
        assert_eq!(weights(2, 4)[3], 0.0);
        refused(
            Tensor::zeros([4], d).unwrap().masked_softmax(None, true, 1.0),
            ErrorKind::Rank,
            &["[4]"],
        );
    }),
    ("B4_what_is_masked_has_no_weight_and_no_slope", |d| {
        // As long as the rows of either kind of memory access.
        for n in [3, 8, 70, 132] {
            let keep: Vec<bool> = (0..n).map(|i| i % 3 != 1).collect();
            let mut values = vec![0.5f32; n];
            for (i, x) in values.iter_mut().enumerate().filter(|(i, _)| !keep[*i]) {
                *x = [INF, NAN, -INF, 3e38][i % 4];
            }
            let mask = Tensor::from_vec(&keep, [n], d).unwrap();
            let x = floats(&values, &[1, n], d).requiring_grad();
            let p = x.masked_softmax(Some(&mask), false, 2.0).unwrap();
            let dy: Vec<f32> = keep.iter().map(|&keep| if keep { 1.0 } else { NAN }).collect();
            let gradients = p.backward_with(&floats(&dy, &[1, n], d)).unwrap();
            let (p, g) = (read(&p), read(gradients.wrt(&x).unwrap()));
            for i in 0..n {
                assert_eq!(p[i] > 0.0, keep[i], "{p:?}");
                assert!(keep[i] || (p[i] == 0.0 && g[i] == 0.0), "{p:?} {g:?}");
                assert!(g[i].is_finite(), "{g:?}");
            }
        }
    }),
    ("B5_rows_that_see_nothing_are_zero", |d| {
        for n in [2, 8, 70, 132] {
            let mut values = vec![-INF; n];
            values.extend(vec![0.0; n]);
            values.extend(vec![NAN; n]);
            let x = floats(&values, &[3, n], d).requiring_grad();
            let mask = Tensor::from_vec([true, true, false], [3, 1], d).unwrap();
            let p = x.masked_softmax(Some(&mask), false, 1.0).unwrap();
            let g = p.backward_with(&Tensor::ones([3, n], d).unwrap()).unwrap();
            let (p, g) = (read(&p), read(g.wrt(&x).unwrap()));
            assert_eq!(p[..n], vec![0.0; n]);
            assert!(p[n..2 * n].iter().all(|&p| p > 0.0));
            assert_eq!(p[2 * n..], vec![0.0; n]);
            assert!(g[..n].iter().chain(&g[2 * n..]).all(|&g| g == 0.0), "{g:?}");
        }
    }),
    ("B6_a_query_that_sees_nothing", |d| {
        let draw = |shape: &[usize], seed: usize| {
            let count: usize = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|i| ((i * 5 + seed) % 7) as f32 - 3.0).collect();
            floats(&values, shape, d).requiring_grad()
        };
        let (q, k, v) = (draw(&[2, 3, 4], 1), draw(&[2, 5, 4], 2), draw(&[2, 5, 4], 3));
        // In the first batch query 1 sees nothing, in the second nobody does.
        let seen: Vec<bool> = (0..6).map(|i| i < 3 && i != 1).collect();
        let mask = Tensor::from_vec(seen, [2, 3, 1], d).unwrap();
        let options = AttentionOptions { mask: Some(&mask), ..AttentionOptions::default() };
        let y = q.attention(&k, &v, options).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let [dq, dk, dv] = [&q, &k, &v].map(|x| read(gradients.wrt(x).unwrap()));
        let y = read(&y);
        assert_eq!((&y[4..8], &y[12..]), (&[0.0; 4][..], &[0.0; 12][..]));
        assert!(y[..4].iter().any(|&y| y != 0.0));
        assert_eq!((&dq[4..8], &dq[12..]), (&[0.0; 4][..], &[0.0; 12][..]));
        assert_eq!((&dk[20..], &dv[20..]), (&[0.0; 20][..], &[0.0; 20][..]));
        assert!([dq, dk, dv].iter().flatten().all(|g| g.is_finite()));
    }),
    ("B7_bad_scores_stay_in_their_row", |d| {
        for n in [2, 8, 70] {
            for bad in [NAN, INF] {
                let mut values = vec![0.0; 3 * n];
                values[n + 1] = bad;
                let x = floats(&values, &[3, n], d);
                let p = read(&x.masked_softmax(None, false, 1.0).unwrap());
                assert!(p[n..2 * n].iter().all(|p| p.is_nan()), "{bad} {p:?}");
                assert!(p[..n].iter().chain(&p[2 * n..]).all(|p| p.is_finite()), "{bad} {p:?}");
                // What is not seen stays 0 beside it.
                let mask: Vec<bool> = (0..n).map(|j| j != 0).collect();
                let mask = Tensor::from_vec(mask, [n], d).unwrap();
                let p = read(&x.masked_softmax(Some(&mask), false, 1.0).unwrap());
                assert!(p[n] == 0.0 && p[n + 1].is_nan(), "{bad} {p:?}");
            }
        }
    }),
    ("B3_scores_of_any_size", |d| {
        let rows = [[3e38, -3e38, 0.0, 3e38], [-3e38; 4], [1e4, -1e4, 0.0, 1e4]];
        let p = floats(&rows.concat(), &[3, 4], d).masked_softmax(None, false, 1.0);
        let half = 0.5;
        let want = [half, 0.0, 0.0, half, 0.25, 0.25, 0.25, 0.25, half, 0.0, 0.0, half];
        assert_eq!(read(&p.unwrap()), want);
    }),
    ("C1_embedding_index_outside", |d| {
        let words = embedding(4, d);
        for bad in [4, -1, i32::MIN, 2_000_000_000] {
            let rows = words.forward(&whole(&[0, 3, bad, 1], d));
            let text = format!("index {bad} at position 2");
            refused(rows.and_then(|rows| rows.to_vec::<f32>()), ErrorKind::Index, &[&text, "0..4"]);
        }
        assert_eq!(read(&words.forward(&whole(&[3], d)).unwrap()).len(), 3, "the next call works");
    }),
    ("C5_an_embedding_index_a_thousand_times", |d| {
        let words = embedding(4, d);
        let index = whole(&[2; 1000], d);
        let gradient = || {
            let rows = words.forward(&index).unwrap();
            let cotangent: Vec<f32> = (0..3000).map(|i| (i % 17) as f32 * 0.125).collect();
            let gradients = rows.backward_with(&floats(&cotangent, &[1000, 3], d)).unwrap();
            read(gradients.wrt(words.weight.tensor().unwrap()).unwrap())
        };
        let mut want = vec![0.0; 12];
        (0..3000).for_each(|i| want[6 + i % 3] += (i % 17) as f32 * 0.125);
        assert_eq!(gradient(), want);
        assert_eq!(gradient(), gradient());
    }),
    ("C6_no_embedding_index", |d| {
        for count in [0, 4] {
            let words = embedding(count, d);
            let rows = words.forward(&whole(&[], d)).unwrap();
            assert_eq!(rows.shape(), [0, 3]);
            let gradients = rows.sum_all().unwrap().backward().unwrap();
            let weight = words.weight.tensor().unwrap();
            assert_eq!(read(gradients.wrt(weight).unwrap()), vec![0.0; count * 3]);
        }
    }),
    ("C9_embedding_indices_are_whole", |d| {
        let index = floats(&[0.0, NAN], &[2], d);
        refused(embedding(4, d).forward(&index), ErrorKind::DType, &["f32"]);
    }),
    ("F_pieces_that_the_loss_does_not_need", |d| {
        let x = floats(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5], d).requiring_grad();
        let pieces = x.split(0, 2).unwrap();
        let slope = |y: &Tensor| read(y.backward().unwrap().wrt(&x).unwrap());
        assert_eq!(slope(&pieces[2].sum_all().unwrap()), [0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(slope(&pieces[2]), [0.0, 0.0, 0.0, 0.0, 1.0]);
        let both = pieces[1].square().unwrap().sum_all().unwrap();
        let both = both.try_add(&pieces[1].sum_all().unwrap()).unwrap();
        assert_eq!(slope(&both), [0.0, 0.0, 7.0, 9.0, 0.0]);
        refused(x.split(0, 0), ErrorKind::Argument, &["size 0"]);
        refused(x.split(1, 2), ErrorKind::Axis, &["axis 1"]);
        assert_eq!(x.split(0, usize::MAX).unwrap().len(), 1);
        assert!(Tensor::zeros([0], d).unwrap().split(0, 3).unwrap().is_empty());
        refused(Tensor::stack(&[], 0), ErrorKind::Argument, &["empty list"]);
    }),
];

fn embedding(count: usize, d: &Device) -> Embedding {
    Embedding::new(count, 3, &mut Init::new(1)).unwrap().on(d).unwrap()
}
