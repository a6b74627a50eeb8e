//! `/api/saes`: which SAEs there are, and which models they are attached to.

use axum::{
    Json,
    extract::{RawQuery, State},
    response::Response,
};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    created::{check_source, created},
    envelope::{Items, Nothing, Success, success},
    query::{invalid, parameters},
};
use crate::{
    app::App,
    blocking::blocking,
    error::{ApiError, Kind},
    fields::{Fields, clip},
    http::{By, Id, JsonBody, MaybeJson},
    openapi::described::{AttachBody, FeatureQuery, NewSae, SaeId},
    saes::{Attach, NewLocalSae, Note, SaeView, fix_of},
};

/// Features in one answer.
const MAX_FEATURES: usize = 1000;

/// All SAEs, newest first.
#[utoipa::path(
    get, path = "/api/saes", operation_id = "listSaes", tag = "saes",
    responses((status = 200, body = Success<Items<SaeView>>, description = "The SAEs")),
)]
pub(crate) async fn list(State(app): State<App>) -> Json<Success<Items<SaeView>>> {
    let mut items = app.saes.views();
    items.reverse();
    success(Items { items })
}

/// One SAE.
#[utoipa::path(
    get, path = "/api/saes/{id}", operation_id = "getSae", tag = "saes",
    params(SaeId),
    responses((status = 200, body = Success<SaeView>, description = "The SAE")),
)]
pub(crate) async fn show(State(app): State<App>, Id(id): Id) -> Result<Json<Success<SaeView>>, ApiError> {
    app.saes.view(&id).map(success)
}

/// Makes an SAE in a folder of this machine known.
#[utoipa::path(
    post, path = "/api/saes", operation_id = "createSae", tag = "saes",
    request_body = NewSae,
    responses((
        status = 201, body = Success<SaeView>, description = "The new SAE",
        headers(("location" = String, description = "URL of the SAE"))
    )),
)]
pub(crate) async fn create(
    State(app): State<App>,
    By(actor): By,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let mut fields = Fields::parse(&body)?;
    fields.deny_others(&["source", "path", "sae_id", "id"])?;
    check_source(&mut fields)?;
    let path = fields.string("path")?;
    let path = fields.require("path", path)?;
    let new = NewLocalSae { path, sae_id: fields.string("sae_id")?, id: fields.string("id")? };
    let view = app.saes.register(new, &actor).await?;
    let id = view.id.clone();
    Ok(created("/api/saes", &id, view))
}

/// Forgets an SAE; its files stay.
#[utoipa::path(
    delete, path = "/api/saes/{id}", operation_id = "removeSae", tag = "saes",
    params(SaeId),
    responses((status = 200, body = Success<Nothing>, description = "It is forgotten")),
)]
pub(crate) async fn remove(
    State(app): State<App>,
    By(actor): By,
    Id(id): Id,
) -> Result<Json<Success<Nothing>>, ApiError> {
    app.saes.remove(&id, &actor).await?;
    Ok(success(Nothing))
}

/// Attaches an SAE to a model, and tests it there.
#[utoipa::path(
    post, path = "/api/saes/{id}/attach", operation_id = "attachSae", tag = "saes",
    params(SaeId),
    request_body = Option<AttachBody>,
    responses((status = 200, body = Success<SaeView>, description = "The SAE")),
)]
pub(crate) async fn attach(
    State(app): State<App>,
    By(actor): By,
    Id(id): Id,
    MaybeJson(mut fields): MaybeJson,
) -> Result<Json<Success<SaeView>>, ApiError> {
    let model = fields.string("model")?;
    let hook_point = fields.string("hook_point")?;
    let site_fix = fields.string("site_fix")?.map(|name| {
        fix_of(&name).ok_or_else(|| {
            let message = format!(
                "Invalid value: '{}'. Supported values are: 'none', 'center', 'minus_value_bias', 'embed_unscale'.",
                clip(&name)
            );
            ApiError::at(Kind::InvalidValue, "site_fix", message)
        })
    });
    let site_fix = site_fix.transpose()?;
    let prompt = fields.string("prompt")?;
    let untested = fields.bool("self_test")? == Some(false);
    fields.deny_rest()?;
    // Before a model is loaded for it.
    app.saes.view(&id)?;
    let base = app.models.with(move |models| Ok(models.named_or_only(model.clone())?.model.base())).await?;
    app.saes.attach(&id, base, Attach { hook_point, site_fix, prompt, untested }, &actor).await.map(success)
}

/// Detaches an SAE; requests that run finish with it.
#[utoipa::path(
    post, path = "/api/saes/{id}/detach", operation_id = "detachSae", tag = "saes",
    params(SaeId),
    responses((status = 200, body = Success<SaeView>, description = "The SAE")),
)]
pub(crate) async fn detach(
    State(app): State<App>,
    By(actor): By,
    Id(id): Id,
) -> Result<Json<Success<SaeView>>, ApiError> {
    app.saes.detach(&id, &actor).await.map(success)
}

/// A feature of which something is said.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Feature {
    index: u32,
    #[serde(flatten)]
    note: Note,
}

/// What is said of the features of an attached SAE, in files beside its weights.
#[utoipa::path(
    get, path = "/api/saes/{id}/features", operation_id = "listSaeFeatures", tag = "saes",
    params(SaeId, FeatureQuery),
    responses((status = 200, body = Success<Items<Feature>>, description = "Features, by their index")),
)]
pub(crate) async fn features(
    State(app): State<App>,
    Id(id): Id,
    RawQuery(query): RawQuery,
) -> Result<Json<Success<Items<Feature>>>, ApiError> {
    let (mut search, mut after, mut limit) = (None, None::<u32>, 100);
    for (name, value) in parameters(query.as_deref(), &["search", "after", "limit"])? {
        match name {
            "search" => {
                let text = value.replace('+', " ");
                let text = percent_decode_str(&text).decode_utf8().map_err(|_| invalid(name, "expected a text"))?;
                search = Some(text.to_lowercase());
            }
            "after" => after = Some(value.parse().map_err(|_| invalid(name, "expected the index of a feature"))?),
            _ => {
                let number = value.parse().ok().filter(|number| (1..=MAX_FEATURES).contains(number));
                limit = number.ok_or_else(|| invalid(name, "expected 1 to 1000"))?;
            }
        }
    }
    let sae = app.saes.attached(&id)?;
    blocking(move || {
        let notes = sae.notes().iter().filter(|(index, _)| after.is_none_or(|after| **index > after));
        let found = notes.filter(|(_, note)| match (&search, &note.description) {
            (None, _) => true,
            (Some(search), Some(description)) => description.to_lowercase().contains(search),
            (Some(_), None) => false,
        });
        let items = found.take(limit).map(|(index, note)| Feature { index: *index, note: note.clone() }).collect();
        Ok(success(Items { items }))
    })
    .await
}
