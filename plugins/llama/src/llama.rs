use millm_plugin_api::{Architecture, Host, LoadOptions, ModelFiles, Result};
use millm_transformer::{Checkpoint, Config, Transformer};

use crate::family::Family;

/// Models of Llama's shape: pre-norm RMS norms, rotary attention with shared key/value heads, a gated MLP.
#[derive(Clone, Copy, Debug)]
pub struct Llama;

/// Files of models for causal language modelling, and those of bare ones, whose head is tied.
const PREFIXES: [&str; 2] = ["model.", ""];

impl Architecture for Llama {
    type Model = Transformer;

    fn model_types(&self) -> Vec<String> {
        Family::ALL.iter().map(|family| family.model_type.into()).collect()
    }

    fn load(&self, files: &ModelFiles, options: &LoadOptions, host: &Host) -> Result<Transformer> {
        let config = Config::read(&files.folder)?;
        let family = Family::of(&config)?;
        let checkpoint = Checkpoint::open(&files.folder)?;
        let decoder = family.decoder(&config, checkpoint.prefix(&PREFIXES, "norm.weight")?)?;
        Transformer::load(&checkpoint, decoder, options, host)
    }
}
