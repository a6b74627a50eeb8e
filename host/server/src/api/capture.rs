//! `POST /api/capture`: activations of prompts, as numbers.

use std::iter;

use axum::{
    extract::{RawQuery, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use millm_engine::{Activation, Captured, Captures, HookPointError, LogitLens, Request, hook_points::resolve};
use millm_plugin_api::{HookId, ModelSpec};
use serde_json::Value;

use super::{
    answer::{self, json},
    budget::{Budget, Reservation},
    capture_file,
    dtype::Dtype,
    envelope::Success,
    format::Format,
    pieces::{self, Piece},
    reading::{Asked, Item, Reading},
};
use crate::{
    app::App,
    blocking::blocking,
    error::{ApiError, Kind},
    fields::{Fields, clip, wrong_type},
    http::{Caller, JsonBody},
    models::Models,
    openapi::described::{CaptureAnswer, CaptureBody},
};

/// Names in one request; no model has more points, and with a wildcard a few name them all.
const MAX_NAMES: usize = 4096;

/// Everything that answering takes.
#[derive(Debug)]
struct Call {
    reading: Reading,
    requests: Vec<Request>,
    format: Format,
    dtype: Dtype,
    reservation: Reservation,
}

/// Captures activations.
#[utoipa::path(
    post, path = "/api/capture", operation_id = "capture", tag = "reading",
    params(("format" = Option<Format>, Query, description = "`json` by default")),
    request_body = CaptureBody,
    responses((
        status = 200, description = "The activations; in one safetensors file with `format=safetensors`",
        content((Success<CaptureAnswer> = "application/json"), (Vec<u8> = "application/octet-stream"))
    )),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    RawQuery(query): RawQuery,
    JsonBody(body): JsonBody,
) -> Result<Response, ApiError> {
    let format = Format::read(query.as_deref())?;
    let budget = app.captures.clone();
    let call = app.models.with(move |models| Call::read(&body, format, models, &budget)).await?;
    call.answer(&caller).await
}

impl Call {
    fn read(body: &[u8], format: Format, models: &Models, budget: &Budget) -> Result<Self, ApiError> {
        let mut fields = Fields::parse(body)?;
        let asked = Asked::read(&mut fields, models, &["hook_points", "dtype"])?;
        let points = hook_points(&mut fields, asked.model.engine.spec())?;
        let dtype = Dtype::read(&mut fields)?;
        fields.deny_rest()?;
        let reading = asked.tokenize()?;
        let spec = reading.model.engine.spec();
        let bytes =
            |item: &Item| Captures::new(points.clone(), item.positions.clone()).bytes(spec, item.token_ids.len());
        let reservation = budget.reserve(reading.items.iter().map(bytes).sum())?;
        if format == Format::Safetensors {
            capture_file::check(&reading.items, &points, spec)?;
        }
        let captures = |item: &Item| Captures::new(points.clone(), item.positions.clone());
        let requests = reading.requests(|item| (captures(item), LogitLens::default()));
        Ok(Self { reading, requests, format, dtype, reservation })
    }

    async fn answer(self, caller: &Caller) -> Result<Response, ApiError> {
        let Self { reading, requests, format, dtype, reservation } = self;
        let captured = reading.run(requests, caller).await?;
        match format {
            Format::Json => {
                let body = pieces::body(in_json(reading, captured, dtype), reservation);
                Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
            }
            // A header may have as many entries as there are prompts and points.
            Format::Safetensors => blocking(move || in_file(&reading, captured, dtype, reservation)).await,
        }
    }
}

/// Reads `hook_points`: names, of which one with `blocks.*.` stands for many. At least one.
fn hook_points(fields: &mut Fields, spec: &ModelSpec) -> Result<Vec<HookId>, ApiError> {
    const KEY: &str = "hook_points";
    let list = fields.list(KEY)?;
    let list = fields.require(KEY, list)?;
    if list.is_empty() {
        let message = format!("Invalid '{KEY}': empty array. Expected at least one name.");
        return Err(ApiError::at(Kind::EmptyArray, KEY, message));
    }
    if list.len() > MAX_NAMES {
        let message = format!("Invalid '{KEY}': at most {MAX_NAMES} names are supported, got {}.", list.len());
        return Err(ApiError::at(Kind::ArrayTooLong, KEY, message));
    }
    let points = list.into_iter().enumerate().map(|(index, name)| {
        let path = format!("{KEY}[{index}]");
        let Value::String(name) = name else { return Err(wrong_type(&path, "a string", &name)) };
        resolve(spec, &name).map_err(|error| {
            let message = format!("Invalid '{path}': {error}");
            let refused = ApiError::at(Kind::from(&error), path, message).with("found", clip(&name));
            match error {
                HookPointError::Unknown { nearest: Some(nearest), .. } => refused.with("nearest", nearest),
                _ => refused,
            }
        })
    });
    let mut points = points.collect::<Result<Vec<_>, _>>()?.concat();
    points.sort_unstable();
    points.dedup();
    Ok(points)
}

fn name(spec: &ModelSpec, point: HookId) -> String {
    spec.hook_points.get(point.0 as usize).map(|hook| hook.point.to_string()).unwrap_or_default()
}

/// `{"token_ids", "tokens", "positions", "activations": {name: {"shape", "dtype", "data"}}}` per prompt.
fn in_json(reading: Reading, captured: Vec<Captured>, dtype: Dtype) -> impl Iterator<Item = Piece> + Send {
    let Reading { model, items, many, .. } = reading;
    let id = model.id.clone();
    let items = items.into_iter().zip(captured).map(move |(item, captured)| {
        let head = Piece::text(format!(r#"{},"activations":{{"#, item.members(&model)));
        let model = model.clone();
        let activations = captured.activations.into_iter().enumerate().flat_map(move |(index, activation)| {
            let Activation { point, shape, data } = activation;
            let comma = if index == 0 { "" } else { "," };
            let name = json(&name(model.engine.spec(), point));
            let (shape, dtype_name) = (json(&shape), dtype.as_str());
            let head = format!(r#"{comma}{name}:{{"shape":{shape},"dtype":"{dtype_name}","data":""#);
            [Piece::text(head), Piece::Base64(data, dtype), Piece::text(r#""}"#)]
        });
        iter::once(head).chain(activations).chain([Piece::text("}")])
    });
    answer::pieces(id, many, items)
}

fn in_file(
    reading: &Reading,
    captured: Vec<Captured>,
    dtype: Dtype,
    reservation: Reservation,
) -> Result<Response, ApiError> {
    let spec = reading.model.engine.spec();
    let prompts = reading.items.iter().zip(captured);
    let prompts = prompts.map(|(item, captured)| (item, captured.activations)).collect();
    let (length, pieces) =
        capture_file::write(&reading.model.id, dtype, prompts, |point| name(spec, point)).map_err(|error| {
            tracing::error!("a capture cannot be written as a file: {error}");
            ApiError::internal()
        })?;
    let mut response = Response::new(pieces::body(pieces.into_iter(), reservation));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_LENGTH, length.into());
    let disposition = HeaderValue::from_static("attachment; filename=\"capture.safetensors\"");
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use millm_plugin_api::{AbsentHookPoint, HookPointSpec, RowShape};
    use serde_json::json;

    use super::*;

    fn spec() -> ModelSpec {
        let hook = |name: &str| HookPointSpec::new(name.parse().unwrap(), RowShape::Flat { width: 2 });
        let names = ["hook_embed", "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"];
        let pattern = "hook_pos_embed".parse().unwrap();
        let absent = vec![AbsentHookPoint { pattern, reason: "it has rope".into() }];
        ModelSpec { n_layers: 2, hook_points: names.map(hook).to_vec(), absent, ..ModelSpec::default() }
    }

    fn points(value: Value) -> Result<Vec<u32>, ApiError> {
        let mut fields = Fields::of(json!({ "hook_points": value }), String::new())?;
        Ok(hook_points(&mut fields, &spec())?.into_iter().map(|point| point.0).collect())
    }

    #[test]
    fn names_are_points_in_the_order_of_computation_each_once() {
        assert_eq!(points(json!(["hook_embed"])), Ok(vec![0]));
        let names = json!(["blocks.1.hook_resid_post", "blocks.*.hook_resid_post", "hook_embed"]);
        assert_eq!(points(names), Ok(vec![0, 1, 2]));
    }

    #[test]
    fn a_wrong_name_is_refused_by_its_path() {
        use Kind::*;
        let good = "hook_embed";
        for (names, kind, param, mention) in [
            (json!(null), MissingParameter, "hook_points", "Missing"),
            (json!([]), EmptyArray, "hook_points", "at least one"),
            (json!(good), InvalidType, "hook_points", "an array"),
            (json!([good, 1]), InvalidType, "hook_points[1]", "a string"),
            (json!([good, "hook_embde"]), UnknownHookPoint, "hook_points[1]", "did you mean \"hook_embed\"?"),
            (json!(["blocks.2.hook_resid_post"]), UnknownHookPoint, "hook_points[0]", "unknown"),
            (json!(["hook_pos_embed"]), AbsentHookPoint, "hook_points[0]", "it has rope"),
            (json!(vec![good; 4097]), ArrayTooLong, "hook_points", "4096"),
        ] {
            let error = points(names.clone()).unwrap_err();
            assert_eq!((error.kind, error.param.as_deref()), (kind, Some(param)), "{names}");
            assert!(error.message.contains(mention), "{}", error.message);
        }
    }
}
