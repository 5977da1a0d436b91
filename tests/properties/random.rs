//! Streams of random numbers: the same everywhere, evenly spread, and apart from each other.

use crate::{
    Law,
    support::{
        compare::bits,
        inputs::read,
        tolerance::{
            CHI_SQUARED, NORMAL_FOURTH, NORMAL_MEAN, NORMAL_THIRD, NORMAL_VARIANCE, UNIFORM_MEAN,
        },
    },
};
use std::collections::HashSet;
use wgrad_core::{Device, Tensor, cpu::Cpu};

/// How far the counts of even bins lie from even, in standard deviations of χ² with one bin less.
#[track_caller]
fn even(counts: &[usize]) {
    let expected = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    let squares = counts.iter().map(|&n| (n as f64 - expected).powi(2) / expected);
    let freedom = (counts.len() - 1) as f64;
    let off = (squares.sum::<f64>() - freedom) / (2.0 * freedom).sqrt();
    assert!(off.abs() <= CHI_SQUARED, "{off} deviations: {counts:?}");
}

fn uniform(n: usize, d: &Device) -> Vec<f64> {
    read(&Tensor::uniform([n], 0.0, 1.0, d).unwrap()).unwrap()
}

/// The share of a normal distribution below x.
fn below(x: f64) -> f64 {
    // Simpson's rule from 0, in 200 pieces.
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let h = x / 200.0;
    let weight = |i: i32| if i == 0 || i == 200 { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
    0.5 + (0..=200).map(|i| weight(i) * density(h * f64::from(i))).sum::<f64>() * h / 3.0
}

pub const LAWS: &[Law] = &[
    ("random_numbers_are_those_of_the_cpu", |d| {
        let cpu = Device::new(Box::new(Cpu::new()));
        for seed in [0, 7, u64::MAX] {
            let [here, there] = [d, &cpu].map(|device| {
                device.seed(seed).unwrap();
                uniform(1001, device)
            });
            bits("uniform", &[1001], &here, &there).unwrap();
            // Whatever was drawn, both streams go on at the same place.
            let [here, there] = [d, &cpu].map(|device| {
                Tensor::normal([37], 0.0, 1.0, device).unwrap();
                Tensor::ones([5, 11], device).unwrap().dropout(0.5).unwrap();
                (device.random_state().unwrap(), uniform(9, device))
            });
            assert_eq!(here, there);
        }
    }),
    ("uniform_numbers_are_even", |d| {
        const N: usize = 1 << 17;
        for seed in [1, 2, u64::MAX / 3] {
            d.seed(seed).unwrap();
            let all = uniform(N, d);
            assert!(all.iter().all(|x| (0.0..1.0).contains(x)));
            let mean = all.iter().sum::<f64>() / N as f64;
            assert!((mean - 0.5).abs() <= UNIFORM_MEAN, "{mean}");
            let bin = |x: f64, bins: usize| (x * bins as f64) as usize;
            let mut counts = vec![0; 256];
            all.iter().for_each(|&x| counts[bin(x, 256)] += 1);
            even(&counts);
            // Neighbours know nothing of each other, nor do the numbers of one counter.
            for apart in [1, 4] {
                let mut counts = vec![0; 256];
                for pair in all.chunks(apart + 1).filter(|pair| pair.len() > apart) {
                    counts[bin(pair[0], 16) * 16 + bin(pair[apart], 16)] += 1;
                }
                even(&counts);
            }
            // The lowest digits of 24 are as even.
            let mut counts = vec![0; 64];
            all.iter().for_each(|&x| counts[(x * 16_777_216.0) as usize % 64] += 1);
            even(&counts);
        }
    }),
    ("normal_numbers_are_normal", |d| {
        const N: usize = 1 << 17;
        d.seed(5).unwrap();
        let all = read(&Tensor::normal([N], 3.0, 2.0, d).unwrap()).unwrap();
        let all: Vec<f64> = all.iter().map(|x| (x - 3.0) / 2.0).collect();
        let moment = |k: i32| all.iter().map(|x| x.powi(k)).sum::<f64>() / N as f64;
        assert!(moment(1).abs() <= NORMAL_MEAN, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() <= NORMAL_VARIANCE, "{}", moment(2));
        assert!(moment(3).abs() <= NORMAL_THIRD, "{}", moment(3));
        assert!((moment(4) - 3.0).abs() <= NORMAL_FOURTH, "{}", moment(4));
        let mut counts = vec![0; 64];
        all.iter().for_each(|&x| counts[((below(x) * 64.0) as usize).min(63)] += 1);
        even(&counts);
    }),
    ("dropout_keeps_its_share", |d| {
        const N: usize = 1 << 16;
        let ones = Tensor::ones([N], d).unwrap();
        for p in [0.5f32, 0.1, 0.9] {
            d.seed(6).unwrap();
            let y = read(&ones.dropout(p).unwrap()).unwrap();
            let scale = f64::from((1.0 / (1.0 - f64::from(p))) as f32);
            assert!(y.iter().all(|&y| y == 0.0 || y == scale), "{p}");
            // Two unequal bins, as two even ones: (n - np)² / np(1-p) is χ² with one degree of freedom.
            let dropped = y.iter().filter(|&&y| y == 0.0).count() as f64;
            let share = f64::from(p);
            let off = (dropped - N as f64 * share) / (N as f64 * share * (1.0 - share)).sqrt();
            assert!(off.abs() <= CHI_SQUARED, "{off} deviations at {p}");
            let mut pairs = vec![0; 4];
            if p == 0.5 {
                for pair in y.chunks(2) {
                    pairs[usize::from(pair[0] == 0.0) * 2 + usize::from(pair[1] == 0.0)] += 1;
                }
                even(&pairs);
            }
        }
    }),
    ("streams_are_apart", |d| {
        // Four numbers of 24 bits tell a counter and a key: none comes twice, whoever draws.
        let mut seen = HashSet::new();
        let mut fresh = |numbers: &[f64]| {
            for four in numbers.chunks_exact(4) {
                let bits: Vec<u64> = four.iter().map(|x| x.to_bits()).collect();
                assert!(seen.insert(bits), "{four:?} came twice");
            }
        };
        // Seeds as ranks give them: one base, and the rank added.
        for rank in 0..8u64 {
            d.seed(1234 + rank).unwrap();
            fresh(&uniform(4000, d));
            // Not a multiple of four: the rest of a counter is passed over.
            fresh(&uniform(4001, d));
            Tensor::ones([999], d).unwrap().dropout(0.5).unwrap();
            Tensor::normal([77], 0.0, 1.0, d).unwrap();
            fresh(&uniform(4000, d));
        }
        for high in 1..4u64 {
            d.seed(1234 + (high << 32)).unwrap();
            fresh(&uniform(4000, d));
        }
        // A state that is put back gives the same numbers again.
        let state = d.random_state().unwrap();
        let first = uniform(13, d);
        d.set_random_state(state).unwrap();
        assert_eq!(uniform(13, d), first);
    }),
];
