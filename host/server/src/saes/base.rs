use millm_engine::Engine;
use millm_text::Tokenizer;

/// What attaching an SAE takes of a model.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    /// What requests call the model.
    pub(crate) id: String,
    pub(crate) engine: Engine,
    pub(crate) tokenizer: Tokenizer,
}
