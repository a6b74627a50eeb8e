//! A model in memory.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};

use anyhow::{Context, ensure};
use millm_engine::{Engine, EngineConfig, Threads};
use millm_loader::{PluginIdentity, Registry};
use millm_plugin_api::{Host, LoadOptions};
use millm_store::PrependBos;
use millm_text::{ModelText, Tokenizer};

use super::{Located, Vectors, fingerprint, memory};
use crate::{
    certificate::Kept,
    saes::Base,
    services::{PluginServices, Watch},
};

/// A model in memory, with its engine running.
#[derive(Debug)]
pub(crate) struct Model {
    /// What requests call it.
    pub(crate) id: String,
    /// Where it lies.
    pub(crate) folder: PathBuf,
    pub(crate) engine: Engine,
    pub(crate) text: ModelText,
    /// The steering vectors that requests can name.
    pub(crate) vectors: Vectors,
    /// Changes whenever the same chat with the same seed may be answered differently.
    pub(crate) system_fingerprint: String,
    /// The longest sequence that it was made for, in tokens; the engine may have room for less.
    pub(crate) n_ctx_train: usize,
    /// How its numbers compare with a reference, once somebody has asked.
    pub(crate) certificate: Kept,
    /// What loaded it.
    pub(crate) plugin: PluginIdentity,
}

/// What loading a model takes besides its folder.
#[derive(Debug)]
pub(crate) struct Loading {
    pub(crate) registry: Arc<Registry>,
    pub(crate) threads: Threads,
    pub(crate) options: LoadOptions,
    pub(crate) config: EngineConfig,
    pub(crate) data_dir: PathBuf,
}

impl Model {
    /// Loads the model and starts its engine, whose thread is returned. May take minutes; `watch` is told how far it is
    /// and can end it.
    pub(crate) fn load(
        located: Located,
        loading: &Loading,
        watch: Arc<dyn Watch>,
    ) -> anyhow::Result<(Self, JoinHandle<()>)> {
        let Located { id, folder } = located;
        watch.progress("tokenizer", 0, 1);
        // First, because it takes less time than the weights to find out that it does not fit.
        let text = ModelText::load(&folder)?;
        watch.progress("weights", 0, 1);
        let services = {
            let watch = Arc::clone(&watch);
            |name: &str| Host::new(PluginServices::watched(name, loading.threads.clone(), watch))
        };
        let (model, plugin) = loading.registry.load_model(&folder, &loading.options, services)?;
        check_vocabulary(&text.tokenizer, model.spec().d_vocab, &folder)?;
        watch.progress("fingerprint", 0, 1);
        let mut vectors = Vectors::load(&[folder.join("vectors"), loading.data_dir.join("vectors")]);
        vectors.fit(model.spec());
        let system_fingerprint = fingerprint::of(&folder, &plugin.sha256, &vectors, &*watch)
            .with_context(|| format!("cannot read the files in {}", folder.display()))?;
        let n_ctx_train = memory::n_ctx_train(&folder).unwrap_or(model.spec().n_ctx as usize);
        let (engine, thread) = Engine::start(model, text.tokenizer.clone(), loading.config.clone())?;
        let certificate = Kept::default();
        let model = Self { id, folder, engine, text, vectors, system_fingerprint, n_ctx_train, certificate, plugin };
        Ok((model, thread))
    }

    /// What attaching an SAE takes of it.
    pub(crate) fn base(&self) -> Base {
        Base { id: self.id.clone(), engine: self.engine.clone(), tokenizer: self.text.tokenizer.clone() }
    }

    /// The fingerprint of answers to prompts, which begin as `prepend_bos` says. In a chat the template says it.
    pub(crate) fn fingerprint_of_prompts(&self, prepend_bos: PrependBos) -> String {
        fingerprint::of_prompts(&self.system_fingerprint, prepend_bos)
    }
}

/// Refuses a tokenizer that was made for another model: what users write would become tokens that the model has not.
/// Tokens that were added later and not trained are common in checkpoints; they only get a warning, and a request that
/// uses one is refused.
fn check_vocabulary(tokenizer: &Tokenizer, d_vocab: u32, folder: &Path) -> anyhow::Result<()> {
    let last = tokenizer.last_base_id().unwrap_or(0);
    ensure!(
        last < d_vocab,
        "{}: its tokens have the ids 0 to {last}, but vocab_size in config.json is {d_vocab}; the tokenizer belongs to \
         another model",
        folder.join("tokenizer.json").display()
    );
    let beyond: Vec<String> = tokenizer.added_from(d_vocab).into_iter().take(10).collect();
    if !beyond.is_empty() {
        tracing::warn!(d_vocab, ?beyond, "tokenizer.json adds tokens that the model does not have");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    /// Checks a tokenizer of three tokens and one added token, whose id is given.
    fn check(added: u32, d_vocab: u32) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let token = json!({
            "id": added, "content": "<late>", "special": true, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false,
        });
        let model =
            json!({ "type": "WordLevel", "vocab": { "<late>": added, "a": 0, "b": 1, "c": 2 }, "unk_token": "a" });
        let tokenizer = json!({ "version": "1.0", "added_tokens": [token], "model": model });
        fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
        let tokenizer = Tokenizer::load(folder.path()).unwrap();
        check_vocabulary(&tokenizer, d_vocab, Path::new("/models/a")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_tokenizer_of_another_model_is_refused_with_both_numbers() {
        let message = check(3, 2).unwrap_err();
        for part in ["/models/a/tokenizer.json", "0 to 2", "vocab_size", "is 2"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn tokens_that_were_added_later_need_not_be_in_the_model() {
        for (added, d_vocab) in [(3, 3), (3, 4), (3, 100), (50, 3)] {
            assert_eq!(check(added, d_vocab), Ok(()));
        }
    }
}
