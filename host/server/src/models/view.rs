//! What is told of a model.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    Estimate,
    entry::{Entry, ModelStatus, Phase},
};
use crate::{error::Problem, operations::time};

/// A model, as the management API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ModelView {
    pub(crate) id: String,
    /// `local`: a folder on this machine.
    pub(crate) source: &'static str,
    pub(crate) local_path: String,
    pub(crate) status: ModelStatus,
    /// Why the last load failed, as `{"code", "message", "details"}`.
    #[schema(required, value_type = Option<Problem>)]
    pub(crate) error: Option<Value>,
    /// Whether it can be unloaded or forgotten only after being unlocked.
    pub(crate) locked: bool,
    /// Whether it is loaded again when the host starts.
    pub(crate) load_at_start: bool,
    /// When prompts begin with the BOS token: `auto`, `never` or `always`.
    pub(crate) prepend_bos: &'static str,
    /// Vectors whose name alone says how to steer, as far as is known since it was loaded: `model@profile` is the model steered
    /// so.
    pub(crate) profiles: Vec<String>,
    pub(crate) estimated_memory: Estimate,
    /// What is known once it is in memory.
    #[schema(required)]
    pub(crate) loaded: Option<Facts>,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
    #[schema(required, format = DateTime)]
    pub(crate) loaded_at: Option<String>,
    /// When it was loaded, else when it became known, in seconds since 1970, as OpenAI has it.
    #[serde(skip)]
    pub(crate) created: i64,
}

/// A loaded model's facts.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Facts {
    pub(crate) model_type: String,
    pub(crate) n_params: u64,
    pub(crate) n_layers: u32,
    pub(crate) d_model: u32,
    pub(crate) d_vocab: u32,
    /// The longest sequence that its context and its memory for keys and values allow.
    pub(crate) n_ctx: usize,
    /// The longest that it was made for.
    #[serde(skip)]
    pub(crate) n_ctx_train: usize,
    /// That of its answers to chats. Those to prompts have another while `prepend_bos` is not `auto`.
    pub(crate) system_fingerprint: String,
    /// What loaded it.
    pub(crate) plugin: PluginFacts,
}

/// The plugin behind a model. After a reload of the plugin, an older model shows the older one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PluginFacts {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) sha256: String,
}

impl ModelView {
    pub(super) fn of(entry: &Entry) -> Self {
        let running = match &entry.phase {
            Phase::Loaded(running) => Some(running),
            _ => None,
        };
        let error = match &entry.phase {
            Phase::Error(error) => Some(error.object()),
            _ => None,
        };
        let facts = running.map(|running| {
            let (model, spec) = (&running.model, running.model.engine.spec());
            let plugin = &model.plugin;
            Facts {
                model_type: spec.model_type.clone(),
                n_params: spec.n_params,
                n_layers: spec.n_layers,
                d_model: spec.d_model,
                d_vocab: spec.d_vocab,
                n_ctx: model.engine.n_ctx(),
                n_ctx_train: model.n_ctx_train,
                system_fingerprint: model.system_fingerprint.clone(),
                plugin: PluginFacts {
                    name: plugin.name.clone(),
                    version: plugin.version.clone(),
                    sha256: plugin.sha256.clone(),
                },
            }
        });
        Self {
            id: entry.id.clone(),
            source: "local",
            local_path: entry.folder.to_string_lossy().into_owned(),
            status: entry.status(),
            error,
            locked: entry.locked,
            load_at_start: entry.wanted,
            prepend_bos: entry.prepend_bos.as_str(),
            profiles: entry.profiles.clone(),
            estimated_memory: entry.estimate,
            loaded: facts,
            created_at: time(entry.created_at),
            updated_at: time(entry.updated_at),
            loaded_at: running.map(|running| time(running.loaded_at)),
            created: running.map_or(entry.created_at, |running| running.loaded_at) / 1000,
        }
    }

    /// For the data of an answer or an event.
    pub(crate) fn json(&self) -> Value {
        // Only maps with other keys than texts cannot be JSON.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The event that says that there is no such model any more.
    pub(super) fn removed(id: &str) -> Value {
        json!({ "id": id, "status": "removed" })
    }
}
