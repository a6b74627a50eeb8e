use millm_plugin_api::{Architecture, Host, LoadOptions, ModelFiles, Result};
use millm_transformer::{Checkpoint, Config, Transformer};

use crate::family::Family;

/// Models of Gemma's shape: scaled embeddings, RMS norms with a gain of 1 + w, a gated tanh-GELU MLP, tied head; from
/// the second on, windows on some blocks and norms behind attention and MLP.
#[derive(Clone, Copy, Debug)]
pub struct Gemma;

impl Architecture for Gemma {
    type Model = Transformer;

    fn model_types(&self) -> Vec<String> {
        ["gemma", "gemma2", "gemma3_text", "gemma3"].map(String::from).into()
    }

    fn load(&self, files: &ModelFiles, options: &LoadOptions, host: &Host) -> Result<Transformer> {
        let config = Config::read(&files.folder)?;
        let checkpoint = Checkpoint::open(&files.folder)?;
        let decoder = Family::of(&config)?.decoder(&config, &checkpoint)?;
        Transformer::load(&checkpoint, decoder, options, host)
    }
}
