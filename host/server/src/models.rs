//! The models being served.

mod fingerprint;
mod locate;
mod vectors;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, ensure};
use millm_engine::{Engine, EngineConfig, Threads};
use millm_loader::Registry;
use millm_plugin_api::{Host, LoadOptions};
use millm_text::{ModelText, Tokenizer};

pub(crate) use self::{
    locate::{Located, locate},
    vectors::{VectorError, Vectors},
};
use crate::{certificate::Kept, services::PluginServices};

/// A model in memory, with its engine running.
#[derive(Debug)]
pub(crate) struct Model {
    /// What requests call it.
    pub(crate) id: String,
    /// When it was loaded, in seconds since 1970.
    pub(crate) created: u64,
    /// Where it lies.
    pub(crate) folder: PathBuf,
    pub(crate) engine: Engine,
    pub(crate) text: ModelText,
    /// The steering vectors that requests can name.
    pub(crate) vectors: Vectors,
    /// Changes whenever the same request with the same seed may be answered differently.
    pub(crate) system_fingerprint: String,
    /// How its numbers compare with a reference, once somebody has asked.
    pub(crate) certificate: Kept,
}

/// The reference beside a model's weights.
pub(crate) const GOLDEN: &str = "golden.safetensors";

/// What loading a model takes besides its folder.
#[derive(Debug)]
pub(crate) struct Loading<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) threads: &'a Threads,
    pub(crate) options: LoadOptions,
    pub(crate) config: EngineConfig,
    pub(crate) data_dir: &'a Path,
}

impl Model {
    /// Loads the model and starts its engine. May take minutes.
    pub(crate) fn load(located: Located, loading: &Loading<'_>) -> anyhow::Result<(Self, JoinHandle<()>)> {
        let Located { id, folder } = located;
        let mut plugin = String::new();
        let services = |name: &str| {
            plugin = name.to_owned();
            Host::new(PluginServices::new(name, loading.threads.clone()))
        };
        let model = loading.registry.load_model(&folder, &loading.options, services)?;
        let text = ModelText::load(&folder)?;
        check_vocabulary(&text.tokenizer, model.spec().d_vocab, &folder)?;
        let vectors = Vectors::load(&[folder.join("vectors"), loading.data_dir.join("vectors")]);
        let plugin = loading.registry.plugins().iter().find(|found| found.manifest.name == plugin);
        let system_fingerprint = fingerprint::of(&folder, plugin.map_or("", |plugin| &plugin.sha256))
            .with_context(|| format!("cannot read the files in {}", folder.display()))?;
        let (engine, thread) = Engine::start(model, text.tokenizer.clone(), loading.config.clone())?;
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let certificate = Kept::default();
        Ok((Self { id, created, folder, engine, text, vectors, system_fingerprint, certificate }, thread))
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

/// All models, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Models {
    list: Vec<Arc<Model>>,
}

impl Models {
    /// Loads every model of `located`, one after the other, since each load uses all threads. The handles are those of
    /// the engines' threads.
    pub(crate) fn load(located: Vec<Located>, loading: &Loading<'_>) -> anyhow::Result<(Self, Vec<JoinHandle<()>>)> {
        for (index, Located { id, folder }) in located.iter().enumerate() {
            let same = located[..index].iter().find(|other| other.id == *id);
            let first = same.map_or(Path::new(""), |other| &other.folder);
            ensure!(same.is_none(), "two models are called {id:?}: {} and {}", first.display(), folder.display());
        }
        let (mut list, mut threads) = (Vec::new(), Vec::new());
        for located in located {
            let id = located.id.clone();
            tracing::info!(model = id, folder = %located.folder.display(), "loading model");
            let (model, thread) = Model::load(located, loading).with_context(|| format!("cannot load model {id:?}"))?;
            let spec = model.engine.spec();
            tracing::info!(model = id, n_params = spec.n_params, n_ctx = model.engine.n_ctx(), "model loaded");
            list.push(Arc::new(model));
            threads.push(thread);
        }
        Ok((Self { list }, threads))
    }

    /// The model that requests call `id`.
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Model>> {
        self.iter().find(|model| model.id == id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Model>> {
        self.list.iter()
    }

    /// The model, if there is no other.
    pub(crate) fn only(&self) -> Option<&Arc<Model>> {
        match self.list.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// What requests can put into `model`, for messages.
    pub(crate) fn ids(&self) -> String {
        self.iter().map(|model| model.id.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Gives the running requests of every model until `grace` to finish, and refuses new ones.
    pub(crate) fn shutdown(&self, grace: Duration) {
        self.iter().for_each(|model| model.engine.shutdown(grace));
    }
}

/// The demo model, beside the program.
pub(crate) fn demo(program_folder: &Path) -> anyhow::Result<PathBuf> {
    let folder = program_folder.join("demo");
    let hint = "name a model with --model, or build the demo with `cargo xtask build`";
    ensure!(folder.is_dir(), "there is no demo model at {}; {hint}", folder.display());
    Ok(folder)
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
