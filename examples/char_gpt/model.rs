//! The model: characters and their places as vectors, blocks of attention, and back to characters.

use crate::args::Args;
use wgrad::{Result, nn::Positions, prelude::*};

/// A causal transformer: numbers of characters `[b, t]` become logits of the next one `[b, t, classes]`.
pub struct CharGpt {
    characters: Embedding,
    places: Positions,
    blocks: Vec<TransformerBlock>,
    norm: LayerNorm,
    head: Linear,
}
module!(CharGpt { characters, places, blocks, norm, head });

impl CharGpt {
    pub fn new(args: &Args, classes: usize, device: &Device) -> Result<CharGpt> {
        let mut init = Init::new(args.seed);
        let mut blocks = Vec::with_capacity(args.layers);
        let characters = Embedding::new(classes, args.size, &mut init)?;
        let places = Positions::learned(args.length, args.size, &mut init)?;
        for _ in 0..args.layers {
            let block = TransformerBlock::new(args.size, args.heads, 4 * args.size, &mut init)?;
            blocks.push(block.causal());
        }
        CharGpt {
            characters,
            places,
            blocks,
            norm: LayerNorm::new(&[args.size])?,
            head: Linear::new(args.size, classes, &mut init)?,
        }
        .on(device)
    }
}

impl Layer for CharGpt {
    fn forward(&self, index: &Tensor) -> Result<Tensor> {
        let mut x = self.places.forward(&self.characters.forward(index)?)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        self.head.forward(&self.norm.forward(&x)?)
    }
}
