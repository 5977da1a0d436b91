//! A text as numbers, windows of it, and what mere counting would predict.

use wgrad::{Result, philox::Stream, prelude::*};

/// A text whose characters are numbered; the last tenth is for testing.
pub struct Text {
    /// Every character there is, in order; its place is its number.
    characters: Vec<char>,
    numbers: Vec<i32>,
    train: usize,
}

impl Text {
    /// A text, or what is wrong with it; windows of `length` must fit into its last tenth.
    pub fn new(text: &str, length: usize) -> Result<Text, String> {
        let mut characters: Vec<char> = text.chars().collect();
        characters.sort_unstable();
        characters.dedup();
        let numbers: Vec<i32> =
            text.chars().map(|c| number(&characters, c).unwrap_or_default()).collect();
        let train = numbers.len() / 10 * 9;
        if train <= length || numbers.len() - train <= length {
            return Err(format!(
                "the text has {} characters; windows of {length} need more than {}",
                numbers.len(),
                length * 10
            ));
        }
        Ok(Text { characters, numbers, train })
    }

    /// How many different characters there are.
    pub fn classes(&self) -> usize {
        self.characters.len()
    }

    /// How many characters the text has.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The numbers of some characters, or the first one that the text does not contain.
    pub fn encode(&self, text: &str) -> Result<Vec<i32>, char> {
        text.chars().map(|c| number(&self.characters, c).ok_or(c)).collect()
    }

    /// The character of a number.
    pub fn decode(&self, number: i32) -> char {
        let at = usize::try_from(number).ok();
        at.and_then(|at| self.characters.get(at)).copied().unwrap_or('\u{fffd}')
    }

    /// So many windows from anywhere in the text to train on, each with the same one character later.
    pub fn windows(&self, length: usize, count: usize) -> Windows {
        Windows { numbers: self.numbers[..self.train].to_vec(), length, count }
    }

    /// Windows evenly over the text to test on.
    pub fn test_windows(
        &self,
        part: usize,
        parts: usize,
        batch: usize,
        length: usize,
        device: &Device,
    ) -> Result<[Tensor; 2]> {
        let places = self.numbers.len() - self.train - length;
        let start = |i: usize| self.train + (part * batch + i) * places / (parts * batch);
        self.pair(&(0..batch).map(start).collect::<Vec<_>>(), length, device)
    }

    fn pair(&self, starts: &[usize], length: usize, device: &Device) -> Result<[Tensor; 2]> {
        let from = |shift: usize| -> Result<Tensor> {
            let rows = starts.iter().flat_map(|&s| &self.numbers[s + shift..s + shift + length]);
            let rows: Vec<i32> = rows.copied().collect();
            Tensor::from_vec(rows, [starts.len(), length], device)
        };
        Ok([from(0)?, from(1)?])
    }

    /// The loss on the last tenth of who only counts in the rest: how often each character comes, and how often
    /// after each other one. Every count starts at 1, so that nothing is impossible.
    pub fn counted(&self) -> (f64, f64) {
        let n = self.characters.len();
        let (mut single, mut pairs) = (vec![1.0; n], vec![1.0; n * n]);
        let (train, test) = self.numbers.split_at(self.train);
        for pair in train.windows(2) {
            single[pair[1] as usize] += 1.0;
            pairs[pair[0] as usize * n + pair[1] as usize] += 1.0;
        }
        let total: f64 = single.iter().sum();
        let (mut one, mut two) = (0.0, 0.0);
        for pair in test.windows(2) {
            let (before, now) = (pair[0] as usize, pair[1] as usize);
            let row = &pairs[before * n..(before + 1) * n];
            one -= (single[now] / total).ln();
            two -= (row[now] / row.iter().sum::<f64>()).ln();
        }
        let count = (test.len() - 1) as f64;
        (one / count, two / count)
    }
}

/// Windows at random places, new ones in each epoch of a loader.
pub struct Windows {
    numbers: Vec<i32>,
    length: usize,
    count: usize,
}

impl Samples for Windows {
    fn len(&self) -> usize {
        self.count
    }

    fn get(&self, _: usize, random: &mut Stream) -> Result<Vec<Array>> {
        let places = u32::try_from(self.numbers.len() - self.length).unwrap_or(u32::MAX);
        let start = random.below(places) as usize;
        let from =
            |at: usize| Array::i32([self.length], self.numbers[at..at + self.length].to_vec());
        Ok(vec![from(start)?, from(start + 1)?])
    }
}

fn number(characters: &[char], c: char) -> Option<i32> {
    characters.binary_search(&c).ok().and_then(|at| i32::try_from(at).ok())
}
