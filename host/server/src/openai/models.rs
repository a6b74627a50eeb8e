//! `GET /v1/models` and `GET /v1/models/{id}`.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    app::App,
    error::ApiError,
    http::Id,
    models::{ModelStatus, ModelView},
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
    id: String,
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
}

/// Sizes, as llama.cpp has them. Clients size their prompts by the first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModelMeta)]
struct Meta {
    n_ctx: usize,
    n_params: u64,
}

/// Whether a model is in memory, as llama.cpp has it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModelStatus)]
struct Status {
    value: Residence,
}

/// Whether a model is in memory.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModelState)]
#[serde(rename_all = "snake_case")]
enum Residence {
    Unloaded,
    Loading,
    Loaded,
    Unloading,
    Error,
}

/// All models, those too that are loaded when a request asks for them.
#[utoipa::path(
    get, path = "/v1/models", operation_id = "listOpenAiModels", tag = "openai",
    responses((status = 200, body = List, description = "The models")),
)]
pub(crate) async fn list(State(app): State<App>) -> Json<List> {
    let data = app.models.views().into_iter().map(Model::from).collect();
    Json(List { object: "list", data })
}

/// One model. Its id may hold slashes, encoded or not.
#[utoipa::path(
    get, path = "/v1/models/{id}", operation_id = "getOpenAiModel", tag = "openai",
    params(("id" = String, Path, description = "Id of the model; a slash in it may be written %2F")),
    responses((status = 200, body = Model, description = "The model")),
)]
pub(crate) async fn retrieve(State(app): State<App>, Id(id): Id) -> Result<Json<Model>, ApiError> {
    app.models.view(&id).map(|view| Json(view.into()))
}

impl From<ModelView> for Model {
    fn from(view: ModelView) -> Self {
        let value = match view.status {
            ModelStatus::Ready => Residence::Unloaded,
            ModelStatus::Loading => Residence::Loading,
            ModelStatus::Loaded => Residence::Loaded,
            ModelStatus::Unloading => Residence::Unloading,
            ModelStatus::Error => Residence::Error,
        };
        Self {
            id: view.id,
            object: "model",
            created: view.created,
            owned_by: "millm",
            meta: view.loaded.map(|facts| Meta { n_ctx: facts.n_ctx, n_params: facts.n_params }),
            status: Status { value },
        }
    }
}
