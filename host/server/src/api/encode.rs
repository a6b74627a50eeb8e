//! `POST /api/saes/{id}/encode`: features of prompts, or of activations.

mod rows;
mod wanted;

use std::{iter, sync::Arc};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use millm_engine::{Captures, LogitLens, Request, hook_points::resolve};
use millm_plugin_api::HookId;

use self::{
    rows::Rows,
    wanted::{Encoded, Wanted},
};
use super::{
    answer,
    budget::{Budget, Reservation},
    envelope::Success,
    pieces::{self, Piece},
    reading::{Asked, Item, Reading},
};
use crate::{
    app::App,
    blocking::blocking,
    error::{ApiError, Kind},
    fields::Fields,
    http::{Caller, Id, JsonBody},
    models::Models,
    openapi::described::{EncodeAnswer, EncodeBody, SaeId},
    saes::AttachedSae,
};

/// Everything that answering takes.
#[derive(Debug)]
struct Call {
    sae: Arc<AttachedSae>,
    input: Input,
    wanted: Wanted,
    reservation: Reservation,
}

/// What is encoded.
#[derive(Debug)]
enum Input {
    Prompts { reading: Reading, requests: Vec<Request> },
    Activations(Rows),
}

/// Encodes.
#[utoipa::path(
    post, path = "/api/saes/{id}/encode", operation_id = "encodeSae", tag = "saes",
    params(SaeId),
    request_body = EncodeBody,
    responses((status = 200, body = Success<EncodeAnswer>, description = "The features")),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let sae = app.saes.attached(&id)?;
    let budget = app.captures.clone();
    let call = app.models.with(move |models| Call::read(&body, Arc::clone(&sae), models, &budget)).await?;
    call.answer(&caller).await
}

impl Call {
    fn read(body: &[u8], sae: Arc<AttachedSae>, models: &Models, budget: &Budget) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let spec = sae.sae.sae.spec();
        let wanted = Wanted::read(&mut fields, spec.d_sae)?;
        if let Some(rows) = Rows::read(&mut fields, spec.d_in as usize)? {
            fields.deny_rest()?;
            wanted.check_memory(&sae)?;
            let reservation = budget.reserve(wanted.bytes(rows.count(), spec.d_sae))?;
            return Ok(Self { sae, input: Input::Activations(rows), wanted, reservation });
        }
        if let Some(model) = fields.string("model")?.filter(|model| *model != sae.model) {
            models.view(&model)?;
            let message = format!("Invalid 'model': the SAE is attached to '{}'.", sae.model);
            return Err(ApiError::at(Kind::InvalidValue, "model", message));
        }
        fields.put("model", sae.model.as_str().into());
        let asked = Asked::read(&mut fields, models, &[])?;
        fields.deny_rest()?;
        wanted.check_memory(&sae)?;
        let reading = asked.tokenize()?;
        let model = reading.model.engine.spec();
        let point = *resolve(model, &sae.hook_point)
            .map_err(|error| ApiError::new(Kind::SaeNotAttached, format!("The SAE does not fit the model: {error}.")))?
            .first()
            .unwrap_or(&HookId(0));
        let captures = |item: &Item| Captures::new(vec![point], item.positions.clone());
        let bytes = |item: &Item| {
            captures(item).bytes(model, item.token_ids.len()) + wanted.bytes(item.positions.len(), spec.d_sae)
        };
        let reservation = budget.reserve(reading.items.iter().map(bytes).sum())?;
        let requests = reading.requests(|item| (captures(item), LogitLens::default()));
        Ok(Self { sae, input: Input::Prompts { reading, requests }, wanted, reservation })
    }

    async fn answer(self, caller: &Caller) -> Result<Response, ApiError> {
        let Self { sae, input, wanted, reservation } = self;
        let (items, rows, many) = match input {
            Input::Activations(rows) => (None, vec![rows.data], false),
            Input::Prompts { reading, requests } => {
                let captured = reading.run(requests, caller).await?;
                let rows = captured.into_iter().map(|captured| {
                    captured.activations.into_iter().next().map(|found| found.data).unwrap_or_default()
                });
                let (rows, many) = (rows.collect(), reading.many);
                (Some(reading), rows, many)
            }
        };
        let (own, model) = (Arc::clone(&sae), sae.model.clone());
        let encode = move || {
            let encoded = rows.iter().map(|rows| wanted.encode(&own, rows)).collect::<Result<Vec<Encoded>, _>>()?;
            let head = |index: usize| match &items {
                Some(Reading { model, items, .. }) => format!("{},", items[index].members(model)),
                None => String::new(),
            };
            let heads: Vec<String> = (0..encoded.len()).map(head).collect();
            Ok((heads, encoded))
        };
        let (heads, encoded) = blocking(encode).await?;
        let id = answer::json(&sae.id);
        let items = heads.into_iter().zip(encoded).map(move |(head, encoded)| {
            let head = Piece::text(format!(r#"{head}"sae":{id},"#));
            iter::once(head).chain(encoded.pieces())
        });
        let body = pieces::body(answer::pieces(model, many, items), reservation);
        Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
    }
}
