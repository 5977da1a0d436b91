//! Text as numbers: a vocabulary of characters or bytes, and windows to learn the next one from.

use super::{Array, Samples};
use std::{collections::BTreeMap, fs, path::Path};
use wgrad_core::{Error, Result, philox::Stream};

/// The characters a text is made of, each with a number.
///
/// ```
/// use wgrad_nn::Vocabulary;
/// let words = Vocabulary::of("hello")?;
/// assert_eq!(words.len(), 4);
/// assert_eq!(words.encode("hole")?, [1, 3, 2, 0]); // e h l o
/// assert_eq!(words.decode(&[1, 3, 2, 0])?, "hole");
/// assert!(words.encode("halo").is_err());
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    characters: Vec<char>,
    numbers: BTreeMap<char, i32>,
}

impl Vocabulary {
    /// The different characters of a text, in their order. A text without any is an error.
    #[track_caller]
    pub fn of(text: &str) -> Result<Self> {
        let numbers: BTreeMap<char, i32> = text.chars().map(|c| (c, 0)).collect();
        if numbers.is_empty() {
            return Err(Error::empty("vocabulary", "the text has no character"));
        }
        let characters: Vec<char> = numbers.into_keys().collect();
        let numbers = characters.iter().zip(0..).map(|(&c, i)| (c, i)).collect();
        Ok(Self { characters, numbers })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.characters.len()
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        self.characters.is_empty()
    }

    /// A text as numbers; a character that is not known is an error with its place.
    #[track_caller]
    pub fn encode(&self, text: &str) -> Result<Vec<i32>> {
        let mut numbers = Vec::with_capacity(text.len());
        for (place, c) in text.chars().enumerate() {
            match self.numbers.get(&c) {
                Some(&number) => numbers.push(number),
                None => {
                    return Err(Error::data(
                        "vocabulary",
                        format!(
                            "{c:?}, character {place} of the text, is not among the {} known",
                            self.len()
                        ),
                    ));
                }
            }
        }
        Ok(numbers)
    }

    /// Numbers as a text.
    #[track_caller]
    pub fn decode(&self, numbers: &[i32]) -> Result<String> {
        let mut text = String::with_capacity(numbers.len());
        for (place, &number) in numbers.iter().enumerate() {
            match usize::try_from(number).ok().and_then(|i| self.characters.get(i)) {
                Some(&c) => text.push(c),
                None => {
                    return Err(Error::index(
                        "vocabulary",
                        format!(
                            "number {number} at position {place} lies outside 0..{}",
                            self.len()
                        ),
                    ));
                }
            }
        }
        Ok(text)
    }
}

/// Every window of a sequence, to predict the next element at each of its places: inputs `[length]` and targets
/// `[length]` (i32), which are the same one further.
///
/// ```
/// use wgrad_core::philox::Stream;
/// use wgrad_nn::{Samples, Windows};
/// let windows = Windows::new(vec![5, 6, 7, 8], 2)?;
/// assert_eq!(windows.len(), 2);
/// let sample = windows.get(1, &mut Stream::new(0, 0))?;
/// assert_eq!((sample[0].as_i32()?, sample[1].as_i32()?), (&[6, 7][..], &[7, 8][..]));
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Windows {
    numbers: Vec<i32>,
    length: usize,
}

impl Windows {
    /// Windows of `length` elements, at least 1; the sequence must be longer than one.
    #[track_caller]
    pub fn new(numbers: Vec<i32>, length: usize) -> Result<Self> {
        if length == 0 || length >= numbers.len() {
            return Err(Error::argument(
                "windows",
                format!(
                    "windows of {length} in {} elements; they must be shorter, and not empty",
                    numbers.len()
                ),
            ));
        }
        Ok(Self { numbers, length })
    }

    /// Over the bytes of a file, numbers in 0..256.
    #[track_caller]
    pub fn of_bytes(path: impl AsRef<Path>, length: usize) -> Result<Self> {
        let path = path.as_ref();
        match fs::read(path) {
            Ok(bytes) => Self::new(bytes.into_iter().map(i32::from).collect(), length),
            Err(error) => Err(Error::io("windows", format!("{}: {error}", path.display()))),
        }
    }

    /// Over the characters of a UTF-8 file, with their vocabulary.
    #[track_caller]
    pub fn of_characters(path: impl AsRef<Path>, length: usize) -> Result<(Self, Vocabulary)> {
        let path = path.as_ref();
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => return Err(Error::io("windows", format!("{}: {error}", path.display()))),
        };
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = format!(
                    "{}: no UTF-8 from byte {at} on; of_bytes takes any file",
                    path.display()
                );
                return Err(Error::format("windows", text));
            }
        };
        let vocabulary = Vocabulary::of(&text)?;
        Ok((Self::new(vocabulary.encode(&text)?, length)?, vocabulary))
    }
}

impl Samples for Windows {
    fn len(&self) -> usize {
        self.numbers.len() - self.length
    }
    fn get(&self, i: usize, _: &mut Stream) -> Result<Vec<Array>> {
        let window = i.checked_add(self.length + 1).and_then(|end| self.numbers.get(i..end));
        let Some([first, rest @ ..]) = window else {
            let text = format!("there is no window {i}; there are {}", self.len());
            return Err(Error::data("windows", text));
        };
        let inputs: Vec<i32> =
            std::iter::once(*first).chain(rest.iter().copied()).take(self.length).collect();
        Ok(vec![Array::i32([self.length], inputs)?, Array::i32([self.length], rest.to_vec())?])
    }
}
