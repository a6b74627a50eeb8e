use std::path::Path;

use crate::{ChatTemplate, GenerationConfig, GrammarCompiler, TextError, Tokenizer};

/// Everything a model folder says about text. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ModelText {
    /// Text to tokens and back.
    pub tokenizer: Tokenizer,
    /// The authors' sampling defaults.
    pub generation_config: GenerationConfig,
    /// `None` for base models, which have no notion of a chat.
    pub chat_template: Option<ChatTemplate>,
    /// The tokens that end a text: `generation_config.json`, else `config.json`, else the tokenizer's `eos_token`.
    /// Empty if none of them names one: then only length and stop strings end a text.
    pub eos_token_ids: Vec<u32>,
    /// What makes grammars for its tokens.
    pub grammars: GrammarCompiler,
}

impl ModelText {
    /// Reads a model folder in the layout of the Hugging Face hub. Only `tokenizer.json` must be there.
    ///
    /// # Errors
    /// The first file that is missing, unreadable or wrong, by path.
    pub fn load(folder: &Path) -> Result<Self, TextError> {
        let tokenizer = Tokenizer::load(folder)?;
        let generation_config = GenerationConfig::load(folder)?;
        let mut eos_token_ids = generation_config.eos_token_ids.clone();
        if eos_token_ids.is_empty() {
            eos_token_ids.extend(tokenizer.special_token_id("eos_token"));
        }
        let grammars = GrammarCompiler::new(tokenizer.clone());
        Ok(Self { tokenizer, generation_config, chat_template: ChatTemplate::load(folder)?, eos_token_ids, grammars })
    }
}
