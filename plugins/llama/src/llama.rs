use millm_plugin_api::{Architecture, Host, LoadOptions, ModelFiles, Result};
use millm_transformer::{Checkpoint, Config, Transformer};

use crate::family::Family;

/// Models of Llama's shape: pre-norm RMS norms, rotary attention with shared key/value heads, a gated SiLU MLP.
#[derive(Clone, Copy, Debug)]
pub struct Llama;

impl Architecture for Llama {
    type Model = Transformer;

    fn model_types(&self) -> Vec<String> {
        Family::ALL.iter().map(|family| family.model_type.into()).collect()
    }

    fn load(&self, files: &ModelFiles, options: &LoadOptions, host: &Host) -> Result<Transformer> {
        let config = Config::read(&files.folder)?;
        let family = Family::of(&config)?;
        let decoder = family.decoder(&config)?;
        Transformer::load(&Checkpoint::open(&files.folder)?, decoder, options, host)
    }
}
