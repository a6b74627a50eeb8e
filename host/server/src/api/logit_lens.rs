//! `POST /api/logit_lens`: what the model would say if its residual stream ended at a layer.

use std::iter;

use axum::{
    extract::{RawQuery, State},
    http::header,
    response::{IntoResponse, Response},
};
use millm_engine::{Captured, Captures, LensRow, LensToken, LogitLens, Request};
use millm_plugin_api::{HookId, ModelSpec};

use super::{
    answer::{self, json},
    budget::{Budget, Reservation},
    envelope::Success,
    layers,
    pieces::{self, Piece},
    place::Place,
    query::parameters,
    reading::{Asked, Item, Reading, token_text},
};
use crate::{
    app::App,
    error::{ApiError, Kind},
    fields::Fields,
    http::{Caller, JsonBody},
    models::{Model, Models},
    openapi::described::{LensAnswer, LensBody},
};

/// Rows that the head computes for one request: layers times positions, over all prompts.
const MAX_ROWS: usize = 65_536;

/// Everything that answering takes.
#[derive(Debug)]
struct Call {
    reading: Reading,
    requests: Vec<Request>,
    points: Vec<HookId>,
    reservation: Reservation,
}

/// Looks through the logit lens.
#[utoipa::path(
    post, path = "/api/logit_lens", operation_id = "logitLens", tag = "reading",
    request_body = LensBody,
    responses((status = 200, body = Success<LensAnswer>, description = "The most probable tokens")),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    parameters(query.as_deref(), &[])?;
    let budget = app.captures.clone();
    let call = app.models.with(move |models| Call::read(&body, models, &budget)).await?;
    call.answer(&caller).await
}

impl Call {
    fn read(body: &[u8], models: &Models, budget: &Budget) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let asked = Asked::read(&mut fields, models, &["layers", "top_k"])?;
        let spec = asked.model.engine.spec();
        let layers = layers::read(&mut fields, spec.n_layers)?;
        let top = fields.integer("top_k", 1..=100)?.unwrap_or(5) as usize;
        let top = top.min(spec.d_vocab as usize);
        fields.deny_rest()?;
        let points = layers.into_iter().map(|layer| layers::resid_post(spec, layer));
        let points = points.collect::<Result<Vec<_>, _>>()?.concat();
        let reading = asked.tokenize()?;
        let rows = points.len() * reading.items.iter().map(|item| item.positions.len()).sum::<usize>();
        if rows > MAX_ROWS {
            let message = format!(
                "This asks for {rows} rows ({} layers times positions); at most {MAX_ROWS} are allowed. Ask for fewer \
                 'layers' or 'positions'.",
                points.len()
            );
            return Err(ApiError::new(Kind::LensTooLarge, message).with("maximum", MAX_ROWS).with("found", rows));
        }
        let reservation = budget.reserve((rows * (size_of::<LensRow>() + top * size_of::<LensToken>())) as u64)?;
        let lens = |item: &Item| LogitLens::new(points.clone(), item.positions.clone(), top);
        let requests = reading.requests(|item| (Captures::default(), lens(item)));
        Ok(Self { reading, requests, points, reservation })
    }

    async fn answer(self, caller: &Caller) -> Result<Response, ApiError> {
        let Self { reading, requests, points, reservation } = self;
        let captured = reading.run(requests, caller).await?;
        let body = pieces::body(in_json(reading, captured, points), reservation);
        Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
    }
}

/// `{"token_ids", "tokens", "positions", "layers", "lens": [{"layer", "hook_point", "positions": […]}]}` per prompt.
fn in_json(reading: Reading, captured: Vec<Captured>, points: Vec<HookId>) -> impl Iterator<Item = Piece> + Send {
    let Reading { model, items, many, .. } = reading;
    let spec = model.engine.spec();
    let layers: Vec<u32> = points.into_iter().filter_map(|point| hook(spec, point).0).collect();
    let (id, layers) = (model.id.clone(), json(&layers));
    let items = items.into_iter().zip(captured).map(move |(item, captured)| {
        let head = Piece::text(format!(r#"{},"layers":{layers},"lens":["#, item.members(&model)));
        let (model, count) = (model.clone(), item.positions.len());
        let rows = captured
            .lens
            .into_iter()
            .enumerate()
            .map(move |(index, row)| Piece::text(in_layer(index, count, &model, row)));
        iter::once(head).chain(rows).chain([Piece::text("]")])
    });
    answer::pieces(id, many, items)
}

fn hook(spec: &ModelSpec, point: HookId) -> (Option<u32>, String) {
    let found = spec.hook_points.get(point.0 as usize);
    found.map(|hook| (hook.point.layer, hook.point.to_string())).unwrap_or_default()
}

/// Row `index` of a lens, which has `count` per layer, with the beginning or the end of its layer around it.
fn in_layer(index: usize, count: usize, model: &Model, row: LensRow) -> String {
    let (layer, name) = hook(model.engine.spec(), row.point);
    place(index, count, layer, &name, row, |id| token_text(model, id))
}

fn place(
    index: usize,
    count: usize,
    layer: Option<u32>,
    name: &str,
    row: LensRow,
    text: impl Fn(u32) -> String,
) -> String {
    let comma = if index == 0 { "" } else { "," };
    let open = if index.is_multiple_of(count) {
        format!(r#"{{"layer":{},"hook_point":{},"positions":["#, json(&layer), json(name))
    } else {
        String::new()
    };
    let close = if (index + 1).is_multiple_of(count) { "]}" } else { "" };
    let place = json(&Place::new(row, text));
    format!("{comma}{open}{place}{close}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_by_layer() {
        let row = |position| LensRow {
            point: HookId(0),
            position,
            // What has no probability that a float could hold is told as all but impossible.
            top: [(7, 0.1, -0.5), (9, -2.5, f32::NEG_INFINITY)]
                .map(|(token, logit, logprob)| LensToken { token, logit, logprob })
                .into(),
        };
        let rows = (0..4).map(|index| {
            let layer = index / 2;
            place(index, 2, Some(layer as u32), "x", row(10 + index % 2), |id| format!("t{id}"))
        });
        let text = format!("[{}]", rows.collect::<String>());
        let top = [(7, "0.1", "-0.5"), (9, "-2.5", "-9999.0")].map(|(id, logit, logprob)| {
            format!(r#"{{"token_id":{id},"token":"t{id}","logit":{logit},"logprob":{logprob}}}"#)
        });
        let top = format!(r#""top":[{}]"#, top.join(","));
        let places = format!(r#"[{{"position":10,{top}}},{{"position":11,{top}}}]"#);
        let layer = |layer| format!(r#"{{"layer":{layer},"hook_point":"x","positions":{places}}}"#);
        assert_eq!(text, format!("[{},{}]", layer(0), layer(1)));
    }
}
