//! Memory that is taken, given back and taken again, against a model that only knows numbers.

use crate::{
    Law,
    dice::{Dice, case},
};
use wgrad_core::{DType, Device, Tensor};

/// A tensor, and what it must hold.
struct Held {
    tensor: Tensor,
    holds: Vec<f32>,
}

impl Held {
    #[track_caller]
    fn check(&self) {
        assert_eq!(self.tensor.to_vec::<f32>().unwrap(), self.holds);
    }
}

/// A size near those at which a pool rounds.
fn size(dice: &mut Dice) -> usize {
    let about = dice.pick(&[1, 16, 64, 256, 1024, 5000]);
    about + dice.number(0, 3) - dice.number(0, 1)
}

fn act(dice: &mut Dice, held: &mut Vec<Held>, number: usize, d: &Device) {
    let value = number as f32;
    let which = if held.is_empty() { 0 } else { dice.number(0, held.len() - 1) };
    match dice.number(0, if held.is_empty() { 1 } else { 9 }) {
        0 => {
            let holds: Vec<f32> = (0..size(dice)).map(|i| value + i as f32 / 8192.0).collect();
            let tensor = Tensor::from_vec(&holds, [holds.len()], d).unwrap();
            held.push(Held { tensor, holds });
        }
        1 => {
            let n = size(dice);
            let tensor = Tensor::full([n], number as f64, DType::F32, d).unwrap();
            held.push(Held { tensor, holds: vec![value; n] });
        }
        // Dropped, and again, so that there is something to take.
        2..=4 => drop(held.swap_remove(which)),
        // Another tensor of the same size, and one between that nobody keeps.
        5 | 6 => {
            let x = &held[which];
            let tensor = x.tensor.neg().unwrap().neg().unwrap().contiguous().unwrap();
            let holds = x.holds.clone();
            held.push(Held { tensor, holds });
        }
        // A part of it, which keeps all of its memory.
        7 => {
            let x = &held[which];
            let end = dice.number(0, x.holds.len());
            let tensor = x.tensor.slice(0, 0..end).unwrap().contiguous().unwrap();
            let holds = x.holds[..end].to_vec();
            held.push(Held { tensor, holds });
        }
        // Written in place: nobody else's numbers may change.
        8 => {
            let n = held[which].holds.len();
            let tensor = Tensor::full([n], -1.0, DType::F32, d).unwrap();
            let from = held[which].tensor.try_mul(1.0).unwrap();
            tensor.assign(&from).unwrap();
            let holds = held[which].holds.clone();
            held.push(Held { tensor, holds });
        }
        _ => held[which].check(),
    }
}

pub const LAWS: &[Law] = &[("tensors_keep_their_numbers_whatever_others_do", |d| {
    const SEED: u64 = 501;
    d.random_state().unwrap();
    d.sync().unwrap();
    let before = d.memory().in_use();
    let mut dice = Dice::new(SEED);
    for round in 0..3 {
        let mut held: Vec<Held> = Vec::new();
        for number in 0..400 {
            let _case = case!(SEED, round, number, held.len());
            act(&mut dice, &mut held, number, d);
            if number % 100 == 99 {
                held.iter().for_each(Held::check);
            }
        }
        drop(held);
        d.sync().unwrap();
        assert_eq!(d.memory().in_use(), before, "round {round}");
    }
})];
