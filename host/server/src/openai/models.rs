//! `GET /v1/models` and `GET /v1/models/{id}`.

use std::iter;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::App,
    error::ApiError,
    http::Id,
    models::{Facts, ModelStatus, ModelView, Models},
};

/// A list of models.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModels)]
pub(crate) struct List {
    /// `list`.
    object: &'static str,
    data: Vec<Model>,
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModel)]
pub(crate) struct Model {
    pub(super) id: String,
    /// `model`.
    object: &'static str,
    /// Seconds since 1970.
    created: i64,
    /// `millm`.
    owned_by: &'static str,
    /// What is known once it is in memory.
    #[schema(required)]
    meta: Option<Meta>,
    status: Status,
    millm: Steered,
}

/// What an id stands for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModelSteering)]
struct Steered {
    /// Id of the model.
    base_model: String,
    /// How it is steered: by its vector of this name.
    #[schema(required)]
    profile: Option<String>,
    /// Ids of the SAEs that are attached to it, whose features requests can steer by.
    saes: Vec<String>,
}

/// Sizes, as llama.cpp has them. Clients size their prompts by the first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModelMeta)]
struct Meta {
    n_ctx: usize,
    /// The context that the model was made for; `n_ctx` is less where the memory for keys and values does not hold it.
    n_ctx_train: usize,
    n_params: u64,
}

/// Whether a model is in memory, as llama.cpp has it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModelStatus)]
struct Status {
    value: Residence,
    /// Whether the last load failed.
    failed: bool,
}

/// Whether a model is in memory.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModelState)]
#[serde(rename_all = "snake_case")]
enum Residence {
    Unloaded,
    Loading,
    Loaded,
    Unloading,
}

/// All models, those too that are loaded when a request asks for them. After each, what it is called when it is steered by
/// one of its profiles.
#[utoipa::path(
    get, path = "/v1/models", operation_id = "listOpenAiModels", tag = "openai",
    responses((status = 200, body = List, description = "The models")),
)]
pub(crate) async fn list(State(app): State<App>) -> Json<List> {
    Json(List::of(&app.models))
}

impl List {
    /// Every model, and after each its profiles.
    pub(super) fn of(models: &Models) -> Self {
        let with_profiles = |view: ModelView| {
            let (profiles, saes) = (view.profiles.iter().cloned().map(Some), models.saes(&view.id));
            let profiles: Vec<_> = iter::once(None).chain(profiles).collect();
            profiles.into_iter().map(move |profile| Model::new(view.clone(), profile, saes.clone()))
        };
        Self { object: "list", data: models.views().into_iter().flat_map(with_profiles).collect() }
    }
}

/// One model. Its id may hold slashes, encoded or not.
#[utoipa::path(
    get, path = "/v1/models/{id}", operation_id = "getOpenAiModel", tag = "openai",
    params(("id" = String, Path, description = "Id of the model; a slash in it may be written %2F")),
    responses((status = 200, body = Model, description = "The model")),
)]
pub(crate) async fn retrieve(State(app): State<App>, Id(id): Id) -> Result<Json<Model>, ApiError> {
    let (view, profile) = app.models.named_view(&id)?;
    let saes = app.models.saes(&view.id);
    Ok(Json(Model::new(view, profile, saes)))
}

impl Model {
    /// The model of `view`, as it is steered by `profile`, to which `saes` are attached.
    pub(super) fn new(view: ModelView, profile: Option<String>, saes: Vec<String>) -> Self {
        let value = match view.status {
            ModelStatus::Ready | ModelStatus::Error => Residence::Unloaded,
            ModelStatus::Loading => Residence::Loading,
            ModelStatus::Loaded => Residence::Loaded,
            ModelStatus::Unloading => Residence::Unloading,
        };
        Self {
            id: profile.as_ref().map_or_else(|| view.id.clone(), |profile| format!("{}@{profile}", view.id)),
            object: "model",
            created: view.created,
            owned_by: "millm",
            meta: view.loaded.map(|Facts { n_ctx, n_ctx_train, n_params, .. }| Meta { n_ctx, n_ctx_train, n_params }),
            status: Status { value, failed: view.status == ModelStatus::Error },
            millm: Steered { base_model: view.id, profile, saes },
        }
    }

    /// Whether it is in memory, in the word that the list has for it.
    pub(super) fn status(&self) -> &'static str {
        match self.status.value {
            Residence::Unloaded => "unloaded",
            Residence::Loading => "loading",
            Residence::Loaded => "loaded",
            Residence::Unloading => "unloading",
        }
    }
}
